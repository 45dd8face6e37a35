"""A vector from a spectrogram of any length."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

CFG = dict(
    type='AudioResNet',
    depth=18,
    base_channels=8,
    stem_channels=8,
    in_channels=2,
    embedding_channels=5,
    out_indices=(2, 3),
    norm_cfg=dict(type='BN'),
)


@pytest.fixture
def backbone():
    init_default_scope('mmseg')
    torch.manual_seed(0)
    backbone = MODELS.build(CFG)
    backbone.eval()
    return backbone


@pytest.mark.parametrize('frames', [96, 300])
def test_maximum_and_linear_layer(backbone, frames):
    levels, embedding = backbone(torch.randn(2, 2, frames, 64))
    assert len(levels) == 2
    highest = levels[-1].flatten(2).max(2).values
    expected = highest @ backbone.fc.weight.T + backbone.fc.bias
    torch.testing.assert_close(embedding, expected)
    assert embedding.shape == (2, 5)
    assert (embedding < 0).any()  # No ReLU comes after it.


def test_both_channels_count(backbone):
    x = torch.randn(1, 2, 64, 64)
    assert not torch.allclose(backbone(x)[1], backbone(x.flip(1))[1])


def test_names_are_those_of_torchvision(backbone):
    names = {k.split('.')[0] for k in backbone.state_dict()}
    layers = {f'layer{k}' for k in range(1, 5)}
    assert names == {'conv1', 'bn1', 'fc', *layers}


def test_the_last_stage_is_needed():
    init_default_scope('mmseg')
    with pytest.raises(ValueError, match='out_indices must contain 3'):
        MODELS.build(dict(CFG, out_indices=(1, 2)))
