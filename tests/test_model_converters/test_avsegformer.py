"""A file of AVSegFormer's program: its keys, and what a trace tells."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.model_converters import AVSEGFORMER, convert_keys, find_code_base
from mmcpm.model_converters.avsegformer import head_rules, losses, variant
from mmcpm.utils.errors import UsageError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WIDTHS, C, QUERIES, MLP, FFN = (32, 64, 128, 256), 64, 20, 256, 256


def published_shapes(classes=9):
    """Keys and shapes of a narrow head, as the program saves them."""
    shapes = {}

    def add(name, *shape, bias=True):
        shapes[f'{name}.weight'] = shape
        if bias:
            shapes[f'{name}.bias'] = shape[:1]

    def attention(name, bias):
        shapes[f'{name}.in_proj_weight'] = (3 * C, C)
        if bias:
            shapes[f'{name}.in_proj_bias'] = (3 * C,)
        add(f'{name}.out_proj', C, C, bias=bias)

    shapes['head.level_embed'] = (3, C)
    add('audio_proj', C, 128)
    add('head.learnable_query', QUERIES, C, bias=False)
    add('head.query_generator.query', QUERIES, C, bias=False)
    for k in range(3):
        layer = f'head.query_generator.layers.{k}'
        attention(f'{layer}.self_attn', bias=False)
        attention(f'{layer}.cross_attn', bias=False)
        add(f'{layer}.ffn.0', FFN, C)
        add(f'{layer}.ffn.2', C, FFN)
        for norm in (1, 2, 3):
            add(f'{layer}.norm{norm}', C)
    for k in range(2):
        layer = f'head.transformer.encoder.layers.{k}'
        add(f'{layer}.self_attn.sampling_offsets', 8 * 3 * 4 * 2, C)
        add(f'{layer}.self_attn.attention_weights', 8 * 3 * 4, C)
        add(f'{layer}.self_attn.value_proj', C, C)
        add(f'{layer}.self_attn.output_proj', C, C)
        add(f'{layer}.linear1', FFN, C)
        add(f'{layer}.linear2', C, FFN)
        for norm in (1, 2):
            add(f'{layer}.norm{norm}', C)
    for k in range(3):
        layer = f'head.transformer.decoder.layers.{k}'
        attention(f'{layer}.self_attn', bias=True)
        attention(f'{layer}.cross_attn', bias=True)
        add(f'{layer}.linear1', FFN, C)
        add(f'{layer}.linear2', C, FFN)
        for norm in (1, 2, 3):
            add(f'{layer}.norm{norm}', C)
    for k, width in enumerate(WIDTHS):
        add(f'head.in_proj.{k}.0', C, width, 1, 1)
        add(f'head.in_proj.{k}.1', C)
    for name, size in (('lateral_conv', 1), ('out_conv', 3)):
        add(f'head.{name}.0', C, C, size, size)
        add(f'head.{name}.1', C)
    for k, (last, first) in enumerate(((MLP, QUERIES), (MLP, MLP), (C, MLP))):
        add(f'head.mlp.layers.{k}', last, first, 1, 1)
    add('head.fusion_block.q_proj', C, C, bias=False)
    add('head.fusion_block.kv_proj', 2 * C, C, bias=False)
    add('head.fusion_block.proj', C, C)
    for name in ('fc', 'attn_fc'):
        add(f'head.{name}.0', C // 2, C, 3, 3)
        add(f'head.{name}.2', C // 8, C // 2, 3, 3)
        add(f'head.{name}.4', classes, C // 8, 1, 1, bias=False)
    for name in ('up1', 'up2', 'up3'):
        add(f'head.fpn.{name}.1', C, C, 3, 3)
    return shapes


@pytest.fixture(scope='module')
def model():
    init_default_scope('mmseg')
    path = CONFIGS / '_base_/models/avsegformer_r18_tiny.py'
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(path).model).eval()


def test_every_weight_of_the_head_comes_from_the_file(model):
    # Each value is its own.
    weights = {
        key: torch.full(shape, float(number))
        for number, (key, shape) in enumerate(published_shapes().items())
    }
    state, report = convert_keys(weights, head_rules())
    state = {k.removeprefix('decode_head.'): v for k, v in state.items()}
    model.decode_head.load_state_dict(state, strict=True)
    assert len(report.dropped) == 11
    assert {*report.dropped.values()} == {'a branch that is never used'}
    # The two tables of queries, and a norm: what is easily mistaken.
    for ours, theirs in (
        ('query_feat.weight', 'head.query_generator.query.weight'),
        ('query_embed.weight', 'head.learnable_query.weight'),
        (
            'decoder.2.norms.1.bias',
            'head.transformer.decoder.layers.2.norm2.bias',
        ),
        (
            'pixel_decoder.encoder.layers.1.ffn.layers.1.weight',
            'head.transformer.encoder.layers.1.linear2.weight',
        ),
    ):
        assert torch.equal(state[ours], weights[theirs])


def test_files_are_told_apart():
    weights = dict.fromkeys(published_shapes(), torch.zeros(1))
    with pytest.raises(UsageError):
        find_code_base(weights)  # Without backbone and VGGish.
    weights['vggish.features.0.weight'] = torch.zeros(1)
    weights['backbone.conv1.weight'] = torch.zeros(1)
    assert find_code_base(weights) is AVSEGFORMER
    weights['head.fc.4.weight'] = torch.zeros(71, 32, 1, 1)
    assert variant(weights) == 'ResNet, 71 classes (AVSS)'
    weights['backbone.patch_embed1.proj.weight'] = torch.zeros(1)
    weights['head.fc.4.weight'] = torch.zeros(1, 32, 1, 1)
    assert variant(weights) == 'PVTv2, one logit (S4, MS3)'


def test_every_layout_has_a_config():
    assert len(AVSEGFORMER.configs) == 6
    for path in AVSEGFORMER.configs.values():
        assert (CONFIGS.parent / path).is_file()


@torch.no_grad()
def test_trace(model):
    """Frames that do not exist are 0 where the program makes them 0."""
    image, audio = torch.randn(3, 3, 64, 64), torch.randn(3, 1, 96, 64)
    inputs = dict(image=image, audio=audio, flag=torch.tensor([1, 0, 1]))
    found = AVSEGFORMER.trace(model, inputs)
    alone = AVSEGFORMER.trace(model, dict(inputs, flag=None))
    kept = [0, 2]
    for name in (
        'pred', 'mask_feature', 'vggish', 'audio_proj', 'backbone[3]',
        'head.in_proj.1', 'head.query_generator',
        'head.transformer.encoder[0] (memory)',
        'head.transformer[1][-1] (decoder queries)', 'head.out_conv',
        'head.fusion_block', 'head.mlp',
    ):  # fmt: skip
        torch.testing.assert_close(found[name][kept], alone[name][kept])
    for name in ('pred', 'mask_feature'):
        assert not found[name][1].any() and alone[name][1].any()
    for name in ('head.fc', 'head.in_proj.1'):
        assert (found[name][1] != alone[name][1]).any()
    hooks = [m._forward_hooks for m in model.modules()]
    assert not any(hooks)


def test_losses_have_the_values_of_the_program():
    values = {name: float(value) for name, value in losses().items()}
    assert len(values) == 15
    assert values['avsegformer avss: total'] == pytest.approx(
        4.797292709350586, rel=1e-5
    )
    assert values['avsegformer s4 dice: total'] == pytest.approx(
        0.40595436096191406, rel=1e-5
    )
    assert values['avsegformer ms3 bce: total'] == pytest.approx(
        0.870195746421814, rel=1e-5
    )
