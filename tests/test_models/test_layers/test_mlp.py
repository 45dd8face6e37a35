import torch

from mmcpm.models.layers.mlp import mlp


def test_by_hand():
    layers = mlp(2, 3, 1)
    assert list(layers.state_dict()) == [
        '0.weight',
        '0.bias',
        '2.weight',
        '2.bias',
    ]
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.fill_(1.0)
        layers[0].weight[0] = -1.0
    # Hidden units: relu(-7 + 1) = 0, 8 and 8; no ReLU at the end.
    x = torch.tensor([[3.0, 4.0]])
    assert layers(x).item() == 17.0
    assert layers(-x).item() == 9.0
