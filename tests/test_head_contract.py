"""A head of another kind goes through every tool, with no edit elsewhere."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.logging import MessageHub

from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

ROOT = Path(__file__).resolve().parents[1]
HEAD = '''
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmcpm.models import BaseAVHead
from mmcpm.structures import AVPrediction


@MODELS.register_module(force=True)
class SumHead(BaseAVHead):
    """Scores every pixel from the frame and the mean of the sound."""

    def __init__(self, num_classes, in_channels, audio_channels):
        super().__init__(num_classes)
        self.classify = nn.Conv2d(sum(in_channels), num_classes, 1)
        self.sound = nn.Linear(audio_channels, num_classes)

    def encode_audio(self, audio):
        return self.sound(sum(x.mean((2, 3)) for x in audio.levels))

    def scores(self, image_features, sound, size):
        fine = image_features[0].shape[-2:]
        maps = [F.interpolate(x, fine) for x in image_features]
        scores = self.classify(torch.cat(maps, 1)) + sound[..., None, None]
        return F.interpolate(scores, size, mode='bilinear')

    def loss(self, image_features, audio, data_samples):
        labels = torch.cat([s.gt_sem_seg.data for s in data_samples])
        scores = self.scores(
            image_features, self.encode_audio(audio), labels.shape[-2:]
        )
        loss = F.cross_entropy(
            scores, labels.long(), ignore_index=self.ignore_index
        )
        return {'loss_ce': loss}

    def predict(self, image_features, encoded_audio, size):
        return AVPrediction(self.scores(image_features, encoded_audio, size))
'''
CONFIG = """
_base_ = [{config!r}]
custom_imports = dict(
    imports=['mmcpm', 'sum_head'], allow_failed_imports=False
)
model = dict(
    data_preprocessor=dict(size=(32, 32)),
    backbone=dict(base_channels=8, stem_channels=8),
    audio_backbone=dict(base_channels=4),
    audio_neck=dict(in_channels=[8, 16, 32]),
    decode_head=dict(
        _delete_=True,
        type='SumHead',
        num_classes=9,
        in_channels=[8, 16, 32, 64],
        audio_channels=64,
    ),
)
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root={data!r}, indices=8)
)
val_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root={data!r}, indices=3)
)
test_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root={data!r}, indices=3)
)
train_cfg = dict(max_epochs=1)
"""
# The same in clips of four frames; of five or ten, the last is filled up.
CLIPS = """
_base_ = ['config.py']
clips = dict(_delete_=True, type='ClipDataset', clip_length=4)
train_dataloader = dict(
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.train_dataloader.dataset, **clips),
)
val_dataloader = dict(
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.val_dataloader.dataset, **clips),
)
test_dataloader = dict(
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.test_dataloader.dataset, **clips),
)
"""


def run_tool(name, *arguments):
    """Run a program of tools/ in this process."""
    MessageHub._instance_dict.clear()
    path = ROOT / 'tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.main([str(argument) for argument in arguments])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with the head, its configuration and a few scenes."""
    folder = tmp_path_factory.mktemp('contract')
    data = folder / 'scenes'
    write_sounding_scenes(data, size=32, clips=(2, 1, 1), workers=0)
    (folder / 'sum_head.py').write_text(HEAD)
    config = ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py'
    text = CONFIG.format(config=str(config), data=str(data))
    (folder / 'config.py').write_text(text)
    (folder / 'clips.py').write_text(CLIPS)
    return folder


@pytest.fixture(autouse=True)
def import_head(folder, monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(folder), *sys.path])


@pytest.fixture(scope='module')
def trained(folder):
    """Work dir of a training with all default hooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'path', [str(folder), *sys.path])
        run_tool('train', folder / 'config.py', '--work-dir', folder / 'work')
    return folder / 'work'


def test_training_names_what_is_left_out_once(trained):
    (log,) = trained.rglob('2*.log')
    text = log.read_text()
    for name in ('GradientShareHook', 'StabilityScoreHook'):
        assert len(re.findall(f'{name} is idle', text)) == 1
    assert text.count('there is no coverage of queries') == 1
    assert (trained / 'epoch_1.pth').is_file()


@pytest.mark.parametrize(
    'options',
    [
        (),
        ('--tta',),
        ('--sound', 'silence'),
        (
            '--cfg-options',
            'model.test_cfg.mode=slide',
            'model.test_cfg.crop_size=(24,24)',
            'model.test_cfg.stride=(8,8)',
        ),
    ],
    ids=('whole', 'tta', 'silence', 'slide'),
)
def test_evaluation(folder, trained, tmp_path, options):
    checkpoint = trained / 'epoch_1.pth'
    run_tool(
        'test',
        folder / 'config.py',
        checkpoint,
        '--work-dir',
        tmp_path,
        *options,
    )
    (scores,) = [p for p in tmp_path.rglob('*.json') if 'vis' not in str(p)]
    values = json.loads(scores.read_text().splitlines()[-1])
    assert any('mIoU' in name for name in values)
    assert not any('coverage' in name for name in values)


@pytest.mark.parametrize('task', ['train', 'infer'])
def test_benchmark(folder, tmp_path, task):
    out = tmp_path / 'out.json'
    options = ('--size', 64, 64, '--repeats', 1, '--warmup', 0, '--no-memory')
    run_tool(
        'analysis_tools/benchmark',
        folder / 'config.py',
        *('--task', task, '--out', out, *options),
    )
    assert json.loads(out.read_text())['median_s'] > 0


def test_listening_report(folder, trained, tmp_path):
    run_tool(
        'analysis_tools/listening_report',
        folder / 'config.py',
        trained / 'epoch_1.pth',
        *('--out', tmp_path, '--snr', '--shift', '--clips', 1),
    )
    content = json.loads((tmp_path / 'listening_report.json').read_text())
    assert 'silence' in content['sounds']


def scores_of(folder, config, checkpoint, out, *options):
    run_tool(
        'test',
        folder / config,
        checkpoint,
        *('--work-dir', out / 'work', '--scores', out / 'scores.json'),
        *options,
    )
    content = json.loads((out / 'scores.json').read_text())
    return content['metrics'], content['protocols']


@pytest.mark.parametrize('options', [('--tta', '--sound', 'silence')])
def test_clips_are_scored_as_their_frames(folder, trained, tmp_path, options):
    """A head that looks at each frame by itself scores the same."""
    checkpoint, found = trained / 'epoch_1.pth', []
    for config in ('config.py', 'clips.py'):
        out = tmp_path / config
        out.mkdir()
        maps = ('--out', out / 'maps')
        found.append(
            scores_of(folder, config, checkpoint, out, *options, *maps)
        )
        names = [path.stem for path in (out / 'maps').rglob('*.png')]
        # Of a clip, the context of the scored frames is segmented, too.
        expected = '012' if config == 'config.py' else '0123'
        assert sorted(names) == sorted(expected)
    assert found[0] == found[1]
    assert all(p['frames'] == 3 for p in found[1][1].values())


def test_training_on_clips(folder, tmp_path):
    run_tool(
        'train',
        folder / 'clips.py',
        *('--work-dir', tmp_path),
        # Runs that begin in one second would share a log.
        *('--cfg-options', 'experiment_name=clips'),
    )
    (log,) = tmp_path.rglob('2*.log')
    # Eight frames of a clip of ten: two samples, one batch.
    assert '[1/1]' in log.read_text()
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_clips_need_their_collation(folder, tmp_path, capsys):
    option = 'train_dataloader.collate_fn.type=pseudo_collate'
    with pytest.raises(SystemExit):
        run_tool(
            'train',
            folder / 'clips.py',
            *('--work-dir', tmp_path, '--cfg-options', option),
        )
    assert 'train_dataloader gives clips' in capsys.readouterr().err


@pytest.mark.parametrize('input_kind', ['random', 'real'])
def test_benchmark_of_clips(folder, tmp_path, input_kind):
    out = tmp_path / 'out.json'
    options = ('--size', 64, 64, '--repeats', 1, '--warmup', 0, '--no-memory')
    run_tool(
        'analysis_tools/benchmark',
        folder / 'clips.py',
        *('--task', 'train', '--out', out, '--input', input_kind, *options),
    )
    assert json.loads(out.read_text())['median_s'] > 0


def test_listening_report_of_clips(folder, trained, tmp_path):
    run_tool(
        'analysis_tools/listening_report',
        folder / 'clips.py',
        trained / 'epoch_1.pth',
        *('--out', tmp_path, '--snr', '--shift', 1, '--clips', 1),
    )
    content = json.loads((tmp_path / 'listening_report.json').read_text())
    assert 'shifted_+1s' in content['sounds'] and content['frames'] == 3


def test_sheets_of_clips(folder, tmp_path):
    run_tool(
        'analysis_tools/browse_dataset',
        folder / 'clips.py',
        *('--split', 'train', '--out', tmp_path, '--max-frames', 2),
    )
    assert len(list(tmp_path.rglob('*.png'))) == 1


@pytest.mark.slow
def test_two_ranks(folder, tmp_path):
    command = [ROOT / 'tools/dist_train.sh', folder / 'config.py', 2]
    path = f'{folder}:{os.environ.get("PYTHONPATH", "")}'
    done = subprocess.run(
        [*map(str, command), '--work-dir', str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env={
            **os.environ,
            'PYTHON': sys.executable,
            'PYTHONPATH': path,
            'PYTHONWARNINGS': 'ignore',
            'OMP_NUM_THREADS': '1',
        },
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / 'epoch_1.pth').is_file()
