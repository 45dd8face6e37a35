"""Sources and settings that a dataset like VPO is made from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mmcpm.datasets.vpo import SUBSETS

from .selection import Rules


@dataclass(frozen=True)
class Ingredients:
    """What a dataset is made of.

    Attributes:
        annotations (Path): COCO-format instance annotations.
        images (Path): Folder of their pictures.
        recordings (Path): List of the recordings, a csv file.
        audio (Path): Folder of the recordings.
        class_map (Path | None): File that maps categories to recordings;
            None matches them by name.
        test_annotations (Path | None): Annotations of the pictures for the
            test; None draws them from ``annotations``.
        test_images (Path | None): Folder of these; None for ``images``.
        subsets (tuple[str, ...]): Sets to make: 'ss', 'ms', 'msmi'.
        test_share (float): Share of the recordings, and of the pictures
            without ``test_annotations``, that is for the test.
        min_area (float): See :class:`.selection.Rules`.
        max_sources (int): Likewise.
        min_separation (float): Likewise.
        seconds (float): Length of a clip.
        seed (int): Seed.
    """

    annotations: Path
    images: Path
    recordings: Path
    audio: Path
    class_map: Path | None = None
    test_annotations: Path | None = None
    test_images: Path | None = None
    subsets: tuple[str, ...] = SUBSETS
    test_share: float = 0.15
    min_area: float = 0.01
    max_sources: int = 3
    min_separation: float = 0.1
    seconds: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = (
            ('test_share', 0 < self.test_share < 1, 'between 0 and 1'),
            ('min_area', 0 <= self.min_area < 1, 'from 0 to below 1'),
            ('max_sources', 2 <= self.max_sources <= 100, 'from 2 to 100'),
            ('min_separation', 0 <= self.min_separation < 1, 'from 0 to 1'),
            ('seconds', 0 < self.seconds < float('inf'), 'above 0'),
            (
                'subsets',
                self.subsets and set(self.subsets) <= set(SUBSETS),
                f'of {", ".join(SUBSETS)}',
            ),
        )
        for name, fits, expected in ranges:
            if not fits:
                raise ValueError(
                    f'{name} must be {expected}, got {getattr(self, name)!r}'
                )

    @property
    def rules(self) -> Rules:
        """Rules: What may sound."""
        return Rules(
            self.min_area, self.max_sources, self.min_separation, self.seed
        )

    @property
    def folders(self) -> tuple[str, ...]:
        """tuple[str, ...]: Subsets whose folders are needed."""
        wanted = set(self.subsets)
        # Its index file takes the pictures of VPO-MS in.
        wanted |= {'ms'} if 'msmi' in wanted else set()
        return tuple(subset for subset in SUBSETS if subset in wanted)

    def told(self) -> dict:
        """Give the options that the contents depend on, for a JSON file.

        Returns:
            dict: Plain types.
        """
        return json.loads(json.dumps(asdict(self), default=str))
