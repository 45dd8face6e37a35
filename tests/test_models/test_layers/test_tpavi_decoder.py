import torch

from mmcpm.models.layers.tpavi_decoder import (
    FeatureFusion,
    ResidualConvUnit,
    SummedDilatedConvs,
)


def test_dilated_convolutions_are_summed():
    layer = SummedDilatedConvs(1, 1, dilations=(1, 2))
    for conv, factor in zip(layer.convs, (1.0, 10.0), strict=True):
        torch.nn.init.constant_(conv.weight, factor)
        torch.nn.init.constant_(conv.bias, factor / 2)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    # Around the point with factor 1, two pixels away with factor 10.
    expected = torch.full((5, 5), 5.5)
    expected[1:4, 1:4] += 1
    expected[::2, ::2] += 10
    assert torch.equal(layer(x)[0, 0], expected)


def test_new_convolutions_are_small():
    weight = SummedDilatedConvs(64, 64).convs[0].weight
    assert 0.0095 < weight.std() < 0.0105


def with_doubling_convs(unit):
    for conv in (unit.conv1, unit.conv2):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
        conv.weight.data[:, :, 1, 1] = 2
    return unit


def test_skip_connection_begins_after_the_relu_as_coded():
    x = torch.tensor([-3.0, 2.0]).view(1, 1, 1, 2)
    unit = with_doubling_convs(ResidualConvUnit(1))
    assert unit(x).flatten().tolist() == [0, 10]
    unit = with_doubling_convs(ResidualConvUnit(1, rectified_skip=False))
    assert unit(x).flatten().tolist() == [-3, 10]
    # Nothing is changed in place.
    assert x.flatten().tolist() == [-3, 2]


def test_fusion_adds_the_coarser_map_and_aligns_corners():
    fusion = FeatureFusion(1)
    for unit in (fusion.refine_input, fusion.refine_sum):
        for parameter in unit.parameters():
            torch.nn.init.zeros_(parameter)
    x = torch.tensor([0.0, 3.0]).view(1, 1, 1, 2)
    coarser = torch.tensor([1.0, -5.0]).view(1, 1, 1, 2)
    # ReLU(1 + ReLU(0)) = 1 and ReLU(-5 + ReLU(3)) = 0, then four values
    # from corner to corner.
    found = fusion(x, coarser)
    assert found.shape == (1, 1, 2, 4)
    expected = torch.tensor([1, 2 / 3, 1 / 3, 0])
    assert torch.allclose(found[0, 0, 0], expected)
    assert fusion(x, coarser, (1, 3)).shape == (1, 1, 1, 3)


def test_coarsest_level_has_one_unit():
    fusion = FeatureFusion(2, is_coarsest=True)
    assert fusion.refine_input is None
    assert fusion(torch.randn(1, 2, 3, 3)).shape == (1, 2, 6, 6)
