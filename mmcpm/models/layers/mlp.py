"""Multilayer perceptrons with the numbering of mmdet's."""

import torch.nn as nn


def mlp(*channels: int) -> nn.Sequential:
    """Make linear layers with a ReLU between any two.

    Args:
        *channels (int): Width of the input and of every layer.

    Returns:
        nn.Sequential: The layers have even numbers: 0, 2, 4.
    """
    layers: list[nn.Module] = []
    for width, next_width in zip(channels, channels[1:], strict=False):
        layers += [nn.Linear(width, next_width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
