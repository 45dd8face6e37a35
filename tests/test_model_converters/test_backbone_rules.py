"""Rules for single backbones, against the modules that take the weights."""

import pytest
import torch
from mmdet.models.backbones.pvt import pvt_convert
from mmseg.models.backbones import ResNet, ResNetV1c

from mmcpm.model_converters import (
    Rename,
    convert_keys,
    pvt_v2_rules,
    resnet_rules,
    vggish_rules,
)
from mmcpm.models.backbones import PVTv2, VGGish


def pvt_state(prefix):
    """Random weights in the published layout, blocks of one channel width."""
    state = {}

    def add(name, *shape):
        state[f'{prefix}{name}.weight'] = torch.randn(shape)
        state[f'{prefix}{name}.bias'] = torch.randn(shape[0])

    for stage, ratio in enumerate((8, 4, 2, 1), start=1):
        kernel, channels = (7, 3) if stage == 1 else (3, 4)
        add(f'patch_embed{stage}.proj', 4, channels, kernel, kernel)
        for block in range(2):
            name = f'block{stage}.{block}'
            add(f'{name}.attn.q', 4, 4)
            add(f'{name}.attn.kv', 8, 4)
            add(f'{name}.attn.proj', 4, 4)
            if ratio > 1:
                add(f'{name}.attn.sr', 4, 4, ratio, ratio)
                add(f'{name}.attn.norm', 4)
            add(f'{name}.mlp.fc1', 8, 4)
            add(f'{name}.mlp.dwconv.dwconv', 8, 1, 3, 3)
            add(f'{name}.mlp.fc2', 4, 8)
            add(f'{name}.norm1', 4)
            add(f'{name}.norm2', 4)
        add(f'patch_embed{stage}.norm', 4)
        add(f'norm{stage}', 4)
    add('head', 3, 4)
    return state


def test_pvt_v2():
    state = pvt_state('encoder.')
    found, report = convert_keys(
        {**state, 'encoderXnorm1.weight': torch.zeros(1)},
        (*pvt_v2_rules('encoder.'), Rename('encoderX', 'other.')),
    )
    assert sorted(report.dropped) == [
        'encoder.head.bias',
        'encoder.head.weight',
    ]
    assert found.pop('other.norm1.weight') is not None
    model = PVTv2(
        embed_dims=4,
        num_layers=(2, 2, 2, 2),
        num_heads=(1, 1, 1, 1),
        mlp_ratios=(2, 2, 2, 2),
    )
    model.load_state_dict(
        {k.removeprefix('backbone.'): v for k, v in found.items()}
    )
    # mmdet's own conversion of a file that holds nothing else.
    bare = {k.removeprefix('encoder.'): v for k, v in state.items()}
    for name, value in pvt_convert(bare).items():
        assert torch.equal(found[f'backbone.{name}'], value), name


def as_torchvision(model, prefix='', stem=(), stages=()):
    """Weights of an mmseg ResNet, renamed back."""
    state = {}
    for key, value in model.state_dict().items():
        for new, old in (*stem, *stages):
            if key.startswith(new):
                key = old + key.removeprefix(new)
                break
        state[prefix + key] = value
    state[f'{prefix}fc.weight'] = torch.zeros(2, 2)
    return state


@pytest.mark.parametrize(
    ('kind', 'options', 'names'),
    [
        (ResNet, {}, ()),
        (
            ResNetV1c,
            dict(deep_stem=True),
            (('stem.7.', 'bn1.'), ('stem.', 'conv1.')),
        ),
        (
            ResNet,
            dict(twin_stages=True),
            (('layer3.', 'layer3_1.'), ('layer4.', 'layer4_1.')),
        ),
    ],
)
def test_resnets(kind, options, names):
    model = kind(
        depth=18, base_channels=4, stem_channels=4, norm_cfg=dict(type='BN')
    )
    state = as_torchvision(model, 'net.', names)
    if options.get('twin_stages'):
        state['net.layer3_2.0.conv1.weight'] = torch.zeros(1)
    found, report = convert_keys(
        state, resnet_rules('net.', 'audio_backbone.', **options)
    )
    assert set(report.dropped) <= {
        'net.fc.weight',
        'net.layer3_2.0.conv1.weight',
    }
    expected = {
        f'audio_backbone.{k}': v for k, v in model.state_dict().items()
    }
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], v) for k, v in expected.items())


def test_vggish():
    model = VGGish(base_channels=2, with_embedding=True, fc_channels=3)
    state = {f'vggish.{k}': v for k, v in model.state_dict().items()}
    state['vggish.pproc.pca_means'] = torch.zeros(2)
    found, report = convert_keys(state, vggish_rules('vggish.'))
    assert list(report.dropped) == ['vggish.pproc.pca_means']
    model.load_state_dict(
        {k.removeprefix('audio_backbone.'): v for k, v in found.items()}
    )
