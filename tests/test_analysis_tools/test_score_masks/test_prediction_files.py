import pytest

from mmcpm.analysis_tools.score_masks.prediction_files import match_files
from mmcpm.utils.errors import UsageError

# Two clips of S4, of two frames each.
FRAMES = ['dog/a/0', 'dog/a/1', 'cat/-b_0/0', 'cat/-b_0/1']


def write(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return folder


@pytest.mark.parametrize(
    ('names', 'layout', 'first'),
    [
        (
            ['dog/a/0', 'dog/a/1', 'cat/-b_0/0', 'cat/-b_0/1'],
            '<clip>/<frame>',
            0,
        ),
        (
            ['dog/a/1', 'dog/a/2', 'cat/-b_0/1', 'cat/-b_0/2'],
            '<clip>/<frame>',
            1,
        ),
        # As published: from 0. As the masks of the dataset: from 1.
        (
            ['dog/a/a_0', 'dog/a/a_1', 'cat/-b_0/-b_0_0', 'cat/-b_0/-b_0_1'],
            '<clip>/<name>_<frame>',
            0,
        ),
        (
            ['dog/a/a_1', 'dog/a/a_2', 'cat/-b_0/-b_0_1', 'cat/-b_0/-b_0_2'],
            '<clip>/<name>_<frame>',
            1,
        ),
        (
            ['a/a_0', 'a/a_1', '-b_0/-b_0_0', '-b_0/-b_0_1'],
            '<name>/<name>_<frame>',
            0,
        ),
        (['a_1', 'a_2', '-b_0_1', '-b_0_2'], '<name>_<frame>', 1),
    ],
)
def test_layouts(tmp_path, names, layout, first):
    write(tmp_path, [f'{name}.png' for name in names])
    matches = match_files(tmp_path, FRAMES)
    assert matches.layout == (layout, first)
    assert {
        sample: path.relative_to(tmp_path).as_posix()
        for sample, path in matches.files.items()
    } == {
        sample: f'{name}.png'
        for sample, name in zip(FRAMES, names, strict=True)
    }
    assert not matches.missing and not matches.unknown


def test_images_of_one_frame_need_no_number(tmp_path):
    write(tmp_path, ['001.png', '002.npy'])
    matches = match_files(tmp_path, ['001/0', '002/0'])
    assert matches.layout.name == '<clip>'
    assert matches.files['002/0'].name == '002.npy'


def test_missing_and_unknown_files_are_told(tmp_path):
    write(tmp_path, ['dog/a/0.png', 'dog/a/1.png', 'cat/c/0.png', 'x.txt'])
    matches = match_files(tmp_path, FRAMES)
    assert matches.missing == ['cat/-b_0/0', 'cat/-b_0/1']
    assert matches.unknown == ['cat/c/0.png']


def test_files_of_padded_frames_are_told_apart(tmp_path):
    frames = [f'u/{i}' for i in range(5)]
    write(tmp_path, [f'u/u_{i}.png' for i in (*range(10), 12)])
    matches = match_files(tmp_path, frames, padded=True)
    assert matches.layout == ('<clip>/<name>_<frame>', 0)
    assert matches.padding == [f'u/u_{i}.png' for i in range(5, 10)]
    assert matches.unknown == ['u/u_12.png']
    assert len(match_files(tmp_path, frames, first_frame=0).unknown) == 6


def test_names_that_leave_the_first_frame_open(tmp_path):
    write(tmp_path, ['a/1.png'])
    with pytest.raises(UsageError, match='--first-frame'):
        match_files(tmp_path, ['a/0', 'a/1'])
    for first in (0, 1):
        matches = match_files(tmp_path, ['a/0', 'a/1'], first_frame=first)
        assert list(matches.files) == [f'a/{1 - first}']


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'holds no file of predictions'),
        (['other/0.png'], 'none of 1 files.*other/0.*such as dog/a/0.png'),
        (['dog/a/0.png', 'dog/a/0.npy'], '1 frames have two files'),
    ],
)
def test_folders_without_use(tmp_path, names, message):
    write(tmp_path, names)
    with pytest.raises(UsageError, match=message):
        match_files(tmp_path, FRAMES)


def test_no_folder(tmp_path):
    with pytest.raises(UsageError, match='nothing is there'):
        match_files(tmp_path / 'x', FRAMES)
    (tmp_path / 'y').write_text('')
    with pytest.raises(UsageError, match='it is a file'):
        match_files(tmp_path / 'y', FRAMES)
