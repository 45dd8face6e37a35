"""Counting clips and label maps beside the published numbers."""

from collections.abc import Mapping, Sequence

from .clip_files import ClipFiles
from .report import Count


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
