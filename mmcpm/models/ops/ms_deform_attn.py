"""mmcv's deformable attention module over the fastest operator at hand."""

import functools
import importlib.util
import logging

import torch
import torch.nn as nn
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttention,
    MultiScaleDeformableAttnFunction,
)
from mmengine.logging import print_log
from torch import Tensor

from mmcpm import compat

from ..utils.transfers import few_numbers
from .deformable_attention import deformable_attention
from .sampling_table import Sizes

BACKENDS = ('auto', 'pytorch', 'mmcv', 'deformops')
# Images that mmcv's operator takes in one step at most.
IM2COL_STEP = 64


def available_backends() -> dict[str, str]:
    """What can be used, and what not.

    Returns:
        dict[str, str]: Names of :data:`BACKENDS` but 'auto'; '' or the
        reason why it is not there, and the remedy.
    """
    reasons = dict.fromkeys(BACKENDS[1:], '')
    if not compat.HAS_COMPILED_OPERATORS:
        reasons['mmcv'] = (
            'the installed mmcv has no compiled operators: install a full '
            "mmcv for your PyTorch, pip install 'mmcv>=2.1.0,<2.2.0'"
        )
    if importlib.util.find_spec('deformops') is None:
        reasons['deformops'] = (
            'it is not installed: pip install deformops (Python >= 3.12, '
            'torch >= 2.11)'
        )
    return reasons


def check_backend(backend: str) -> None:
    """Refuse what is unknown or not installed.

    Args:
        backend (str): One of :data:`BACKENDS`.

    Raises:
        ValueError: If there is no such backend.
        ImportError: If it cannot be used here; says what to install.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f'backend must be one of {BACKENDS}, but got {backend!r}.'
        )
    reason = '' if backend == 'auto' else available_backends()[backend]
    if reason:
        raise ImportError(
            f"Deformable attention cannot use backend '{backend}': {reason}. "
            "Or leave the choice to backend='auto'."
        )


@functools.lru_cache(maxsize=8)
def choose_backend(backend: str, device_type: str) -> str:
    """Pick what computes; tell once.

    Both libraries are for CUDA only: elsewhere PyTorch's own operators are
    taken, whatever is asked for.

    Args:
        backend (str): One of :data:`BACKENDS`.
        device_type (str): As in ``torch.device.type``.

    Returns:
        str: Name without 'auto'.
    """
    chosen = backend
    if device_type != 'cuda':
        chosen = 'pytorch'
    elif backend == 'auto':
        reasons = available_backends()
        chosen = next(
            name
            for name in ('deformops', 'mmcv', 'pytorch')
            if not reasons[name]
        )
    print_log(
        f'Deformable attention on {device_type}: {chosen} (backend '
        f'{backend!r})',
        logger='current',
        level=logging.INFO,
    )
    return chosen


@functools.lru_cache(maxsize=32)
def _level_tensors(
    sizes: Sizes, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Sizes (h, w) and first tokens of levels, (w, h); kept."""
    with torch.inference_mode(False):
        shapes = few_numbers([n for size in sizes for n in size], device)
        shapes = shapes.view(-1, 2)
        starts = shapes.prod(1).cumsum(0) - shapes.prod(1)
        return shapes, starts, shapes.flip(1).float()


def _divisor(batch: int) -> int:
    """Images per step of mmcv's operator, which takes no odd rest."""
    steps = range(min(IM2COL_STEP, batch), 0, -1)
    return next(step for step in steps if batch % step == 0)


def sample_pyramid(
    value: Tensor,
    sizes: Sizes,
    locations: Tensor,
    weights: Tensor,
    backend: str = 'auto',
) -> Tensor:
    """Do :func:`deformable_attention` with a chosen backend.

    mmcv's operator knows no bfloat16 and rounds locations to the dtype of
    the value: it gets float32.

    Args:
        value (Tensor): ``[B, tokens, heads, D]``.
        sizes (Sizes): (height, width) of each level, as numbers.
        locations (Tensor): ``[B, Q, heads, levels, points, 2]``.
        weights (Tensor): ``[B, Q, heads, levels, points]``.
        backend (str): One of :data:`BACKENDS`.

    Returns:
        Tensor: ``[B, Q, heads * D]``, dtype of ``value``.
    """
    chosen = choose_backend(backend, value.device.type)
    if chosen == 'pytorch':
        return deformable_attention(value, sizes, locations, weights)
    shapes, starts, _ = _level_tensors(sizes, value.device)
    if chosen == 'mmcv':
        precise = torch.promote_types(value.dtype, torch.float32)
        sampled = MultiScaleDeformableAttnFunction.apply(
            value.to(precise),
            shapes,
            starts,
            locations.to(precise),
            weights.to(precise),
            _divisor(len(value)),
        )
        return sampled.to(value.dtype)
    from deformops.registry import msda

    return msda(value, shapes, starts, locations, weights.to(value.dtype))


class MSDeformAttn(MultiScaleDeformableAttention):
    """mmcv's module, with its parameters, over :func:`sample_pyramid`."""

    backend = 'auto'

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Sizes = (),
        **kwargs,
    ) -> Tensor:
        """Attend to samples around reference points.

        Args:
            query (Tensor): ``[B, Q, C]``.
            key (Tensor, optional): Not used.
            value (Tensor, optional): ``[B, tokens, C]``; the query if None.
            identity (Tensor, optional): Added to the result; the query if
                None.
            query_pos (Tensor, optional): Added to the query.
            key_padding_mask (Tensor, optional): ``[B, tokens]`` bool, True
                for tokens that count as 0.
            reference_points (Tensor): (x, y) of the queries, the image being
                0..1, ``[1 or B, Q, 1 or levels, 2]``.
            spatial_shapes (Sizes): (height, width) of each level, as
                numbers.
            **kwargs: Not used.

        Returns:
            Tensor: ``[B, Q, C]``.
        """
        value = query if value is None else value
        identity = query if identity is None else identity
        if query_pos is not None:
            query = query + query_pos
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        value = value.unflatten(-1, (self.num_heads, -1))
        grid = (self.num_heads, self.num_levels, self.num_points)
        # Locations are finer than half precision can tell.
        offsets = self.sampling_offsets(query).unflatten(-1, (*grid, 2))
        precise = torch.promote_types(offsets.dtype, reference_points.dtype)
        offsets = offsets.to(precise)
        weights = self.attention_weights(query)
        weights = weights.unflatten(-1, (grid[0], -1))
        weights = weights.to(precise).softmax(-1)
        _, _, extents = _level_tensors(spatial_shapes, query.device)
        locations = reference_points[:, :, None, :, None] + (
            offsets / extents[:, None]
        )
        attended = sample_pyramid(
            value,
            spatial_shapes,
            locations,
            weights.unflatten(-1, grid[1:]).to(locations.dtype),
            self.backend,
        )
        return self.dropout(self.output_proj(attended)) + identity


def replace_ms_deform_attn(module: nn.Module, backend: str = 'auto') -> int:
    """Let all deformable attention inside a module take the given backend.

    The modules keep their parameters, their names and their identity; only
    their forward pass changes.

    Args:
        module (nn.Module): Changed in place.
        backend (str): One of :data:`BACKENDS`.

    Returns:
        int: Number of attention modules changed.
    """
    check_backend(backend)
    changed = 0
    for child in module.modules():
        if isinstance(child, MultiScaleDeformableAttention):
            if not child.batch_first:
                raise ValueError(
                    'Deformable attention needs batch_first=True, as all of '
                    "mmdet's transformers."
                )
            child.__class__ = MSDeformAttn
            child.backend = backend
            changed += 1
    return changed
