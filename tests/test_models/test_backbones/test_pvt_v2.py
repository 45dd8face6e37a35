"""PVTv2 against a plain computation from the published names."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.models.backbones import PVTv2
from mmcpm.models.utils.pretrained import check_pretrained_weights

ROOT = Path(__file__).parents[3]
DEPTHS, HEADS, RATIOS = (1, 2, 1, 1), (1, 2, 3, 2), (8, 4, 2, 1)
WIDTH = 4
SIZES = dict(
    embed_dims=WIDTH,
    num_layers=DEPTHS,
    num_heads=HEADS,
    mlp_ratios=(4, 4, 4, 4),
    sr_ratios=RATIOS,
)


def published_state():
    """Random weights under the names of pvt_v2_b*.pth."""
    generator = torch.Generator().manual_seed(0)
    state = {}

    def add(name, *shape, scale=1.0):
        fan_in = math.prod(shape[1:])
        for key, size in (('weight', shape), ('bias', shape[:1])):
            values = torch.randn(size, generator=generator)
            state[f'{name}.{key}'] = scale * values / fan_in**0.5

    previous = 3
    for stage, (depth, heads, ratio) in enumerate(
        zip(DEPTHS, HEADS, RATIOS, strict=True), start=1
    ):
        width, kernel = WIDTH * heads, 7 if stage == 1 else 3
        # Small numbers, where the constant of a normalization counts.
        name = f'patch_embed{stage}'
        add(f'{name}.proj', width, previous, kernel, kernel, scale=0.005)
        add(f'{name}.norm', width)
        for index in range(depth):
            name = f'block{stage}.{index}'
            add(f'{name}.norm1', width)
            add(f'{name}.attn.q', width, width)
            add(f'{name}.attn.kv', 2 * width, width)
            add(f'{name}.attn.proj', width, width)
            if ratio > 1:
                add(f'{name}.attn.sr', width, width, ratio, ratio, scale=0.005)
                add(f'{name}.attn.norm', width)
            add(f'{name}.norm2', width)
            add(f'{name}.mlp.fc1', 4 * width, width)
            add(f'{name}.mlp.dwconv.dwconv', 4 * width, 1, 3, 3)
            add(f'{name}.mlp.fc2', width, 4 * width)
        add(f'norm{stage}', width)
        previous = width
    add('head', 10, previous)
    return state


class Plain:
    """PVTv2 of the paper, layer by layer, on channels-first maps."""

    def __init__(self, state):
        self.state = state

    def get(self, name):
        return self.state[f'{name}.weight'], self.state[f'{name}.bias']

    def norm(self, name, x, eps):
        mean = x.mean(1, keepdim=True)
        variance = x.var(1, keepdim=True, unbiased=False)
        weight, bias = (p[:, None, None] for p in self.get(name))
        return (x - mean) / (variance + eps).sqrt() * weight + bias

    def linear(self, name, x):
        weight, bias = self.get(name)
        return torch.einsum('oc,bchw->bohw', weight, x) + bias[:, None, None]

    def attention(self, name, x, heads, ratio):
        source = x
        if ratio > 1:
            source = F.conv2d(x, *self.get(f'{name}.sr'), stride=ratio)
            source = self.norm(f'{name}.norm', source, 1e-5)
        query = self.linear(f'{name}.q', x).flatten(2)
        key, value = self.linear(f'{name}.kv', source).flatten(2).chunk(2, 1)
        outputs = []
        for q, k, v in zip(
            query.chunk(heads, 1),
            key.chunk(heads, 1),
            value.chunk(heads, 1),
            strict=True,
        ):
            similarity = q.transpose(1, 2) @ k / q.shape[1] ** 0.5
            outputs.append(v @ similarity.softmax(2).transpose(1, 2))
        output = torch.cat(outputs, 1).reshape(x.shape)
        return self.linear(f'{name}.proj', output)

    def mlp(self, name, x):
        x = self.linear(f'{name}.fc1', x)
        weight, bias = self.get(f'{name}.dwconv.dwconv')
        x = F.conv2d(x, weight, bias, padding=1, groups=len(weight))
        return self.linear(f'{name}.fc2', F.gelu(x))

    def __call__(self, x):
        outputs = []
        for i, (depth, heads, ratio) in enumerate(
            zip(DEPTHS, HEADS, RATIOS, strict=True), start=1
        ):
            weight, bias = self.get(f'patch_embed{i}.proj')
            stride, padding = (4, 3) if i == 1 else (2, 1)
            x = F.conv2d(x, weight, bias, stride, padding)
            x = self.norm(f'patch_embed{i}.norm', x, 1e-5)
            for j in range(depth):
                name = f'block{i}.{j}'
                y = self.norm(f'{name}.norm1', x, 1e-6)
                x = x + self.attention(f'{name}.attn', y, heads, ratio)
                y = self.norm(f'{name}.norm2', x, 1e-6)
                x = x + self.mlp(f'{name}.mlp', y)
            x = self.norm(f'norm{i}', x, 1e-6)
            outputs.append(x)
        return outputs


@pytest.fixture
def weight_file(tmp_path):
    path = str(tmp_path / 'pvt_v2.pth')
    torch.save(published_state(), path)
    return path


def build(path):
    init_cfg = dict(type='Pretrained', checkpoint=path)
    return PVTv2(**SIZES, init_cfg=init_cfg).eval()


def test_published_weights_give_the_published_function(weight_file):
    model = build(weight_file)
    check_pretrained_weights(model)
    model.init_weights()
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    expected = Plain(published_state())(x)
    outputs = model(x)
    assert [tuple(output.shape[2:]) for output in outputs] == [
        (16, 24),
        (8, 12),
        (4, 6),
        (2, 3),
    ]
    for output, level in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, level, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    'change,message',
    [
        (lambda s: s.pop('block2.1.mlp.fc2.bias'), 'layers.1.1.1.ffn'),
        (
            lambda s: s.update({'norm3.weight': torch.zeros(9)}),
            'size mismatch',
        ),
        (lambda s: s.pop('block1.0.attn.kv.bias'), 'Missing key'),
    ],
)
def test_foreign_weights_are_refused(tmp_path, change, message):
    path = str(tmp_path / 'foreign.pth')
    state = published_state()
    change(state)
    torch.save(state, path)
    with pytest.raises(RuntimeError, match='not a weight file') as raised:
        build(path).init_weights()
    assert message in str(raised.value) and path in str(raised.value)


def test_a_file_of_another_model_is_refused_before_the_start(tmp_path):
    path = str(tmp_path / 'vit.pth')
    torch.save({'blocks.0.attn.qkv.weight': torch.zeros(3, 1)}, path)
    with pytest.raises(RuntimeError, match='0 are there with the same name'):
        check_pretrained_weights(build(path))


def test_random_weights():
    model = PVTv2(**SIZES)
    model.init_weights()
    for name, value in model.named_parameters():
        if name.endswith('in_proj_weight'):
            assert 0.01 < value.std() < 0.03
    assert all(x.isfinite().all() for x in model(torch.randn(1, 3, 64, 64)))


def test_fragments():
    """PVTv2-b5 without its classifier: 81,443,008 parameters."""
    init_default_scope('mmseg')
    folder = ROOT / 'configs/_base_/models'
    cfg = Config.fromfile(folder / 'pvt_v2_b5.py')
    assert cfg.pvt_v2_b5.pop('_delete_')
    model = MODELS.build(cfg.pvt_v2_b5)
    assert sum(p.numel() for p in model.parameters()) == 81_443_008
    widths = [layers[2].weight.numel() for layers in model.layers]
    assert cfg.pvt_v2_b5_channels == widths
    del model

    cfg = Config.fromfile(folder / 'swin_b.py')
    assert cfg.swin_b.pop('_delete_')
    assert MODELS.build(cfg.swin_b).num_features == cfg.swin_b_channels


@pytest.mark.parametrize('name', ['pvt_v2_b5', 'swin_b'])
def test_fragment_replaces_the_backbone_of_a_method(name, tmp_path):
    path = tmp_path / 'config.py'
    configs = ROOT / 'configs'
    path.write_text(
        f"_base_ = ['{configs}/avmask2former/avmask2former_r50_avss.py',\n"
        f"          '{configs}/_base_/models/{name}.py']\n"
        f'model = dict(backbone=_base_.{name}, decode_head=dict('
        f'in_channels=_base_.{name}_channels))\n'
    )
    cfg = Config.fromfile(path)
    init_default_scope('mmseg')
    backbone = cfg.model.backbone
    assert 'norm_cfg' not in backbone and '_delete_' not in backbone
    # The same architecture at a size for tests.
    backbone.update(init_cfg=None, embed_dims=8)
    if name == 'swin_b':
        backbone.update(depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
        cfg.model.decode_head.in_channels = [8, 16, 32, 64]
    else:
        backbone.update(num_layers=[1, 1, 1, 1])
        cfg.model.decode_head.in_channels = [8, 16, 40, 64]
    cfg.model.audio_backbone.init_cfg = None
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        (result,) = model.predict(torch.randn(1, 3, 64, 64))
    assert result.seg_logits.data.shape == (71, 64, 64)
