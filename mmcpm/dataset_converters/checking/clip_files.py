"""The files that a row of an index file asks for, and their number."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .report import Count


class ClipFiles(NamedTuple):
    """The files of a clip; paths are relative to the data root.

    Attributes:
        group (str): Subset and split, under which it is counted.
        row (int): Line in the index file.
        frames (tuple): Path of every frame, and of its label map or None.
        sounds (tuple[str, ...]): Paths of the sound files.
        seconds (float): Expected length of the sounds.
        at_least (bool): Whether they may be longer.
        more_rows (tuple[int, ...]): Further lines that speak of it.
        sources (tuple[str, ...]): Names of what sounds, by the index file.
    """

    group: str
    row: int
    frames: tuple[tuple[str, str | None], ...]
    sounds: tuple[str, ...]
    seconds: float
    at_least: bool = False
    more_rows: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """list[str]: All its files."""
        pairs = [path for pair in self.frames for path in pair if path]
        return [*pairs, *self.sounds]


def list_clips(
    rows: Iterable[tuple[int, Any]], describe: Callable[[Any], tuple]
) -> list[ClipFiles]:
    """List the files of the clips of AVSBench, once for each split.

    Args:
        rows (Iterable[tuple[int, Any]]): Line and record of each clip.
        describe (Callable): Gives the dataset that knows where the files of a
            clip lie, its group and its number of frames, one per second.

    Returns:
        list[ClipFiles]: In the order of the rows.
    """
    clips = {}
    for line, clip in rows:
        dataset, group, number = describe(clip)
        key = (clip.uid, group)
        if key in clips:
            continue
        item = {**clip._asdict(), 'uid': clip.uid}
        infos = [dataset.frame_info(item, i) for i in range(number)]
        labeled = dataset.labeled_frames(clip)
        clips[key] = ClipFiles(
            group,
            line,
            tuple(
                (
                    info['img_path'],
                    info['seg_map_path'] if i in labeled else None,
                )
                for i, info in enumerate(infos)
            ),
            (infos[0]['audio_path'],),
            number,
            sources=getattr(clip, 'names', ()),
        )
    return list(clips.values())


def count_groups(
    clips: Sequence[ClipFiles],
    present: Sequence[int],
    published: Mapping[str, tuple[int, int]],
) -> list[Count]:
    """Count clips and label maps of every subset and split.

    Args:
        clips (Sequence[ClipFiles]): All clips.
        present (Sequence[int]): Label maps of each that are on disk.
        published (Mapping[str, tuple[int, int]]): Clips and label maps of
            the published dataset, by subset and split; may be empty.

    Returns:
        list[Count]: Published groups first, in their order, then others;
        last the sum, if there are several.
    """
    groups = dict.fromkeys((*published, *(clip.group for clip in clips)))
    counts = []
    for group in groups:
        inside = [i for i, clip in enumerate(clips) if clip.group == group]
        counts.append(
            Count(
                group,
                len(inside),
                sum(
                    label is not None
                    for i in inside
                    for _, label in clips[i].frames
                ),
                sum(present[i] for i in inside),
                *published.get(group, (None, None)),
            )
        )
    if len(counts) < 2:
        return counts
    columns = list(zip(*counts, strict=True))[1:]
    sums = [None if None in cells else sum(cells) for cells in columns]
    return [*counts, Count('all', *sums)]
