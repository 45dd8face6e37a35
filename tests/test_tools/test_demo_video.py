"""tools/demo_video.py: a video in, a video out; one message per fault."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcpm.video.video_reader import VideoReader

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/demo_video.py'
CONFIG = ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py'
# As small as it gets.
OPTIONS = [
    'model.backbone.base_channels=8',
    'model.backbone.stem_channels=8',
    'model.audio_backbone.base_channels=4',
    'model.audio_neck.in_channels=[8,16,32]',
    'model.decode_head.in_channels=[8,16,32,64]',
    'model.decode_head.num_queries=4',
]


@pytest.fixture(scope='module')
def main():
    spec = importlib.util.spec_from_file_location('demo_video', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.main


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights of the small model."""
    import torch
    from mmengine.config import Config

    from mmcpm.apis import init_model
    from mmcpm.apis.options import apply_cfg_options

    cfg = Config.fromfile(CONFIG)
    apply_cfg_options(cfg, OPTIONS)
    torch.manual_seed(0)
    model = init_model(cfg, device='cpu')
    path = tmp_path_factory.mktemp('weights') / 'small.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return path


@pytest.fixture(autouse=True)
def work_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])


@pytest.fixture
def clip(video_writer):
    """A second of pictures with a sound."""
    generator = np.random.default_rng(0)
    images = [
        generator.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(10)
    ]
    sound = generator.uniform(-0.5, 0.5, (1, 16000))
    return video_writer(Path('clip.mkv'), images, sound=sound)


@pytest.fixture
def refuses(main, checkpoint, capsys):
    """The function that runs the tool and gives its one message."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(CONFIG), *map(str, arguments), '--device', 'cpu',
                  '--cfg-options', *OPTIONS])  # fmt: skip
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert 'Traceback' not in error
        return error[error.index('demo_video.py: error: ') :]

    return run


def test_video_in_video_out(main, checkpoint, clip, capsys):
    summary = main(
        [str(CONFIG), str(checkpoint), str(clip), '--json', 'a.json']
        + ['--device', 'cpu', '--masks', 'm', '--cfg-options', *OPTIONS]
    )
    assert (summary.frames, summary.predictions) == (10, 10)
    told = capsys.readouterr().out
    assert '10 frames, 10 predictions in' in told
    assert 'clip_avs.mp4\na.json\n' in told
    with VideoReader('clip_avs.mp4') as reader:
        assert len(list(reader)) == 10
        assert reader.info.audio_tracks == ('aac, 1 channels, 16000 Hz',)
    frames = json.loads(Path('a.json').read_text())['frames']
    for frame in frames:
        mask = cv2.imread(f'm/{frame["sample_id"]}.png', -1)
        classes = {one['id'] for one in frame['classes']}
        assert set(np.unique(mask)) - {0} == classes


def test_name_of_a_model_and_folder_of_frames(
    main, checkpoint, video_writer, tmp_path
):
    Path('frames').mkdir()
    for index in range(3):
        cv2.imwrite(f'frames/{index}.png', np.zeros((32, 32, 3)))
    name = 'avmask2former_r18_scenes'
    arguments = [name, str(checkpoint), 'frames', '--sound', 'silence']
    summary = main([*arguments, '--device', 'cpu', '--cfg-options', *OPTIONS])
    assert summary.frames == 3 and Path('frames_avs.mp4').is_file()


def test_faults_are_told_in_one_message(refuses, checkpoint, clip, tmp_path):
    Path('notes.mp4').write_text('Dear diary')
    Path('frames').mkdir()
    for arguments, message in (
        (('no.pth', clip), 'checkpoint not found'),
        ((checkpoint, 'no.mp4'), 'video not found'),
        ((checkpoint, 'notes.mp4'), "text file (it begins with 'Dear diary')"),
        ((checkpoint, 'frames'), 'name its sound with --sound FILE'),
        ((checkpoint, clip, '--out', clip), 'is the video itself'),
        ((checkpoint, clip, '--out', 'a.gif'), 'ends with .mp4'),
        ((checkpoint, clip, '--out', 'notes.mp4/a.mp4'), 'cannot write to'),
        ((checkpoint, clip, '--fps', '0'), 'fps must be above 0'),
        ((checkpoint, clip, '--batch-size', '0'), 'at least 1'),
        ((checkpoint, clip, '--sound', 'no.wav'), 'sound not found: no.wav'),
        ((checkpoint, clip, '--audio-track', '4'), 'no sound track 4'),
        ((checkpoint, clip, '--opacity', '3'), '--opacity must be 0 to 1'),
    ):
        assert message in refuses(*arguments), message
    assert not [p for p in tmp_path.iterdir() if 'partial' in p.name]
    assert Path('notes.mp4').read_text() == 'Dear diary'


def test_video_is_looked_at_before_the_model(refuses):
    assert 'video not found' in refuses('no.pth', 'no.mp4')


def test_ctrl_c_in_the_middle(checkpoint, video_writer, tmp_path):
    images = [np.full((64, 64, 3), k % 255, np.uint8) for k in range(3000)]
    clip = video_writer(Path('long.mkv'), images)
    process = subprocess.Popen(
        [sys.executable, str(TOOL), str(CONFIG), str(checkpoint), str(clip),
         '--json', 'o.json', '--out', 'o.mp4', '--device', 'cpu',
         '--cfg-options', *OPTIONS],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    # Not before a group of pictures of two seconds is in the file.
    while process.poll() is None:
        hidden = list(tmp_path.glob('.o.partial-*.json'))
        if hidden and hidden[0].stat().st_size > 3000:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert 'Traceback' not in error
    assert (
        'demo_video.py: interrupted. what was done is kept, and ends early: '
        'o.partial.mp4, o.partial.json'
    ) in error
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ['long.mkv', 'o.partial.json', 'o.partial.mp4']
    told = json.loads(Path('o.partial.json').read_text())
    assert told['complete'] is False
    with VideoReader('o.partial.mp4') as reader:
        number = len(list(reader))
    assert 20 < number < 3000 and number == len(told['frames'])
