"""Attention that never builds its weights, with the parameters of PyTorch's.

PyTorch's module returns the attention weights by default, as mmcv uses it:
it then computes and stores ``[B * heads, N, M]`` of them and cannot take the
fused kernels.
"""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class SDPAttention(nn.MultiheadAttention):
    """Multi-head attention without returned weights.

    A mask may be given once for all heads, ``[B, N, M]``, beside the forms
    that PyTorch takes.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """Attend.

        Args:
            query (Tensor): ``[N, B, C]``, or ``[B, N, C]`` if batch first.
            key (Tensor): ``[M, B, C]`` or ``[B, M, C]``.
            value (Tensor): Like ``key``.
            key_padding_mask (Tensor, optional): ``[B, M]`` bool, True for
                keys to leave out.
            need_weights (bool): Not used; there are none.
            attn_mask (Tensor, optional): Bool, True where a query may not
                attend to a key, or numbers to add: ``[N, M]``, ``[B, N, M]``
                or ``[B * heads, N, M]``.
            average_attn_weights (bool): Not used.
            is_causal (bool): Not used; give the mask.

        Returns:
            tuple[Tensor, None]: Like ``query``, and no weights.
        """
        if not self.batch_first:
            query, key, value = (
                x.transpose(0, 1) for x in (query, key, value)
            )
        attended = F.linear(
            F.scaled_dot_product_attention(
                *self._project(query, key, value),
                attn_mask=self._mask(attn_mask, key_padding_mask, len(query)),
                dropout_p=self.dropout if self.training else 0.0,
            )
            .transpose(1, 2)
            .flatten(2),
            self.out_proj.weight,
            self.out_proj.bias,
        )
        if not self.batch_first:
            attended = attended.transpose(0, 1)
        return attended, None

    def _project(self, *inputs: Tensor) -> list[Tensor]:
        """Inputs of the heads, ``[B, heads, N, C / heads]`` each."""
        biases = (None,) * 3
        if self.in_proj_bias is not None:
            biases = self.in_proj_bias.chunk(3)
        weights = self.in_proj_weight.chunk(3)
        return [
            F.linear(tensor, weight, bias)
            .unflatten(-1, (self.num_heads, self.head_dim))
            .transpose(1, 2)
            for tensor, weight, bias in zip(
                inputs, weights, biases, strict=True
            )
        ]

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, batch: int
    ) -> Tensor | None:
        """Bring both masks to the form of the fused kernels."""
        if attn_mask is not None and attn_mask.dim() == 3:
            if len(attn_mask) == batch:
                attn_mask = attn_mask[:, None]
            else:
                attn_mask = attn_mask.unflatten(0, (batch, self.num_heads))
        if attn_mask is not None and attn_mask.dtype.is_floating_point:
            if padding is None:
                return attn_mask
            return attn_mask.masked_fill(padding[:, None, None], -float('inf'))
        if padding is not None:
            padding = padding[:, None, None]
            attn_mask = padding if attn_mask is None else attn_mask | padding
        return None if attn_mask is None else ~attn_mask


def replace_attention(module: nn.Module) -> int:
    """Let all attention inside a module go without weights.

    The modules keep their parameters, their names and their identity; only
    their forward pass changes.

    Args:
        module (nn.Module): Changed in place.

    Returns:
        int: Number of attention modules changed. Those with further biases
        or with keys of another width than the queries are left alone.
    """
    changed = 0
    for child in module.modules():
        if (
            type(child) is nn.MultiheadAttention
            and child.in_proj_weight is not None
            and child.bias_k is None
            and not child.add_zero_attn
        ):
            child.__class__ = SDPAttention
            changed += 1
    return changed
