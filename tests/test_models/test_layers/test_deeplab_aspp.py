"""One normalization for all branches, and a pooled branch that is added."""

import torch
import torch.nn.functional as F

from mmcpm.models.layers.deeplab_aspp import DeepLabASPP

NORM = dict(type='BN')


def build(**changes):
    torch.manual_seed(0)
    aspp = DeepLabASPP(
        **dict(
            in_channels=5,
            out_channels=3,
            branch_channels=4,
            dilations=(1, 2),
            norm_cfg=NORM,
        )
        | changes
    )
    for name, value in aspp.state_dict().items():
        if 'norm' in name and value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.5)
    return aspp


def normalized(x, norm):
    """Batch normalization by running statistics, written out."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    return x * scale[:, None, None] + shift[:, None, None]


def leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


def test_formula_written_out():
    aspp = build().eval()
    x = torch.randn(2, 5, 6, 7)
    one, near, far = (branch.weight for branch in aspp.branches)
    branches = torch.cat(
        [
            torch.einsum('oc,bchw->bohw', one[..., 0, 0], x),
            F.conv2d(F.pad(x, (1,) * 4), near),
            F.conv2d(F.pad(x, (2,) * 4), far, dilation=2),
        ],
        1,
    )
    local = torch.einsum(
        'oc,bchw->bohw',
        aspp.branch_reduce.weight[..., 0, 0],
        leaky(normalized(branches, aspp.branch_norm)),
    )
    mean = x.sum((2, 3)) / 42
    pooled = (mean @ aspp.pool_conv.weight[..., 0, 0].T)[..., None, None]
    whole = torch.einsum(
        'oc,bchw->bohw',
        aspp.pool_reduce.weight[..., 0, 0],
        leaky(normalized(pooled, aspp.pool_norm)),
    )
    expected = leaky(normalized(local + whole, aspp.norm))
    torch.testing.assert_close(aspp(x), expected, rtol=1e-5, atol=1e-5)


def test_a_single_image_can_be_trained_on():
    """It has no variance of its own: running statistics serve instead."""
    aspp = build().train()
    x = torch.randn(1, 5, 4, 4)
    before = aspp.pool_norm.running_mean.clone()
    out = aspp(x)
    assert torch.equal(aspp.pool_norm.running_mean, before)
    assert not torch.equal(aspp.norm.running_mean, build().norm.running_mean)
    out.square().sum().backward()
    assert all(p.grad.any() for p in aspp.parameters())


def test_two_images_use_their_own_statistics():
    aspp = build().train()
    before = aspp.pool_norm.running_mean.clone()
    aspp(torch.randn(2, 5, 4, 4))
    assert not torch.equal(aspp.pool_norm.running_mean, before)
