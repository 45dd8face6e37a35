"""Temporal pixel-wise audio-visual interaction (TPAVI, ECCV 2022).

Every pixel of a clip attends to every pixel of it, with the sound as keys. The
weights are plain products, without softmax, and the sound is constant over a
frame, so that the attention of ``T * H * W`` pixels to as many has rank T:
:func:`attend_to_sound` computes it exactly from T vectors per clip.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor


def attend_to_sound(
    pixels: Tensor, keys: Tensor, key_bias: Tensor, values: Tensor
) -> Tensor:
    """Let every pixel attend to the sounds of all frames of its clip.

    Args:
        pixels (Tensor): Features of the pixels, ``[G, T, C, P]``, of G clips
            of T frames of P pixels.
        keys (Tensor): One key per frame, ``[G, T, C]``.
        key_bias (Tensor): What is added to its products, ``[G, T]``.
        values (Tensor): One value per frame, ``[G, T, D]``.

    Returns:
        Tensor: For every pixel the sum of the values of all T frames, each
        times its product with the key, ``[G, T, D, P]``.
    """
    products = torch.einsum('gscp,gtc->gstp', pixels, keys)
    products = products + key_bias[:, None, :, None]
    return torch.einsum('gstp,gtd->gsdp', products, values)


class TPAVIBlock(BaseModule):
    """Adds what sounds in a clip to the features of its pixels.

    In the paper's terms, ``z = LN(x + BN(mu(theta(x) phi(a)^T g(x) / N)))``
    with N = T * H * W pixels of a clip. All maps but LN and BN are linear:
    ``g`` is applied to the mean of a frame instead of to its pixels, ``theta``
    to the keys, and ``mu`` to the values.

    Args:
        channels (int): Channels C of the pixels.
        audio_channels (int): Size of the audio embedding.
        inner_channels (int): Channels of keys and values. Defaults to C / 2.
        audio_bias (bool): Whether the projection of the audio has a bias.
        norm_cfg (dict): The normalization BN. It begins with zero weights:
            a new block adds nothing.
    """

    def __init__(
        self,
        channels: int,
        audio_channels: int,
        inner_channels: int | None = None,
        audio_bias: bool = True,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        inner = inner_channels or channels // 2
        self.align = nn.Linear(audio_channels, channels, bias=audio_bias)
        self.theta = nn.Linear(channels, inner)
        self.phi = nn.Linear(channels, inner)
        self.g = nn.Linear(channels, inner)
        self.mu = nn.Linear(inner, channels)
        self.bn = build_norm_layer(norm_cfg or dict(type='BN'), channels)[1]
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.bn.weight)
        nn.init.zeros_(self.bn.bias)

    def forward(
        self, x: Tensor, audio: Tensor, num_frames: int
    ) -> tuple[Tensor, Tensor]:
        """Mix the sound into the pixels.

        Args:
            x (Tensor): Features of the frames of whole clips, one after the
                other, ``[B, C, H, W]``.
            audio (Tensor): Audio embeddings, ``[B, audio_channels]``.
            num_frames (int): Frames T of a clip; B is a multiple of it.

        Returns:
            tuple[Tensor, Tensor]: Features ``[B, C, H, W]``, and the audio in
            the space of the features, ``[B, C]``.
        """
        pixels = x.flatten(2).unflatten(0, (-1, num_frames))  # [G, T, C, P]
        aligned = self.align(audio)  # [B, C]
        keys = self.phi(aligned).unflatten(0, (-1, num_frames))
        means = self.g(pixels.mean(-1)) / num_frames
        update = attend_to_sound(
            pixels,
            keys @ self.theta.weight,
            keys @ self.theta.bias,
            F.linear(means, self.mu.weight),
        )
        update = update.flatten(0, 1).view_as(x)
        update = self.bn(update + self.mu.bias[:, None, None])
        mixed = (x + update).movedim(1, -1)
        return self.norm(mixed).movedim(-1, 1).contiguous(), aligned
