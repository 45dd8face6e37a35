"""A file of AVSBench's program, against its forward pass written plainly."""

import pytest
import torch
import torch.nn.functional as F

from mmcpm.model_converters import AVSBENCH, convert_keys, find_code_base
from mmcpm.model_converters.avsbench import losses
from mmcpm.models import TPAVIHead
from mmcpm.structures.audio_features import AudioFeatures

WIDTHS = (4, 6, 8, 10)
CHANNELS, AUDIO, FRAMES = 16, 5, 5


def published_shapes():
    """Keys and shapes of a narrow model of S4."""
    shapes = {}

    def add(name, *shape):
        shapes[f'{name}.weight'] = shape
        shapes[f'{name}.bias'] = shape[:1]

    for level, width in enumerate(WIDTHS, 1):
        for dilation in range(4):
            add(f'conv{level}.conv2d_list.{dilation}', CHANNELS, width, 3, 3)
        for unit in (1, 2):
            for conv in (1, 2):
                name = f'path{level}.resConfUnit{unit}.conv{conv}'
                add(name, CHANNELS, CHANNELS, 3, 3)
        block = f'tpavi_b{level}.'
        add(f'{block}align_channel', CHANNELS, AUDIO)
        add(f'{block}norm_layer', CHANNELS)
        for name in ('g', 'theta', 'phi'):
            add(block + name, CHANNELS // 2, CHANNELS, 1, 1, 1)
        add(f'{block}W_z.0', CHANNELS, CHANNELS // 2, 1, 1, 1)
        add(f'{block}W_z.1', CHANNELS)
        shapes[f'{block}W_z.1.running_mean'] = (CHANNELS,)
        shapes[f'{block}W_z.1.running_var'] = (CHANNELS,)
        shapes[f'{block}W_z.1.num_batches_tracked'] = ()
    add('output_conv.0', CHANNELS // 2, CHANNELS, 3, 3)
    add('output_conv.2', CHANNELS // 8, CHANNELS // 2, 3, 3)
    add('output_conv.4', 1, CHANNELS // 8, 1, 1)
    return shapes


@pytest.fixture(scope='module')
def published():
    torch.manual_seed(0)
    weights = {
        key: torch.randn(shape) / max(1, len(shape)) ** 2 + 0.05
        for key, shape in published_shapes().items()
    }
    for key in weights:
        if key.endswith('running_var'):
            weights[key] = weights[key].abs() + 0.5
        if key.endswith('num_batches_tracked'):
            weights[key] = torch.tensor(7)
    return weights


def plain_forward(w, features, sounds, flag=None):
    """The program's forward pass of one clip, quadratic, by its keys."""
    flag = torch.ones(FRAMES) if flag is None else flag
    sounds, flag = sounds * flag[:, None], flag[:, None, None, None]

    def conv(x, name, **kwargs):
        function = F.conv3d if x.dim() == 5 else F.conv2d
        return function(x, w[f'{name}.weight'], w[f'{name}.bias'], **kwargs)

    def unit(x, name):
        x = F.relu(x)
        y = F.relu(conv(x, f'{name}.conv1', padding=1))
        return conv(y, f'{name}.conv2', padding=1) + x

    fused, maps = None, []
    for level, x in reversed([*enumerate(features, 1)]):
        x = sum(
            conv(x, f'conv{level}.conv2d_list.{k}', padding=d, dilation=d)
            for k, d in enumerate((3, 6, 12, 18))
        )
        x = x * flag
        b = f'tpavi_b{level}'
        clip = x.transpose(0, 1)[None]  # [1, C, T, H, W]
        aligned = F.linear(
            sounds,
            w[f'{b}.align_channel.weight'],
            w[f'{b}.align_channel.bias'],
        )
        audio = aligned.T[None, :, :, None, None].expand_as(clip)
        theta, phi, g = (
            conv(part, f'{b}.{name}').flatten(2)
            for part, name in ((clip, 'theta'), (audio, 'phi'), (clip, 'g'))
        )
        attention = theta.transpose(1, 2) @ phi / theta.shape[-1]
        y = (attention @ g.transpose(1, 2)).transpose(1, 2)
        y = conv(y.reshape(1, -1, *clip.shape[2:]), f'{b}.W_z.0')
        y = F.batch_norm(
            y,
            *(
                w[f'{b}.W_z.1.{name}']
                for name in ('running_mean', 'running_var', 'weight', 'bias')
            ),
        )
        z = (clip + y).movedim(1, -1)
        z = F.layer_norm(
            z,
            (CHANNELS,),
            w[f'{b}.norm_layer.weight'],
            w[f'{b}.norm_layer.bias'],
        )
        x = z.movedim(-1, 1)[0].transpose(0, 1) * flag
        maps.insert(0, F.relu(x))
        path = f'path{level}'
        if fused is not None:
            x = fused + unit(x, f'{path}.resConfUnit1')
        x = unit(x, f'{path}.resConfUnit2')
        fused = F.interpolate(
            x, scale_factor=2, mode='bilinear', align_corners=True
        )
        fused = fused * flag
    x = conv(fused, 'output_conv.0', padding=1)
    x = F.interpolate(x, scale_factor=2, mode='bilinear')
    x = F.relu(conv(x, 'output_conv.2', padding=1))
    return conv(x, 'output_conv.4') * flag, maps


@pytest.mark.parametrize('flag', [None, [1, 1, 1, 0, 0]])
def test_converted_weights_compute_the_same(published, flag):
    assert find_code_base(published) is AVSBENCH
    state, report = convert_keys(published, AVSBENCH.rules(published))
    assert {*report.dropped} == {
        f'path4.resConfUnit1.conv{k}.{name}'
        for k in (1, 2)
        for name in ('weight', 'bias')
    }
    head = TPAVIHead(
        in_channels=WIDTHS,
        num_classes=2,
        single_logit=True,
        audio_channels=AUDIO,
        channels=CHANNELS,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
    prefix = 'decode_head.'
    assert all(name.startswith(prefix) for name in state)
    head.load_state_dict(
        {name.removeprefix(prefix): value for name, value in state.items()}
    )
    head.eval()
    torch.manual_seed(1)
    features = [
        torch.randn(FRAMES, width, 16 // s, 16 // s)
        for width, s in zip(WIDTHS, (1, 2, 4, 8), strict=True)
    ]
    sounds = torch.rand(FRAMES, AUDIO)
    flag = None if flag is None else torch.tensor(flag)
    logits, maps = plain_forward(published, features, sounds, flag)
    valid = None if flag is None else flag.bool()
    audio = AudioFeatures([], sounds, FRAMES, valid)
    with torch.no_grad():
        found = head.decode(features, audio)
    assert found.logits.shape == logits.shape == (FRAMES, 1, 64, 64)
    assert (found.logits - logits).abs().max() < 1e-4 * logits.std()
    for own, expected in zip(found.visual_maps, maps, strict=True):
        assert (own - expected).abs().max() < 1e-4 * expected.std()


def test_backbones_of_a_file():
    keys = [
        'resnet.conv1.weight',
        'resnet.layer3_1.0.conv2.weight',
        'resnet.layer4_2.0.conv2.weight',
        'encoder_backbone.block1.0.attn.proj.weight',
    ]
    weights = {key: torch.zeros(2) for key in keys}
    state, report = convert_keys(weights, AVSBENCH.rules(keys))
    assert [*state] == [
        'backbone.conv1.weight',
        'backbone.layer3.0.conv2.weight',
        'backbone.layers.0.1.0.attn.attn.out_proj.weight',
    ]
    assert [*report.dropped] == [keys[2]]


def test_file_is_described(published):
    assert AVSBENCH.variant(published) == 'PVTv2-b5, S4 or MS3, 1 outputs'
    weights = {
        'resnet.conv1.weight': torch.zeros(1),
        'output_conv.4.weight': torch.zeros(71, 32, 1, 1),
    }
    assert AVSBENCH.variant(weights) == 'ResNet-50, AVSS, 71 outputs'


def test_totals_of_the_reference_losses():
    # Values of the program on the same inputs.
    found = losses()
    for name, expected in {
        'tpavi s4: BCE of the first frame': 0.8065385818481445,
        'tpavi ms3: total as train.sh (lambda 0.5)': 3.254009962081909,
        'tpavi avss: total as train.sh (lambda 0.5)': 5.029279708862305,
    }.items():
        assert float(found[name]) == pytest.approx(expected, rel=1e-5)
