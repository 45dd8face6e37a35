"""What is only reported neither ends a training nor changes it."""

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mmcpm.engine.hooks import ProgressBarHook
from mmcpm.models import BaseAVHead
from mmcpm.structures import AVPrediction

CLASSES = 5
# Default hooks of mmcpm that report, made to do so in every iteration.
DIAGNOSTICS = {
    'stability': dict(type='StabilityScoreHook'),
    'shares': dict(type='GradientShareHook', interval=1),
    'idle': dict(type='IdleLossHook', patience=2),
    'samples': dict(type='SampleReportHook'),
    'statistics': dict(type='BatchNormSyncHook'),
    'pictures': dict(type='AVSVisualizationHook', draw=True, interval=1),
    'bar': dict(type='ProgressBarHook'),
}


@HOOKS.register_module(force=True)
class FreezeHook(Hook):
    """Freezes parameters by the begin of their names, or all others."""

    priority = 'VERY_HIGH'

    def __init__(self, names=(), but=()):
        self.names, self.but = tuple(names), tuple(but)

    def before_train(self, runner):
        for name, parameter in runner.model.named_parameters():
            frozen = name.startswith(self.names)
            if self.but:
                frozen = not name.startswith(self.but)
            parameter.requires_grad_(not frozen)


@MODELS.register_module(force=True)
class PixelHead(BaseAVHead):
    """A head without queries: the frame and the mean of the sound."""

    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes)
        self.classify = nn.Conv2d(in_channels, num_classes, 1)
        self.audio_classify = nn.Linear(64, num_classes)

    def encode_audio(self, audio):
        return self.audio_classify(audio.levels[-1].mean((2, 3)))

    def scores(self, image_levels, audio_scores, size):
        scores = self.classify(image_levels[0]) + audio_scores[..., None, None]
        return F.interpolate(scores, size)

    def loss(self, image_levels, audio, samples):
        labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
        scores = self.scores(
            image_levels, self.encode_audio(audio), labels.shape[-2:]
        )
        total = F.cross_entropy(scores, labels.clamp(max=0))
        return {'loss_ce': total}

    def predict(self, image_levels, encoded_audio, size):
        return AVPrediction(self.scores(image_levels, encoded_audio, size))


class Frames(Dataset):
    """Frames of noise with other labels each."""

    metainfo = {
        'classes': tuple('abcde'),
        'palette': [[40 * k] * 3 for k in range(CLASSES)],
    }

    def __init__(self, kind='normal'):
        self.kind = kind

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        label = torch.zeros(1, 32, 32, dtype=torch.long)
        sounding = (1 + index,) if self.kind == 'normal' else ()
        if sounding:
            label[:, :16] = 1 + index
        if self.kind == 'ignored':
            label.fill_(255)
        sample = SegDataSample()
        sample.gt_sem_seg = PixelData(data=label)
        sample.audio = 0.1 * torch.randn(1, 16000, generator=generator)
        sample.set_metainfo(
            dict(
                sample_id=f'clip/{index}',
                audio_labels=sounding,
                audio_valid_samples=0,
                ori_shape=(32, 32),
                img_shape=(32, 32),
            )
        )
        inputs = torch.randint(
            256, (3, 32, 32), generator=generator, dtype=torch.uint8
        )
        return dict(inputs=inputs, data_samples=sample)


def settings(head):
    """Configuration of a model of a few thousand weights."""
    init_default_scope('mmseg')
    name = {'cpm': 'cpm_r18_tiny'}.get(head, 'avmask2former_r18_tiny')
    cfg = Config.fromfile(f'{CONFIGS}/_base_/models/{name}.py').model
    cfg.data_preprocessor.size = (32, 32)
    cfg.backbone.update(base_channels=8, stem_channels=8)
    cfg.audio_backbone.update(base_channels=4)
    cfg.audio_neck.update(in_channels=[8, 16, 32])
    decode = cfg.decode_head
    decode.update(
        num_classes=CLASSES, num_queries=8, in_channels=[8, 16, 32, 64]
    )
    decode.pixel_decoder.encoder.num_layers = 1
    decode.transformer_decoder.num_layers = 1
    decode.train_cfg.num_points = 16
    if head == 'pixel':
        cfg.decode_head = dict(
            type='PixelHead', num_classes=CLASSES, in_channels=8
        )
    elif head == 'cpm':
        # Prompts are ready in the second iteration.
        decode.classifier.update(
            em_interval=1, min_members=1, num_components=1, bank_size=8
        )
    return cfg


CONFIGS = __file__.rsplit('/tests/', 1)[0] + '/configs'
CACHE = {}


def train(tmp_path, hooks, head='cpm', kind='normal', freeze=None, **changes):
    """Train four iterations on one process; return weights and losses."""
    MessageHub._instance_dict.clear()
    torch.manual_seed(0)
    model = CACHE.setdefault(head, MODELS.build(settings(head)))
    losses = []

    class Losses(Hook):
        priority = 'VERY_LOW'

        def after_train_iter(self, runner, batch_idx, data_batch, outputs):
            losses.append(float(outputs['loss']))

    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=Frames(kind),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = Runner(
        model=copy.deepcopy(model),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=dict(type='CoverageMetric'),
        val_cfg={},
        train_cfg=changes.get('train_cfg', dict(by_epoch=True, max_epochs=2)),
        optim_wrapper=dict(
            type=changes.get('optim_wrapper', 'OptimWrapper'),
            accumulative_counts=changes.get('accumulative_counts', 1),
            optimizer=dict(type='AdamW', lr=1e-3),
        ),
        default_hooks=dict(logger=None, checkpoint=None),
        custom_hooks=[
            *([dict(type='FreezeHook', **freeze)] if freeze else []),
            *(dict(DIAGNOSTICS[name]) for name in hooks),
            dict(type='NonFiniteGuardHook'),
            Losses(),
        ],
        visualizer=dict(type='AVSLocalVisualizer', name=str(tmp_path)),
        experiment_name=f'{tmp_path.name}{len(hooks)}',
        default_scope='mmseg',
        randomness=dict(seed=0, deterministic=True),
        log_level=logging.ERROR,
    )
    runner.train()
    torch.use_deterministic_algorithms(False)
    return runner.model.state_dict(), losses


def assert_same_run(tmp_path, hooks, **case):
    weights, losses = train(tmp_path, (), **case)
    others, other_losses = train(tmp_path, hooks, **case)
    assert losses == other_losses and len(losses) == 4
    for name, value in weights.items():
        if not name.endswith('match_counts'):
            assert torch.equal(value, others[name]), name


AUDIO = ('audio_backbone', 'audio_neck', 'decode_head.audio_query_decoder')
CASES = {
    'nothing frozen': {},
    'audio frozen': dict(freeze=dict(names=AUDIO)),
    'image backbone frozen': dict(freeze=dict(names=('backbone',))),
    'all but the class layer frozen': dict(
        freeze=dict(but=('decode_head.cls_embed',))
    ),
    'head frozen but for one layer': dict(
        freeze=dict(names=('decode_head.a', 'decode_head.p', 'decode_head.q'))
    ),
    'no foreground': dict(kind='silent'),
    'all ignored': dict(kind='ignored'),
    'without prompts': dict(head='base'),
    'a head without queries': dict(head='pixel'),
    'bfloat16': dict(optim_wrapper='CPUAmpOptimWrapper'),
    'accumulation': dict(accumulative_counts=2),
    'iterations': dict(
        train_cfg=dict(by_epoch=False, max_iters=4, val_interval=2)
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_reports_change_nothing(tmp_path, case):
    assert_same_run(tmp_path, tuple(DIAGNOSTICS), **CASES[case])


def test_frozen_audio_has_no_shares(tmp_path, monkeypatch):
    from mmcpm.models.segmentors import CPMEncoderDecoder

    logged = []
    parse = CPMEncoderDecoder.parse_losses

    def spy(self, losses):
        total, values = parse(self, losses)
        logged.append({k for k in values if 'gradient' in k})
        return total, values

    monkeypatch.setattr(CPMEncoderDecoder, 'parse_losses', spy)
    train(tmp_path, ('shares',))
    assert all('gradient_acp' in names for names in logged)
    logged.clear()
    train(tmp_path, ('shares',), freeze=dict(names=AUDIO))
    assert logged == [set()] * 4


def test_a_bar_that_nobody_can_see(monkeypatch):
    """As when stderr goes to a program that has ended."""
    hook = ProgressBarHook()
    runner = SimpleNamespace(max_iters=3, iter=0)
    hook.before_train(runner)

    def broken(*args):
        raise BrokenPipeError

    for call in (hook.before_val, hook.after_val, hook.after_train):
        hook.bar = SimpleNamespace(set_description=broken, close=broken)
        call(runner)
        assert hook.bar is None
    hook.bar = SimpleNamespace(
        update=broken, n=0, total=3, last_print_t=0, mininterval=0
    )
    hook.after_train_iter(runner, 0)
    assert hook.bar is None
