"""The data root and the files in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIP = 'v2/-apT0tfo6U_16000_26000'
WHERE = '--data-root DIR'


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


# The data root


def test_data_root_does_not_exist(tools):
    message = tools.refuses('train', data_root='typo')
    assert '--data-root is not a folder' in message
    assert f'{os.getcwd()}/typo (nothing is there)' in message
    assert 'Expected the folder that holds the metadata' in message


def test_data_root_is_a_file(tools):
    file = str(tools.data_root / 'metadata.csv')
    message = tools.refuses('train', data_root=file)
    assert f'{file} (a file is there)' in message


def test_no_data_where_the_config_looks_for_it(tools):
    message = tools.refuses('train', data_root=None)
    assert f'No data root at {os.getcwd()}/data/AVSBench-Semantic' in message
    assert 'holds metadata.csv, label2idx.json and the clip' in message
    assert WHERE in message


def test_data_root_is_one_level_too_high(tools):
    folder = str(tools.data_root.parent)
    message = tools.refuses('train', data_root=folder)
    assert f'No file {folder}/metadata.csv' in message
    assert f'Did you mean {tools.data_root}?' in message


def test_data_root_is_one_level_too_deep(tools):
    message = tools.refuses('train', data_root=str(tools.data_root / 'v2'))
    assert f'No file {tools.data_root}/v2/metadata.csv' in message
    assert f'Did you mean {tools.data_root}?' in message


@pytest.mark.parametrize('name', ['s4', 'ms3'])
def test_data_of_the_object_benchmark(tools, name):
    shutil.rmtree(tools.data_root)
    (tools.data_root / f'{name}_data').mkdir(parents=True)
    (tools.data_root / f'{name}_meta_data.csv').write_text('name,split\n')
    message = tools.refuses('train')
    assert 'looks like AVSBench-Object (S4 or MS3)' in message


def test_scenes_configuration_on_real_data(tools):
    config = Path(tools.config)
    text = config.read_text().replace('num_classes=71', 'num_classes=9')
    config.write_text(text)
    message = tools.refuses(
        'train',
        *(
            f'{name}_dataloader.dataset.type=SoundingScenesDataset'
            for name in ('train', 'val')
        ),
    )
    assert 'lists 71 classes, SoundingScenesDataset has 9' in message


def test_the_command_itself(tools):
    """As a user types it: one message, exit code 2, no traceback."""
    tool = Path(__file__).resolve().parents[2] / 'tools/train.py'
    options = ['--data-root', str(tools.data_root / 'v2')]
    run = subprocess.run(
        [sys.executable, '-W', 'ignore', tool, tools.config, *options],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert run.stderr.startswith('train.py: error: No file ')
    assert f'Did you mean {tools.data_root}?' in run.stderr
    assert len(run.stderr.splitlines()) == 1


# Index files and folders


@pytest.mark.parametrize('name', ['metadata.csv', 'label2idx.json'])
@pytest.mark.parametrize('replacement', ['nothing', 'folder'])
def test_index_file_is_missing(tools, name, replacement):
    (tools.data_root / name).unlink()
    if replacement == 'folder':
        (tools.data_root / name).mkdir()
    message = tools.refuses('train')
    assert f'No file {tools.data_root}/{name}' in message
    assert 'it holds' in message and 'v1m, v1s, v2' in message
    assert WHERE in message


def test_subset_is_not_unpacked(tools):
    shutil.rmtree(tools.data_root / 'v1m')
    message = tools.refuses('train')
    assert f'No folder {tools.data_root}/v1m, which holds 2 clips' in message
    assert "dataset's argument subset" in message


@pytest.mark.parametrize('replacement', ['nothing', 'file'])
def test_clip_is_missing(tools, replacement):
    shutil.rmtree(tools.data_root / CLIP)
    if replacement == 'file':
        (tools.data_root / CLIP).write_text('not a folder')
    message = tools.refuses('train')
    assert f'1 of 6 clip folders are missing: {tools.data_root}' in message
    assert f'{CLIP}. Unpack the dataset again, or remove their' in message


def test_clip_of_the_validation_is_missing(tools):
    shutil.rmtree(tools.data_root / 'v1m/val1m_0')
    assert 'v1m/val1m_0. Unpack' in tools.refuses('train')


def test_clip_of_the_test_is_missing(tools, weights):
    shutil.rmtree(tools.data_root / 'v1m/test1m_0')
    assert 'v1m/test1m_0. Unpack' in tools.refuses('test', weights)
    tools.has_begun = False
    tools.accepts('train')


@pytest.mark.parametrize(
    ('name', 'number'),
    [
        ('audio.wav', 1),
        ('frames/3.jpg', 1),
        ('frames', 10),
        ('labels_semantic/9.png', 1),
        ('labels_semantic', 10),
    ],
)
def test_files_of_a_clip_are_missing(tools, name, number):
    """Also those of frames that are drawn in some later epoch only."""
    remove(tools.data_root / CLIP / name)
    message = tools.refuses('train')
    assert f"{number} files of the split 'train' are missing" in message
    assert f'{tools.data_root}/{CLIP}/{name}' in message
    assert "Restore them from the dataset's archive" in message
    assert f'train_dataloader.dataset.skip_unreadable={number}' in message


def test_file_of_the_validation_is_missing(tools):
    (tools.data_root / 'v1s/val1s_0_5000/frames/1.jpg').unlink()
    message = tools.refuses('train')
    assert "1 files of the split 'val' are missing" in message
    # Scores are made of all frames.
    assert 'skip_unreadable' not in message


def test_file_of_the_test_is_missing(tools, weights):
    (tools.data_root / 'v1s/test1s_0_5000/audio.wav').unlink()
    message = tools.refuses('test', weights)
    assert f'{tools.data_root}/v1s/test1s_0_5000/audio.wav' in message


def test_file_is_a_broken_link(tools):
    frame = tools.data_root / CLIP / 'frames/0.jpg'
    frame.unlink()
    frame.symlink_to('/no/such/disk/0.jpg')
    message = tools.refuses(
        'train', 'train_dataloader.dataset.frame_sampling=all', begun=True
    )
    assert f'{frame}: no such file or directory' in message


# What is no fault


def test_linked_data_root(tools, tmp_path):
    link = tmp_path / 'link'
    link.symlink_to(tools.data_root)
    tools.accepts('train', data_root=str(link))


def test_linked_clips(tools, tmp_path):
    shutil.move(tools.data_root / CLIP, tmp_path / 'elsewhere')
    (tools.data_root / CLIP).symlink_to(tmp_path / 'elsewhere')
    tools.accepts('train')


def test_other_files_lie_around(tools):
    for folder in ('', CLIP, f'{CLIP}/frames'):
        for number in range(1000):
            (tools.data_root / folder / f'.note_{number}').touch()
    tools.accepts('train')


def test_data_root_is_read_only(tools, tmp_path, weights):
    mount = ['mount', '-o', 'bind,ro', str(tools.data_root)]
    mounted = tmp_path / 'mounted'
    mounted.mkdir()
    if subprocess.run([*mount, str(mounted)], capture_output=True).returncode:
        pytest.skip('this user may not mount')
    try:
        with pytest.raises(OSError, match='Read-only'):
            (mounted / 'x').touch()
        assert tools.test(weights, data_root=str(mounted))
    finally:
        subprocess.run(['umount', str(mounted)], check=True)
