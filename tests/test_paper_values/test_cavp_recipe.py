"""What CAVP's code states, and what the configs build of it."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture(scope='module')
def groups():
    """Settings of every parameter, in a model of the same names."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / 'cavp/cavp_r50_avss.py')
    tiny = Config.fromfile(CONFIGS / '_base_/models/cavp_r18_tiny.py')
    model = MODELS.build(tiny.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(parameter)]: group
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }


def test_rates_decay_and_algorithm(groups):
    for name, group in groups.items():
        part, _, rest = name.partition('.')
        attention = rest.startswith(('fusion', 'visual_projector'))
        is_bias_or_norm = 'bias' in name or 'norm' in name or 'bn' in name
        # Norms of the stem and of shortcuts have numbers for names.
        is_bias_or_norm |= name.endswith(('stem.1.weight', 'stem.4.weight'))
        is_bias_or_norm |= name.endswith(('stem.7.weight', 'sample.1.weight'))
        sound = part == 'audio_backbone'
        segment = part == 'decode_head' and not attention
        assert group['algorithm'] == ('adam' if sound else 'sgd'), name
        assert bool(group.get('constant_lr')) == sound
        assert group['lr'] == pytest.approx(1e-2 if segment else 1e-3), name
        decay = 1e-4
        if sound or (is_bias_or_norm and not attention):
            decay = 0.0
        assert group['weight_decay'] == pytest.approx(decay), name
        assert group['momentum'] == 0.9


@pytest.mark.parametrize(
    ('config', 'epochs', 'decay', 'weight'),
    [
        ('avss', 80, 1e-4, 1.0),
        ('avss_224', 80, 1e-4, 1.0),
        ('s4', 60, 1e-4, 0.1),
        ('ms3', 60, 1e-4, 0.1),
        ('vpo_msmi', 80, 5e-4, 1.0),
        ('vpo_ss_mono', 80, 5e-4, 1.0),
    ],
)
def test_schedules_and_losses(config, epochs, decay, weight):
    cfg = Config.fromfile(CONFIGS / f'cavp/cavp_r50_{config}.py')
    assert cfg.train_cfg.max_epochs == epochs
    (schedule,) = cfg.param_scheduler
    assert (schedule.power, schedule.eta_min, schedule.end) == (
        0.9,
        1e-8,
        epochs,
    )
    assert cfg.optim_wrapper.optimizer.weight_decay == decay
    assert 'clip_grad' not in cfg.optim_wrapper
    contrast = cfg.model.decode_head.loss_contrast
    assert contrast.loss_weight == weight
    assert (contrast.temperature, contrast.max_views) == (0.1, 512)
    assert (cfg.model.sound_bank is None) == (config in ('s4', 'ms3'))


@pytest.mark.parametrize(
    ('config', 'third', 'strides'),
    [('avss', [1] * 6, 16), ('vpo_ss', [1, 2, 2, 2, 2, 2], 8)],
)
def test_dilations(config, third, strides):
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / f'cavp/cavp_r50_{config}.py')
    small = dict(base_channels=4, stem_channels=8, norm_cfg=dict(type='BN'))
    backbone = MODELS.build(dict(cfg.model.backbone, **small))
    found = [
        [block.conv2.dilation[0] for block in stage]
        for stage in (backbone.layer3, backbone.layer4)
    ]
    assert found == [third, [2, 4, 8]]
    product = 4  # of the stem
    for stage in range(1, 5):
        blocks = getattr(backbone, f'layer{stage}')
        product *= blocks[0].conv2.stride[0]
    assert product == strides


def test_pixels_and_sound_have_one_width():
    for name, width in (('r50_avss', 304), ('pvt_avss', 112)):
        model = Config.fromfile(CONFIGS / f'cavp/cavp_{name}.py').model
        head = model.decode_head
        assert head.aspp_channels + head.low_channels == width
        assert head.audio_channels == width
        assert model.audio_backbone.embedding_channels == width
