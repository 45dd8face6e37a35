import pytest
import torch
import torch.nn as nn

from mmcpm.models.utils.gradient_shares import gradient_shares, group_losses


def test_terms_are_grouped_over_predictions():
    one = torch.tensor(1.0)
    losses = {
        'decode.loss_cls': one,
        'decode.d0.loss_cls': 2 * one,
        'decode.loss_vcp_cls': 4 * one,
        'decode.loss_vcp_mask': 8 * one,
        'decode.loss_pcl': 16 * one,
        'aux.loss_kl': 32 * one,
        'decode.gmm_ready': 64 * one,
    }
    assert {k: float(v) for k, v in group_losses(losses).items()} == {
        'cls': 3,
        'vcp': 12,
        'pcl': 16,
        'other': 32,
    }


def test_shares_by_hand():
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    other = nn.Parameter(torch.tensor(1.0))
    losses = {
        'loss_acp': 0.5 * weight.square().sum(),  # Gradient (3, 4), norm 5.
        'd0.loss_mask': weight.sum() * 0 + 15 * weight[0],  # Norm 15.
        'loss_dice': other.square(),  # Does not reach the weight.
        'loss_pcl': torch.tensor(2.0),  # No graph.
    }
    shares = gradient_shares(losses, [weight])
    assert {k: float(v) for k, v in shares.items()} == pytest.approx(
        {'acp': 0.25, 'mask': 0.75, 'dice': 0.0, 'pcl': 0.0}
    )
    assert weight.grad is None
    sum(losses.values()).backward()  # The graph is still there.
    assert weight.grad.tolist() == [18.0, 4.0]


def test_no_gradient_at_all():
    weight = nn.Parameter(torch.ones(2))
    assert gradient_shares({'loss_acp': weight.sum() * 0}, [weight]) == {
        'acp': 0
    }
    assert gradient_shares({'accuracy': torch.ones(())}, [weight]) == {}


def test_frozen_parameters_have_no_shares():
    weight = nn.Parameter(torch.ones(2), requires_grad=False)
    other = nn.Parameter(torch.ones(()))
    assert gradient_shares({'loss_acp': other * 2}, [weight]) == {}
    assert gradient_shares({'loss_acp': other * 2}, []) == {}
