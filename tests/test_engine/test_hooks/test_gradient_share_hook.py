from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcpm.engine.hooks import GradientShareHook, gradient_share_hook

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
GROUPS = {
    'avmask2former_r18_tiny': {'cls', 'mask', 'dice'},
    'cpm_r18_tiny': {'cls', 'mask', 'dice', 'vcp', 'acp', 'pcl'},
}


def build(name):
    cfg = Config.fromfile(CONFIGS / f'_base_/models/{name}.py').model
    cfg.decode_head.train_cfg.num_points = 16
    cfg.data_preprocessor.size = (64, 64)
    torch.manual_seed(0)
    return MODELS.build(cfg)


@pytest.fixture
def baseline(mmseg_scope):
    return build('avmask2former_r18_tiny')


@pytest.fixture
def make_runner():
    """Make a runner of a model, and the list of its log's lines."""

    def make(model, iteration=1):
        lines = []
        logger = SimpleNamespace(info=lines.append, warning=lines.append)
        return SimpleNamespace(
            model=model, iter=iteration, logger=logger
        ), lines

    return make


def compute_losses(model):
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for index in range(2):
        label = torch.zeros(1, 64, 64, dtype=torch.long)
        label[:, :20, 10:50] = 1 + index
        sample = SegDataSample(
            metainfo=dict(
                ori_shape=(64, 64), uid=str(index), audio_labels=(1 + index,)
            )
        )
        sample.gt_sem_seg = PixelData(data=label)
        sample.audio = 0.1 * torch.randn(1, 16000, generator=generator)
        samples.append(sample)
        inputs.append(torch.full((3, 64, 64), 60 * index, dtype=torch.uint8))
    batch = dict(inputs=inputs, data_samples=samples)
    return model(**model.data_preprocessor(batch, True), mode='loss')


def shares_in(logged):
    return {k: float(v) for k, v in logged.items() if 'gradient' in k}


@pytest.mark.parametrize('name', GROUPS)
def test_segmentors_log_the_shares(mmseg_scope, make_runner, name):
    """And they change neither the losses nor what is learned."""
    model = build(name)
    losses = compute_losses(model)
    total, logged = model.parse_losses(losses)
    assert shares_in(logged) == {}
    runner, _ = make_runner(model)
    GradientShareHook(interval=1).before_train_iter(runner, 1)
    watched, logged = model.parse_losses(losses)
    assert torch.equal(watched, total)
    shares = shares_in(logged)
    assert set(shares) == {f'gradient_{group}' for group in GROUPS[name]}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares['gradient_cls'] > 0
    assert all(p.grad is None for p in model.parameters())


def test_shares_are_those_of_the_module_that_is_named(baseline, make_runner):
    """By hand: one loss moves the neck, the other three times as much."""
    bias = baseline.audio_neck.lateral_convs[0].conv.bias
    losses = {
        'loss_cls': bias[0] + 0,
        'loss_mask': 3 * bias[0],
        'loss_dice': baseline.decode_head.query_feat.weight.sum(),
    }
    for module, expected in (
        ('audio_neck', (0.25, 0.75, 0.0)),
        ('decode_head.query_feat', (0.0, 0.0, 1.0)),
    ):
        runner, _ = make_runner(baseline)
        hook = GradientShareHook(interval=1, module=module)
        hook.before_train_iter(runner, 1)
        shares = shares_in(baseline.parse_losses(losses)[1])
        assert tuple(shares.values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    'interval,due', [(4, [1, 5, 9]), (1, list(range(10))), (0, [])]
)
def test_shares_are_asked_for_at_the_interval(
    baseline, make_runner, interval, due
):
    hook, seen = GradientShareHook(interval=interval), []
    for iteration in range(10):
        runner, _ = make_runner(baseline, iteration)
        hook.before_train_iter(runner, iteration)
        losses = {'loss_cls': baseline.decode_head.query_feat.weight.sum()}
        seen.append(bool(shares_in(baseline.parse_losses(losses)[1])))
    assert [i for i, asked in enumerate(seen) if asked] == due


def test_shares_that_cannot_be_computed_end_nothing(
    baseline, make_runner, monkeypatch
):
    """Parts may be checkpointed or compiled so that autograd refuses."""

    def refuse(*args):
        raise RuntimeError('Checkpointing is not compatible with .grad()')

    monkeypatch.setattr(gradient_share_hook, 'gradient_shares', refuse)
    runner, lines = make_runner(baseline)
    hook = GradientShareHook(interval=1)
    losses = {'decode.loss_cls': torch.tensor(2.0, requires_grad=True)}
    for _ in range(2):
        hook.before_train_iter(runner, 1)
        total, logged = baseline.parse_losses(losses)
        assert float(total) == 2 and shares_in(logged) == {}
    assert len(lines) == 1 and 'Checkpointing' in lines[0]


@pytest.mark.parametrize('other', ['no segmentor', 'no such module'])
def test_other_models_are_left_alone(baseline, make_runner, other):
    if other == 'no segmentor':
        model, hook = nn.ReLU(), GradientShareHook()
    else:
        model, hook = baseline, GradientShareHook(module='decode_head.gate')
    runner, lines = make_runner(model)
    for _ in range(3):
        hook.before_train_iter(runner, 1)
    assert len(lines) == 1 and 'GradientShareHook is idle' in lines[0]
    assert getattr(model, 'loss_observer', None) is None


def test_interval_is_checked():
    with pytest.raises(ValueError, match='-1'):
        GradientShareHook(interval=-1)
