import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcpm.datasets import DatasetIndexError, DatasetNotFoundError
from mmcpm.datasets.metadata.class_file import (
    parse_class_file,
    read_class_file,
)

WORDS = st.text(string.ascii_lowercase + '-_', min_size=1, max_size=8)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(' '.join)
COLORS = st.lists(st.integers(0, 255), min_size=3, max_size=3)


@given(
    st.lists(NAMES.filter(lambda n: n != 'background'), unique=True).filter(
        bool
    ),
    st.booleans(),
    st.data(),
)
def test_any_list_comes_back(names, with_background, data):
    listed = [*(['background'] if with_background else []), *names]
    colors = data.draw(
        st.none()
        | st.lists(COLORS, min_size=len(listed), max_size=len(listed))
    )
    lines = listed
    if colors:
        lines = [
            ' '.join(map(str, [name, *color]))
            for name, color in zip(listed, colors, strict=True)
        ]
    found = parse_class_file('\n\n'.join(lines) + '\n', 'c.txt')
    assert found['classes'] == ('background', *names)
    assert len(found['palette']) == len(names) + 1
    if colors and with_background:
        assert found['palette'] == colors
    elif colors:
        assert found['palette'] == [[0, 0, 0], *colors]


def test_colors_of_the_field_where_none_are_given():
    # By PASCAL VOC: class 1 is dark red, 2 dark green, 4 dark blue.
    palette = parse_class_file('a\nb\nc\nd', 'c.txt')['palette']
    assert palette[:3] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert palette[4] == [0, 0, 128]


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('', '0 classes'),
        ('background', '0 classes'),
        ('dog\ncat\ndog', "line 3: 'dog' is listed twice"),
        ('dog\nBackground', 'line 2: the background is class 0'),
        ('dog 1 2 3\ncat', "'cat' has no color"),
        ('dog 1 2 256', 'line 1: the color [1, 2, 256]'),
        ('\n'.join(f'c{i}' for i in range(255)), '255 classes'),
    ],
)
def test_bad_lists(text, told):
    with pytest.raises(DatasetIndexError) as caught:
        parse_class_file(text, 'c.txt')
    for part in ('c.txt', told):
        assert part in str(caught.value)


def test_most_classes():
    text = '\n'.join(f'c{i}' for i in range(254))
    found = parse_class_file(text, 'c.txt')
    assert len(found['classes']) == len(found['palette']) == 255


def test_files_are_read_as_text(tmp_path):
    path = tmp_path / 'c.txt'
    path.write_bytes('\ufeffdog\r\ncell phone\r\n'.encode())
    found = read_class_file(str(path))
    assert found['classes'] == ('background', 'dog', 'cell phone')
    with pytest.raises(DatasetNotFoundError, match='class_file of the data'):
        read_class_file(str(tmp_path / 'absent'))
