"""Whole runs of one configuration, as text, as pure Python and as its copy,
with wrapped datasets and every option."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger

from mmcpm.apis import train_and_test
from mmcpm.visualization import AVSLocalVisualizer

PARTS = """
import torch
import torch.nn as nn
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS


@MODELS.register_module(force=True)
class ColorAndLoudness(BaseModel):
    '''Classifies every pixel by its color and the frame's loudness.'''

    def __init__(self, decode_head, **kwargs):
        super().__init__(**kwargs)
        self.out_channels = decode_head['num_classes']
        self.conv = nn.Conv2d(4, self.out_channels, 1)

    def forward(self, inputs, data_samples, mode):
        for sample in data_samples:
            sample.audio = sample.audio.float()
        scores = []
        for image, sample in zip(inputs, data_samples):
            loud = image.new_full((1, *image.shape[1:]), 0).float()
            loud += sample.audio.abs().mean()
            scores.append(self.conv(torch.cat([image / 255, loud])[None])[0])
        if mode == 'loss':
            return {'loss': sum(
                nn.functional.cross_entropy(s[None], d.gt_sem_seg.data,
                                            ignore_index=255)
                for s, d in zip(scores, data_samples))}
        for sample, logits in zip(data_samples, scores):
            if sample.get('flip'):
                logits = logits.flip(-1)
            sample.seg_logits = PixelData(data=logits)
            sample.pred_sem_seg = PixelData(data=logits.argmax(0)[None])
        return data_samples
"""
PURE = """
from mmcv.transforms import RandomFlip, TestTimeAug
from mmengine.dataset import (
    ClassBalancedDataset, ConcatDataset, DefaultSampler, RepeatDataset)
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.transforms import (
    CutAudioToFrame, LoadAudioFromFile, LoadAVSAnnotations,
    LoadFrameFromFile, PackAVSInputs, SwapStereoOnFlip)
from mmcpm.engine.hooks import (
    AtomicCheckpointHook, EpochSeedHook, SampleReportHook)
from mmcpm.evaluation import DatasetIoUFMetric
from mmcpm.models import AVSegTTAModel
from parts import ColorAndLoudness
from torch.optim import SGD

default_scope = None
steps = [
    dict(type=LoadFrameFromFile), dict(type=LoadAudioFromFile),
    dict(type=CutAudioToFrame), dict(type=LoadAVSAnnotations)]
pipeline = steps + [dict(type=PackAVSInputs)]
split = dict(type=AVSBenchSemanticDataset, data_root='x', pipeline=pipeline)
train = dict(split='train', **split)
val = dict(split='val', test_mode=True, **split)
sampler = dict(type=DefaultSampler, shuffle=False, round_up=False)
train_dataloader = dict(
    batch_size=1, num_workers=0, sampler=sampler,
    dataset=dict(type=RepeatDataset, times=2, dataset=dict(
        type=ConcatDataset, datasets=[
            dict(indices=1, subset='v1s', **train),
            dict(type=ClassBalancedDataset, oversample_thr=0.9,
                 dataset=dict(subset='v1m', **train))])))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=sampler,
    dataset=dict(type=ConcatDataset, datasets=[dict(subset='v1s', **val)]))
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=sampler,
    dataset=dict(type=ConcatDataset, datasets=[
        dict(subset='v1s', **val),
        dict(type=RepeatDataset, times=2,
             dataset=dict(subset='v1m', **val))]))
val_evaluator = [dict(type=DatasetIoUFMetric)]
test_evaluator = val_evaluator
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))
auto_scale_lr = dict(enable=False, base_batch_size=4)
model = dict(type=ColorAndLoudness, decode_head=dict(num_classes=71))
tta_model = dict(type=AVSegTTAModel)
tta_pipeline = steps + [dict(type=TestTimeAug, transforms=[
    [dict(type=RandomFlip, prob=0.0), dict(type=RandomFlip, prob=1.0)],
    [dict(type=SwapStereoOnFlip)], [dict(type=PackAVSInputs)]])]
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
default_hooks = dict(checkpoint=dict(type=AtomicCheckpointHook))
custom_hooks = [dict(type=EpochSeedHook), dict(type=SampleReportHook)]
"""


def call(function, args):
    for manager in (MMLogger, MessageHub, AVSLocalVisualizer):
        manager._instance_dict.clear()
    return function(args)


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory, avss_root, train_args, test_args):
    """What every form of the configuration leads to."""
    folder = tmp_path_factory.mktemp('forms')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv('LOCAL_RANK', '0')
        patch.delenv('RANK', raising=False)
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        Path('parts.py').write_text(PARTS)
        Path('pure.py').write_text(PURE)
        Path('copy.py').write_text(Config.fromfile('pure.py').dump())
        yield {
            name: run(name, avss_root, train_args, test_args)
            for name in ('pure', 'copy')
        }


def run(name, data_root, train_args, test_args):
    """Train with all options, resume, and test with all options."""
    common = dict(data_root=str(data_root), seed=1)
    options = dict(common, work_dir=name, amp=True, auto_scale_lr=True)
    call(train_and_test.train, train_args(f'{name}.py', **options))
    # The copy that the run has left, further.
    args = train_args(
        f'{name}/{name}.py',
        resume='auto',
        cfg_options=['train_cfg.max_epochs=2'],
        **options,
    )
    call(train_and_test.train, args)
    written = Config.fromfile(f'{name}/{name}.py')
    checkpoint = torch.load(f'{name}/epoch_2.pth', weights_only=False)
    weights = f'{name}/epoch_2.pth'
    torch.save({'state_dict': checkpoint['state_dict']}, f'{name}/weights.pth')
    scores = {}
    for sound in ('silence', 'swapped'):
        args = test_args(
            f'{name}.py',
            weights,
            sound=sound,
            tta=True,
            out=f'{name}/maps_{sound}',
            show_dir=f'{name}/pictures' if sound == 'swapped' else None,
            scores=f'{name}/{sound}.json',
            work_dir=f'{name}/test',
            **common,
        )
        call(train_and_test.test, args)
        scores[sound] = json.loads(Path(f'{name}/{sound}.json').read_text())
    return {
        'folder': Path(name).absolute(),
        'wrapper': written.optim_wrapper.type,
        'iterations': checkpoint['meta']['iter'],
        'weights': checkpoint['state_dict'],
        'scores': {k: v['metrics'] for k, v in scores.items()},
    }


@pytest.mark.parametrize('name', ['pure', 'copy'])
def test_options_work_on_wrapped_datasets(outcomes, name):
    found = outcomes[name]
    assert found['wrapper'] == 'mmseg.CPUAmpOptimWrapper'
    # Each epoch: 2 x (one clip of v1s, and the two of v1m as often as
    # ClassBalancedDataset has them: classes 3, 4 and 4, 5 in the labels, of
    # which 4 is in both clips and the others in one of two, so that each clip
    # counts ceil(sqrt(0.9 / 0.5)) = 2 times).
    assert found['iterations'] == 2 * 2 * (1 + 2 * 2)
    # The validation clips: five frames each, every one once.
    folder = found['folder']
    for kind in ('maps_silence', 'maps_swapped', 'pictures'):
        files = sorted(p.parent.name for p in (folder / kind).rglob('*.png'))
        assert files == ['val1m_0'] * 5 + ['val1s_0_5000'] * 5


def test_all_forms_lead_to_the_same(outcomes):
    pure, copy = outcomes['pure'], outcomes['copy']
    for key, value in pure['weights'].items():
        assert torch.equal(value, copy['weights'][key])
    assert pure['scores'] == copy['scores']
