"""Sources and settings that a dataset like VPO is made from."""

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mmcpm.datasets.metadata.class_file import read_class_file
from mmcpm.datasets.metadata.index_table import check_name
from mmcpm.datasets.vpo import SUBSETS, VPODataset

from ..common.vpo_layout import COCO_ID_OF
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
        classes (Path | None): List of the classes, see
            :func:`.class_file.parse_class_file`; None for those of VPO.
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
    classes: Path | None = None
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

    @functools.cached_property
    def metainfo(self) -> dict:
        """dict: ``classes``, background first, and ``palette``."""
        if self.classes is None:
            return VPODataset.METAINFO
        metainfo = read_class_file(str(self.classes))
        for name in metainfo['classes']:  # VPO-SS has a folder for each.
            check_name(name, 'class', str(self.classes))
        return metainfo

    @functools.cached_property
    def mask_values(self) -> dict[str, int]:
        """dict[str, int]: What masks hold, by class: COCO's ids in VPO's.

        With a class list of one's own it is the class id.
        """
        if self.classes is None:
            return COCO_ID_OF
        return {name: i for i, name in enumerate(self.metainfo['classes'])}

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
        """Give the options that the contents depend on, for a JSON file."""
        return json.loads(json.dumps(asdict(self), default=str))
