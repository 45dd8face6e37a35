from mmcpm.dataset_converters.checking.clip_files import (
    ClipFiles,
    count_groups,
)


def clip(group, labels):
    frames = tuple(('f', 'l' if i < labels else None) for i in range(5))
    return ClipFiles(group, 2, frames, ('s',), 5)


def test_groups_are_counted_beside_the_published_ones():
    clips = [clip('train', 1), clip('val', 5), clip('train', 1)]
    published = {'train': (3, 3), 'test': (2, 10)}
    counts = count_groups(clips, [1, 4, 0], published)
    assert [tuple(count) for count in counts] == [
        ('train', 2, 2, 1, 3, 3),
        ('test', 0, 0, 0, 2, 10),
        ('val', 1, 5, 4, None, None),
        # Where a number is not published, neither is the sum.
        ('all', 3, 7, 5, None, None),
    ]


def test_one_group_needs_no_sum():
    assert len(count_groups([clip('x', 5)], [5], {})) == 1
    assert count_groups([], [], {}) == []
