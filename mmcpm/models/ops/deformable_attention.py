"""Multi-scale deformable attention without a compiler (Deformable DETR).

Every sample is a weighted sum of four pixels, and every output a weighted sum
of all samples of a query: one bag of weighted rows in a table of pixels.
PyTorch has a fast kernel for bags on every device. Only the inputs are kept
for the backward pass, not the samples.
"""

import functools
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .sampling_table import (
    Corners,
    Sizes,
    corner_weights,
    find_corners,
    make_table,
    read_table,
    sample_constants,
)

# Samples that are taken at a time, in whole images: bounds what is allocated,
# and on a processor keeps it in the cache.
CHUNK_SAMPLES = {'cpu': 2**19, 'cuda': 2**22}


def _gather(table: Tensor, corners: Corners, weights: Tensor) -> Tensor:
    """Sum the samples of each row of ``corners``, ``[R, D]``."""
    total = None
    for shift, weight in zip(
        corners.shifts, corner_weights(corners, weights), strict=True
    ):
        part = F.embedding_bag(
            corners.row,
            table[shift:],
            mode='sum',
            per_sample_weights=weight,
        )
        total = part if total is None else total.add_(part)
    return total


def _scatter(
    grad: Tensor, corners: Corners, weights: Tensor, num_rows: int
) -> Tensor:
    """Transpose of :func:`_gather`: what arrives at each row of the table.

    Samples are sorted by the pixels they touch, once for all corners; then
    the pixels have bags of samples. No two additions meet, so the result does
    not depend on the number of threads.
    """
    order, place = corners.row.flatten().sort(stable=True)
    source = place.div(corners.row.shape[1], rounding_mode='floor')
    rows = torch.arange(num_rows, dtype=order.dtype, device=order.device)
    offsets = torch.searchsorted(order, rows)
    total = grad.new_zeros(num_rows, grad.shape[1])
    for shift, weight in zip(
        corners.shifts, corner_weights(corners, weights), strict=True
    ):
        total[shift:] += F.embedding_bag(
            source,
            grad,
            offsets[: num_rows - shift],
            mode='sum',
            per_sample_weights=weight.flatten()[place],
        )
    return total


@functools.lru_cache(maxsize=1)
def _has_sampled_product() -> bool:
    """Whether this PyTorch has products at sparse places on the CPU."""
    one = torch.ones(1, 1)
    row = torch.zeros(1, 1, dtype=torch.int32)
    try:
        return _sampled_product(one, one, row).item() == 1.0
    except (RuntimeError, NotImplementedError):
        return False


def _sampled_product(grad: Tensor, table: Tensor, row: Tensor) -> Tensor:
    """Products of rows of ``grad`` with those of the table, ``[R, M]``."""
    ends = torch.arange(0, row.numel() + 1, row.shape[1], dtype=row.dtype)
    with warnings.catch_warnings():
        # "Sparse CSR tensor support is in beta state."
        warnings.simplefilter('ignore', UserWarning)
        places = torch.sparse_csr_tensor(
            ends,
            row.flatten(),
            grad.new_zeros(row.numel()),
            (len(row), len(table)),
            check_invariants=False,
        )
    products = torch.sparse.sampled_addmm(places, grad, table.mT, beta=0.0)
    return products.values().view_as(row)


def _products(grad: Tensor, table: Tensor, row: Tensor) -> Tensor:
    """Gradient of the weights of a bag, ``[R, M]``."""
    if grad.device.type == 'cpu' and _has_sampled_product():
        return _sampled_product(grad, table, row)
    weight = torch.ones_like(row, dtype=grad.dtype).requires_grad_()
    with torch.enable_grad():
        bags = F.embedding_bag(
            row, table, mode='sum', per_sample_weights=weight
        )
    return torch.autograd.grad(bags, weight, grad)[0]


def _location_gradients(
    grad: Tensor, table: Tensor, corners: Corners, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of weights, and of x and y in pixels, ``[R, M]`` each."""
    upper_left, upper_right, lower_left, lower_right = (
        _products(grad, table[shift:], corners.row) for shift in corners.shifts
    )
    upper_step = upper_right.sub_(upper_left)
    lower_step = lower_right.sub_(lower_left)
    upper = upper_left.addcmul_(upper_step, corners.right)
    lower = lower_left.addcmul_(lower_step, corners.right)
    down = lower.sub_(upper)
    grad_weights = torch.addcmul(upper, down, corners.down)
    grad_y = down.mul_(weights).mul_(corners.free_y)
    right = torch.lerp(upper_step, lower_step, corners.down)
    grad_x = right.mul_(weights).mul_(corners.free_x)
    return grad_weights, grad_x, grad_y


def _chunks(locations: Tensor) -> list[slice]:
    """Images to handle at a time."""
    limit = CHUNK_SAMPLES.get(locations.device.type, CHUNK_SAMPLES['cuda'])
    step = max(1, limit // max(1, locations[0, ..., 0].numel()))
    return [
        slice(first, first + step) for first in range(0, len(locations), step)
    ]


class _DeformableAttention(torch.autograd.Function):
    """Keeps the inputs only, in their own dtypes; computes in float32."""

    @staticmethod
    def forward(
        ctx, value: Tensor, locations: Tensor, weights: Tensor, sizes: Sizes
    ) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.sizes = sizes
        precise = torch.promote_types(locations.dtype, torch.float32)
        outputs = []
        for part in _chunks(locations):
            table = make_table(value[part].to(precise), sizes)
            corners = find_corners(locations[part].to(precise), sizes, False)
            outputs.append(
                _gather(
                    table.flatten(0, 2),
                    corners,
                    weights[part].to(precise).flatten(0, 2).flatten(1),
                )
            )
        output = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        return output.view(*locations.shape[:2], -1).to(value.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        value, locations, weights = ctx.saved_tensors
        sizes = ctx.sizes
        precise = torch.promote_types(locations.dtype, torch.float32)
        grad_value = torch.empty_like(value)
        grad_locations = torch.empty_like(locations)
        grad_weights = torch.empty_like(weights)
        width, height = sample_constants(
            sizes,
            locations.shape[2],
            locations.shape[4],
            precise,
            locations.device,
        )[:2]
        for part in _chunks(locations):
            table = make_table(value[part].to(precise), sizes)
            corners = find_corners(locations[part].to(precise), sizes, True)
            weight = weights[part].to(precise).flatten(0, 2).flatten(1)
            above = grad[part].to(precise).reshape(len(weight), -1)
            rows = table.flatten(0, 2)
            if ctx.needs_input_grad[0]:
                arrived = _scatter(above, corners, weight, len(rows))
                grad_value[part] = read_table(arrived.view_as(table), sizes)
            if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
                by_weight, by_x, by_y = _location_gradients(
                    above, rows, corners, weight
                )
                grad_weights[part] = by_weight.view_as(weights[part])
                by_x, by_y = by_x.mul_(width), by_y.mul_(height)
                shape = weights[part].shape
                grad_locations[part][..., 0] = by_x.view(shape)
                grad_locations[part][..., 1] = by_y.view(shape)
        return grad_value, grad_locations, grad_weights, None


def deformable_attention(
    value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum samples of a pyramid with bilinear interpolation.

    The results are those of mmcv's ``multi_scale_deformable_attn_pytorch``,
    but neither pass waits for a device, and the backward pass computes the
    samples anew: nothing of their size, ``[B, Q, heads * D, levels, points]``,
    is ever made.

    Args:
        value (Tensor): Tokens of all levels, level after level, row after
            row, ``[B, tokens, heads, D]``.
        sizes (Sizes): (height, width) of each level, as numbers.
        locations (Tensor): Where to sample, (x, y), the image being 0..1;
            beyond it the value is 0. ``[B, Q, heads, levels, points, 2]``.
        weights (Tensor): Weights of the samples,
            ``[B, Q, heads, levels, points]``.

    Returns:
        Tensor: ``[B, Q, heads * D]``, dtype of ``value``.

    Raises:
        ValueError: If the sizes do not fit the tokens or the levels.
    """
    sizes = tuple((int(height), int(width)) for height, width in sizes)
    tokens = sum(height * width for height, width in sizes)
    if tokens != value.shape[1] or len(sizes) != locations.shape[3]:
        raise ValueError(
            f'Levels of the sizes {sizes} (height, width) have {tokens} '
            f'tokens, but got values {tuple(value.shape)} (images, tokens, '
            f'heads, channels) and locations {tuple(locations.shape)} '
            '(images, queries, heads, levels, points, 2).'
        )
    return _DeformableAttention.apply(value, locations, weights, sizes)
