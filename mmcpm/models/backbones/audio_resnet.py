"""ResNet that summarizes a spectrogram in one vector."""

import torch.nn as nn
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class AudioResNet(ResNet):
    """ResNet with a maximum over time and frequency and a linear layer.

    CAVP's audio backbone for VPO: any number of frames, one or two channels.
    The names of the parameters are torchvision's.

    Args:
        embedding_channels (int): Size of the embedding.
        **kwargs: Arguments of mmseg's ResNet.
    """

    def __init__(self, *, embedding_channels: int = 304, **kwargs) -> None:
        super().__init__(**kwargs)
        if max(self.out_indices) != self.num_stages - 1:
            raise ValueError(
                'The embedding is made of the last stage: out_indices must '
                f'contain {self.num_stages - 1}, but got {self.out_indices}.'
            )
        self.fc = nn.Linear(self.feat_dim, embedding_channels)

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Encode spectrograms.

        Args:
            x (Tensor): ``[B, in_channels, T, F]``.

        Returns:
            tuple[tuple[Tensor], Tensor]: Levels, fine to coarse, and the
            embedding ``[B, embedding_channels]``.
        """
        levels = tuple(super().forward(x))
        return levels, self.fc(levels[-1].amax((2, 3)))
