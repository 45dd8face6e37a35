import copy

import pytest
import torch
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import ConfigDict

from mmcpm.models.layers.pixel_decoder import (
    MAX_SIZES,
    DeformablePixelDecoder,
    pixel_centers,
)

CFG = ConfigDict(
    in_channels=[8, 12, 16, 24],
    strides=[4, 8, 16, 32],
    feat_channels=16,
    out_channels=16,
    num_outs=3,
    norm_cfg=dict(type='GN', num_groups=4),
    act_cfg=dict(type='ReLU'),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=16,
                num_heads=4,
                num_levels=3,
                num_points=2,
                dropout=0.0,
                batch_first=True,
            ),
            ffn_cfg=dict(
                embed_dims=16,
                feedforward_channels=32,
                num_fcs=2,
                ffn_drop=0.0,
                act_cfg=dict(type='ReLU', inplace=True),
            ),
        ),
    ),
    positional_encoding=dict(num_feats=8, normalize=True),
)


@pytest.fixture
def decoders():
    """mmdet's and ours with the same parameters, random offsets."""
    torch.manual_seed(0)
    theirs = MSDeformAttnPixelDecoder(**copy.deepcopy(CFG))
    theirs.init_weights()
    for layer in theirs.encoder.layers:
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.3)
    ours = DeformablePixelDecoder(**copy.deepcopy(CFG))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def make_pyramid(height, width, batch=2):
    generator = torch.Generator().manual_seed(height)
    return [
        torch.randn(
            batch,
            channels,
            height // stride,
            width // stride,
            generator=generator,
        ).requires_grad_()
        for channels, stride in zip(CFG.in_channels, CFG.strides, strict=True)
    ]


@pytest.mark.parametrize('size', [(64, 64), (96, 160)])
def test_equals_mmdet(decoders, size):
    results = []
    for decoder in decoders:
        pyramid = make_pyramid(*size)
        feature, maps = decoder(pyramid)
        (feature.square().mean() + maps[0].square().mean()).backward()
        results.append(
            (
                feature,
                *maps,
                *(level.grad for level in pyramid),
                *(parameter.grad for parameter in decoder.parameters()),
            )
        )
    assert len(results[0]) == len(results[1])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_constants_are_made_once_per_size(decoders, monkeypatch):
    ours = decoders[1]
    calls = []
    encode = ours.postional_encoding.forward
    monkeypatch.setattr(
        ours.postional_encoding,
        'forward',
        lambda mask: calls.append(mask.shape) or encode(mask),
    )
    with torch.inference_mode():
        ours(make_pyramid(64, 64))
    # Those made for testing serve training.
    feature, _ = ours(make_pyramid(64, 64))
    feature.sum().backward()
    assert len(calls) == 3
    for number in range(1, MAX_SIZES + 3):
        ours(make_pyramid(32, 32 * number, batch=1))
    assert len(ours._constants) == MAX_SIZES


def test_pixel_centers():
    centers = pixel_centers(((1, 2), (2, 1)), torch.device('cpu'))
    expected = [[0.25, 0.5], [0.75, 0.5], [0.5, 0.25], [0.5, 0.75]]
    assert centers.tolist() == expected


def test_initial_weights_are_those_of_mmdet():
    decoder = DeformablePixelDecoder(**copy.deepcopy(CFG))
    decoder.init_weights()
    attention = decoder.encoder.layers[0].self_attn
    # Deformable DETR: no dependence on the query; point i lies i + 1 pixels
    # away in the direction of the head, to the right for the first.
    assert attention.sampling_offsets.weight.abs().max() == 0
    first_head = attention.sampling_offsets.bias.view(4, 3, 2, 2)[0, 0]
    assert first_head.tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_mmdet_builds_it_by_name(mmseg_scope):
    decoder = MMDET_MODELS.build(
        dict(type='DeformablePixelDecoder', **copy.deepcopy(CFG))
    )
    assert isinstance(decoder, DeformablePixelDecoder)


def test_missing_backend_is_refused_when_built():
    with pytest.raises(ValueError, match='backend must be one of'):
        DeformablePixelDecoder(backend='fast', **copy.deepcopy(CFG))
