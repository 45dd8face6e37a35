import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.losses.inter_frame_loss import InterFrameLoss


def normal(seed, *shape):
    values = np.random.RandomState(seed).standard_normal(shape)
    return values.astype(np.float32)


def loss_of_masks(masks, clip_length, **kwargs):
    """The loss of given mask logits, ``[B, N, P]``."""
    feature = torch.as_tensor(masks)[..., None]
    embedding = torch.eye(masks.shape[1]).expand(1, len(masks), -1, -1)
    loss = InterFrameLoss(loss_weight=1.0)
    return loss(embedding, feature, clip_length, **kwargs).item()


# What COMBO's published code returns, clips of five frames.
PUBLISHED = {
    'two clips': (lambda: normal(401, 10, 100, 49), 0.36784273386001587),
    'one clip': (lambda: normal(402, 5, 100, 64), 0.36782100796699524),
    'near frames': (
        lambda: (
            normal(403, 2, 1, 20, 49) + 0.1 * normal(404, 2, 5, 20, 49)
        ).reshape(10, 20, 49),
        0.009801393374800682,
    ),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_values(name):
    make, expected = PUBLISHED[name]
    assert loss_of_masks(make(), 5) == pytest.approx(expected, rel=1e-5)


def plain_loss(embedding, feature, clip_length, valid):
    """Pair by pair, from the masks themselves."""
    values = []
    for layer in embedding:
        masks = torch.einsum('bnc,bchw->bnhw', layer, feature).flatten(1)
        terms = []
        for frame in range(len(masks) - 1):
            if (frame + 1) % clip_length == 0:
                continue  # The next frame is of another clip.
            if valid[frame] and valid[frame + 1]:
                cosine = F.cosine_similarity(
                    masks[frame], masks[frame + 1], dim=0
                )
                terms.append((1 - cosine) * torch.exp(cosine - 1))
        values.append(torch.stack(terms).mean())
    return 10 * torch.stack(values)


@pytest.mark.parametrize('padded', [(), (3,), (5, 6, 7)])
def test_masks_need_not_be_made(padded):
    torch.manual_seed(0)
    embedding = torch.randn(3, 8, 6, 5, dtype=torch.float64)
    feature = torch.randn(8, 5, 7, 4, dtype=torch.float64)
    valid = torch.ones(8, dtype=torch.bool)
    valid[list(padded)] = False
    loss = InterFrameLoss()
    inputs = [embedding.float(), feature.float()]
    for tensor in (*inputs, embedding, feature):
        tensor.requires_grad_()
    found = loss(*inputs, 4, valid)
    expected = plain_loss(embedding, feature, 4, valid)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(found.sum(), inputs)
    wanted = torch.autograd.grad(expected.sum(), [embedding, feature])
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-6)


def test_padding_leaves_no_trace():
    embedding, feature = torch.randn(1, 6, 4, 5), torch.randn(6, 5, 3, 3)
    feature.requires_grad_()
    valid = torch.tensor([True, True, False, True, True, True])
    loss = InterFrameLoss()(embedding, feature, 3, valid)
    loss.sum().backward()
    assert not feature.grad[2].any() and feature.grad[0].any()
    with torch.no_grad():
        feature[2] = 100.0
    again = InterFrameLoss()(embedding, feature, 3, valid)
    torch.testing.assert_close(again, loss, rtol=0, atol=0)


def test_clips_without_a_pair_cost_nothing():
    feature = torch.randn(4, 5, 3, 3, requires_grad=True)
    valid = torch.tensor([True, False, True, False])
    loss = InterFrameLoss()(torch.randn(2, 4, 4, 5), feature, 2, valid)
    assert loss.tolist() == [0.0, 0.0]
    loss.sum().backward()
    assert not feature.grad.any()


def test_masks_of_nothing_are_no_number_too_many():
    """An empty mask feature gives distance 1, not NaN."""
    zeros = torch.zeros(2, 5, 3, 3, requires_grad=True)
    loss = InterFrameLoss(loss_weight=1.0)(torch.randn(1, 2, 4, 5), zeros, 2)
    assert loss.item() == pytest.approx(np.exp(-1))
    loss.sum().backward()
    assert zeros.grad.isfinite().all()
