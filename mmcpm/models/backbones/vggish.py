"""The convolutional part of VGGish (Hershey et al., ICASSP 2017).

Parameter names are those of the public PyTorch port
(https://github.com/harritaylor/torchvggish), so that its weight file loads.
Only the convolutions are kept: a segmenter needs a dense map, and they accept
any spectrogram size, where the 67.6 M parameters of the fully connected part
fit 96 x 64 only.
"""

import torch.nn as nn
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.pretrained import pretrained_cfg

# Convolutions per block, with widths in multiples of the first block's. Every
# block ends with a 2 x 2 max-pooling.
BLOCKS = ((1,), (2,), (4, 4), (8, 8))


@MODELS.register_module()
class VGGish(BaseModule):
    """VGGish's convolution stack with one output per pooling.

    Args:
        in_channels (int): Channels of the spectrogram.
        base_channels (int): Width of the first block (64 in the public
            model; smaller for small experiments).
        out_indices (tuple[int]): Blocks whose pooled output is returned,
            0..3; block i has stride ``2 ** (i + 1)``.
        norm_cfg (dict, optional): Normalization after each convolution. The
            public model has none; training from scratch needs one.
        frozen (bool): Keep the weights fixed, as TPAVI and AVSegFormer do.
            CPM trains them.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=...)``
            reads a torchvggish weight file.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        base_channels: int = 64,
        out_indices: tuple[int, ...] = (1, 2, 3),
        norm_cfg: dict | None = None,
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not out_indices or not all(
            0 <= i < len(BLOCKS) for i in out_indices
        ):
            raise ValueError(
                'out_indices must be blocks between 0 and '
                f'{len(BLOCKS) - 1}, but got {out_indices}.'
            )
        self.in_channels = in_channels
        self.out_indices = tuple(sorted(out_indices))
        self.frozen = frozen
        # The indices within `features` are those of the public weight file
        # (0, 3, 6, 8, 11, 13); normalizations therefore live beside it.
        self.features = nn.Sequential()
        self.norms = nn.ModuleDict()
        channels = in_channels
        for block in BLOCKS:
            for multiple in block:
                width = multiple * base_channels
                index = str(len(self.features))
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                if norm_cfg is not None:
                    self.norms[index] = build_norm_layer(norm_cfg, width)[1]
                self.features.append(nn.ReLU(inplace=True))
                channels = width
            self.features.append(nn.MaxPool2d(2))
        self.out_channels = tuple(
            BLOCKS[i][-1] * base_channels for i in self.out_indices
        )
        if frozen:
            self.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialize, or read a torchvggish file and insist on every key.

        Raises:
            RuntimeError: If the file lacks a convolution of this stack or
                holds one of another size.
        """
        init_cfg = pretrained_cfg(self)
        if init_cfg is None:
            for module in self.features:
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
                    nn.init.zeros_(module.bias)
            return
        checkpoint = CheckpointLoader.load_checkpoint(
            init_cfg['checkpoint'], map_location='cpu'
        )
        state = checkpoint.get('state_dict', checkpoint)
        state = {
            key: value
            for key, value in state.items()
            if key.startswith(('features.', 'norms.'))
        }
        try:
            self.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise RuntimeError(
                f'{init_cfg["checkpoint"]} is not a weight file for this '
                'VGGish. Expected the keys of torchvggish, features.'
                '{0,3,6,8,11,13}.{weight,bias} with '
                f'{self.features[0].weight.shape[0]} channels in the first '
                f'block. {error}'
            ) from error

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode spectrograms.

        Args:
            x (Tensor): ``[B, in_channels, T, F]``.

        Returns:
            tuple[Tensor]: Fine to coarse, for block i
            ``[B, base_channels * 2**i, T / 2**(i+1), F / 2**(i+1)]``
            (the width of the last block is 8 times the base).
        """
        outputs = []
        block = 0
        for index, layer in enumerate(self.features):
            x = layer(x)
            if str(index) in self.norms:
                x = self.norms[str(index)](x)
            if isinstance(layer, nn.MaxPool2d):
                if block in self.out_indices:
                    outputs.append(x)
                block += 1
        return tuple(outputs)

    def train(self, mode: bool = True) -> 'VGGish':
        """Keep running statistics fixed as well where weights are."""
        return super().train(mode and not self.frozen)
