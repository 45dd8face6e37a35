"""Names of CAVP's weights, and values of its losses."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.model_converters import find_code_base
from mmcpm.model_converters.cavp import CAVP
from mmcpm.model_converters.conversion import convert_weights
from mmcpm.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
# From the names here to CAVP's: some of each part, by hand.
NAMES = {
    'backbone.stem.0.weight': 'backbone.backbone.conv1.0.weight',
    'backbone.stem.6.weight': 'backbone.backbone.conv1.6.weight',
    'backbone.stem.7.running_var': 'backbone.backbone.bn1.running_var',
    'backbone.layer4.1.bn2.bias': 'backbone.backbone.layer4.1.bn2.bias',
    'decode_head.aspp.branches.3.weight': 'segment.aspp.map_convs.3.weight',
    'decode_head.aspp.branch_norm.bias': 'segment.aspp.map_bn.bias',
    'decode_head.aspp.branch_reduce.weight': 'segment.aspp.red_conv.weight',
    'decode_head.aspp.pool_reduce.weight': (
        'segment.aspp.pool_red_conv.weight'
    ),
    'decode_head.aspp.norm.weight': 'segment.aspp.red_bn.weight',
    'decode_head.reduce.bn.weight': 'segment.reduce.1.weight',
    'decode_head.last_conv.1.conv.weight': (
        'segment.upsample.last_conv.3.weight'
    ),
    'decode_head.last_conv.1.bn.weight': 'segment.upsample.last_conv.4.weight',
    'decode_head.classifier.bias': 'segment.upsample.classifier.bias',
    'decode_head.visual_projector.2.bias': 'visual_projector.fc2.bias',
    'decode_head.fusion.audio_embed.bias': 'cross_att.patch_embed_a.proj.bias',
    'decode_head.fusion.value.weight': 'cross_att.blocks.0.attn.v.weight',
    'decode_head.fusion.norm2.bias': 'cross_att.blocks.0.norm2.bias',
    'decode_head.fusion.norm.bias': 'cross_att.norm.bias',
    'decode_head.fusion.fc1.weight': 'cross_att.blocks.0.mlp.fc1.weight',
}
AUDIO = {
    'VGGish': {
        'audio_backbone.features.13.bias': (
            'audio_backbone.backbone.features.13.bias'
        ),
        'audio_backbone.embeddings.4.weight': (
            'audio_backbone.backbone.embeddings.4.weight'
        ),
    },
    'AudioResNet': {
        'audio_backbone.conv1.weight': 'audio_backbone.backbone.conv1.weight',
        'audio_backbone.bn1.bias': 'audio_backbone.backbone.bn1.bias',
        'audio_backbone.layer2.0.downsample.1.weight': (
            'audio_backbone.backbone.layer2.0.downsample.1.weight'
        ),
        'audio_backbone.fc.bias': 'audio_backbone.backbone.fc.bias',
    },
}


def build(kind):
    init_default_scope('mmseg')
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/cavp_r18_tiny.py')
    if kind == 'AudioResNet':
        cfg.model.audio_backbone = dict(
            type=kind,
            depth=18,
            in_channels=2,
            base_channels=4,
            stem_channels=4,
            embedding_channels=64,
            norm_cfg=dict(type='BN'),
        )
    else:
        cfg.model.audio_backbone.norm_cfg = None
    return MODELS.build(cfg.model)


def published(model):
    """Name the weights of a model as CAVP does, by other rules."""
    parts = (
        ('stem.7.', 'bn1.'),
        ('stem.', 'conv1.'),
        ('decode_head.aspp.branches', 'segment.aspp.map_convs'),
        ('decode_head.aspp.branch_norm', 'segment.aspp.map_bn'),
        ('decode_head.aspp.branch_reduce', 'segment.aspp.red_conv'),
        ('decode_head.aspp.pool_conv', 'segment.aspp.global_pooling_conv'),
        ('decode_head.aspp.pool_norm', 'segment.aspp.global_pooling_bn'),
        ('decode_head.aspp.pool_reduce', 'segment.aspp.pool_red_conv'),
        ('decode_head.aspp.norm', 'segment.aspp.red_bn'),
        ('decode_head.reduce.conv', 'segment.reduce.0'),
        ('decode_head.reduce.bn', 'segment.reduce.1'),
        ('decode_head.last_conv.0.conv', 'segment.upsample.last_conv.0'),
        ('decode_head.last_conv.0.bn', 'segment.upsample.last_conv.1'),
        ('decode_head.last_conv.1.conv', 'segment.upsample.last_conv.3'),
        ('decode_head.last_conv.1.bn', 'segment.upsample.last_conv.4'),
        ('decode_head.classifier', 'segment.upsample.classifier'),
        ('decode_head.visual_projector.0', 'visual_projector.fc1'),
        ('decode_head.visual_projector.2', 'visual_projector.fc2'),
        ('decode_head.fusion.image_embed', 'cross_att.patch_embed_v.proj'),
        ('decode_head.fusion.audio_embed', 'cross_att.patch_embed_a.proj'),
        ('decode_head.fusion.query', 'cross_att.blocks.0.attn.q'),
        ('decode_head.fusion.key', 'cross_att.blocks.0.attn.k'),
        ('decode_head.fusion.value', 'cross_att.blocks.0.attn.v'),
        ('decode_head.fusion.proj', 'cross_att.blocks.0.attn.proj'),
        ('decode_head.fusion.norm1', 'cross_att.blocks.0.norm1'),
        ('decode_head.fusion.norm2', 'cross_att.blocks.0.norm2'),
        ('decode_head.fusion.norm', 'cross_att.norm'),
        ('decode_head.fusion.fc', 'cross_att.blocks.0.mlp.fc'),
    )
    state = {}
    for name, value in model.state_dict().items():
        for new, old in parts:
            if new in name:
                name = name.replace(new, old)
                break
        if name.startswith(('backbone.', 'audio_backbone.')):
            name = name.replace('backbone.', 'backbone.backbone.', 1)
        state[name] = torch.randn_like(value) if value.ndim else value
    state['cross_att.pos_embed_v'] = torch.zeros(1, 4, 64)
    state['cross_att.pos_embed_a'] = torch.zeros(1, 1, 64)
    state['audio_backbone.cls_head.weight'] = torch.zeros(2, 64)
    state['audio_backbone.cls_head.bias'] = torch.zeros(2)
    return state


@pytest.mark.parametrize('audio', AUDIO)
def test_every_weight_finds_its_place(audio):
    model = build(audio)
    weights = published(model)
    assert find_code_base(weights) is CAVP
    state, report = convert_weights(model, weights, CAVP, {}, 'tiny')
    for name, key in {**NAMES, **AUDIO[audio]}.items():
        assert torch.equal(state[name], weights[key]), name
        assert torch.equal(model.state_dict()[name], weights[key])
    assert len(report.dropped) == 4
    # The bank is not part of published weights.
    assert not model.sound_bank.count.any()


def test_another_number_of_classes_is_told():
    model = build('VGGish')
    weights = published(model)
    for end in ('weight', 'bias'):
        key = f'segment.upsample.classifier.{end}'
        weights[key] = weights[key][:2]
    with pytest.raises(UsageError, match='ResNet, VGGish, 2 classes'):
        convert_weights(model, weights, CAVP, {}, 'tiny')


def test_an_unknown_key_is_an_error():
    model = build('VGGish')
    weights = {**published(model), 'segment.extra.weight': torch.zeros(1)}
    with pytest.raises(UsageError, match=r'segment\.extra\.weight'):
        convert_weights(model, weights, CAVP, {}, 'tiny')


def test_traced_tensors():
    """Twice as many sounds as images: own, then shuffled ones."""
    model = build('VGGish').eval()
    image, audio = torch.randn(2, 3, 64, 96), torch.randn(4, 1, 96, 64)
    with torch.no_grad():
        found = CAVP.trace(model, dict(image=image, audio=audio))
        alone = CAVP.trace(model, dict(image=image, audio=audio[2:]))
    assert found['out_pred'].shape == (4, 9, 64, 96)
    assert found['out_fusion'].shape == (4, 64, 16, 24)
    assert found['cross_att[2] (sigmoid attention)'].shape == (4, 4, 384, 1)
    torch.testing.assert_close(found['out_pred'][2:], alone['out_pred'])


def test_losses_of_the_original():
    expected = [
        6.119922161102295,
        4.9480881690979,
        4.566866397857666,
        3.847398281097412,
    ]
    found = [float(value) for value in CAVP.losses().values()]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('layout', CAVP.configs)
def test_configs_are_there(layout):
    cfg = Config.fromfile(ROOT / CAVP.configs[layout])
    classes = {'avss': 71, 'binary': 2, 'vpo': 22}[layout.split('_')[2]]
    assert cfg.model.decode_head.num_classes == classes
    channels = cfg.model.audio_backbone.in_channels
    assert channels == (2 if layout.endswith('stereo') else 1)
