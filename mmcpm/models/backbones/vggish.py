"""VGGish (Hershey et al., ICASSP 2017): a dense map, an embedding, or both.

Parameter names are those of the public PyTorch port
(https://github.com/harritaylor/torchvggish), so that its weight file loads.
The convolutions accept a spectrogram of any size. The fully connected part,
67.6 M parameters, fits 96 x 64 only and is left out unless it is asked for:
CPM reads the dense map, TPAVI, AVSegFormer, COMBO and CAVP the embedding.
"""

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import Tensor

from ..layers.mlp import mlp
from ..utils.pretrained import pretrained_cfg

# Convolutions per block, with widths in multiples of the first block's. Every
# block ends with a 2 x 2 max-pooling.
BLOCKS = ((1,), (2,), (4, 4), (8, 8))
# Frames and mel bands of the spectrogram that the fully connected part takes.
EMBEDDING_INPUT = (96, 64)


def initialize_layer(module: nn.Module) -> None:
    """Initialize a convolution or linear layer that a ReLU follows."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
        nn.init.zeros_(module.bias)


@MODELS.register_module()
class VGGish(BaseModule):
    """VGGish with one output per pooling and, if asked for, an embedding.

    Args:
        in_channels (int): Channels of the spectrogram.
        base_channels (int): Width of the first block (64 in the public
            model; smaller for small experiments).
        out_indices (tuple[int]): Blocks whose pooled output is returned,
            0..3; block i has stride ``2 ** (i + 1)``. With an embedding
            it may be empty.
        norm_cfg (dict, optional): Normalization after each convolution. The
            public model has none; training from scratch needs one.
        frozen (bool): Keep the weights fixed, as TPAVI and AVSegFormer do.
            CPM trains them.
        with_embedding (bool): Add the fully connected part and return
            ``(levels, embedding)``.
        fc_channels (int): Width of its two hidden layers (4096 in the public
            model).
        embedding_channels (int): Size of the embedding (128 in the public
            model, 304 in CAVP).
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=...)``
            reads a torchvggish weight file. Of an ``embedding_channels``
            other than the file's, the last layer is initialized at random.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        base_channels: int = 64,
        out_indices: tuple[int, ...] = (1, 2, 3),
        norm_cfg: dict | None = None,
        frozen: bool = False,
        with_embedding: bool = False,
        fc_channels: int = 4096,
        embedding_channels: int = 128,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not (out_indices or with_embedding) or not all(
            0 <= i < len(BLOCKS) for i in out_indices
        ):
            raise ValueError(
                'out_indices must be blocks between 0 and '
                f'{len(BLOCKS) - 1} (none only with with_embedding=True), '
                f'but got {out_indices}.'
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
        self.embeddings = None
        if with_embedding:
            stride = 2 ** len(BLOCKS)
            time, bands = (size // stride for size in EMBEDDING_INPUT)
            self.embeddings = mlp(
                time * bands * channels,
                fc_channels,
                fc_channels,
                embedding_channels,
            )
            self.embeddings.append(nn.ReLU(inplace=True))
        if frozen:
            self.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialize, or read a torchvggish file and insist on every key.

        Raises:
            RuntimeError: If the file lacks a layer of this model or holds one
                of another size.
        """
        init_cfg = pretrained_cfg(self)
        if init_cfg is None:
            self.apply(initialize_layer)
            return
        checkpoint = CheckpointLoader.load_checkpoint(
            init_cfg['checkpoint'], map_location='cpu'
        )
        state = checkpoint.get('state_dict', checkpoint)
        try:
            self.load_state_dict(self._own_layers(state), strict=True)
        except RuntimeError as error:
            raise RuntimeError(
                f'{init_cfg["checkpoint"]} is not a weight file for this '
                'VGGish. Expected the keys of torchvggish, features.'
                '{0,3,6,8,11,13}.{weight,bias} with '
                f'{self.features[0].weight.shape[0]} channels in the first '
                'block, and for an embedding embeddings.{0,2,4}.'
                f'{{weight,bias}}. {error}'
            ) from error

    def _own_layers(self, state: dict) -> dict:
        """Choose from a weight file the layers that this model has."""
        own = ['features.', 'norms.']
        if self.embeddings:
            own.append('embeddings.')
        state = {k: v for k, v in state.items() if k.startswith(tuple(own))}
        stored = state.get('embeddings.4.bias')
        if stored is None or len(stored) == self.embeddings[4].out_features:
            return state
        print_log(
            f'VGGish: embeddings.4 of the weight file gives {len(stored)} '
            f'values, this model {self.embeddings[4].out_features}; the layer '
            'is initialized at random.',
            logger='current',
        )
        self.embeddings[4].apply(initialize_layer)
        for name, value in self.embeddings[4].state_dict().items():
            state[f'embeddings.4.{name}'] = value
        return state

    def forward(
        self, x: Tensor
    ) -> tuple[Tensor, ...] | tuple[tuple[Tensor, ...], Tensor]:
        """Encode spectrograms.

        Args:
            x (Tensor): ``[B, in_channels, T, F]``; with an embedding,
                ``T = 96`` frames and ``F = 64`` mel bands.

        Returns:
            tuple: Levels, fine to coarse, for block i
            ``[B, base_channels * 2**i, T / 2**(i+1), F / 2**(i+1)]``
            (the width of the last block is 8 times the base). With an
            embedding, these levels and the embedding
            ``[B, embedding_channels]``, which is not negative.

        Raises:
            ValueError: If the fully connected part does not fit the size of
                the spectrograms.
        """
        if self.embeddings and tuple(x.shape[-2:]) != EMBEDDING_INPUT:
            frames, bands = EMBEDDING_INPUT
            raise ValueError(
                'The embedding of VGGish is computed from spectrograms of '
                f'{frames} frames x {bands} mel bands, but got '
                f'{x.shape[-2]} x {x.shape[-1]} (shape {list(x.shape)}). '
                'Use LogMelFrontend as model.audio_frontend, or '
                'with_embedding=False.'
            )
        levels = []
        block = 0
        for index, layer in enumerate(self.features):
            x = layer(x)
            if str(index) in self.norms:
                x = self.norms[str(index)](x)
            if isinstance(layer, nn.MaxPool2d):
                if block in self.out_indices:
                    levels.append(x)
                block += 1
        if not self.embeddings:
            return tuple(levels)
        # The public weights expect time, frequency, channel.
        flat = torch.flatten(x.permute(0, 2, 3, 1), 1)
        return tuple(levels), self.embeddings(flat)

    def train(self, mode: bool = True) -> 'VGGish':
        """Keep running statistics fixed as well where weights are."""
        return super().train(mode and not self.frozen)
