"""From queries to a score per class and pixel, without a mask per query."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Numbers of a band of masks: small enough for the cache of a processor, large
# enough for the kernels of a GPU.
BAND_NUMBERS = {'cpu': 2**19, 'cuda': 2**25}


def source_rows(
    size: int, source: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows between which bilinear interpolation takes each output row.

    Args:
        size (int): Output rows.
        source (int): Input rows.
        device (torch.device): Device of the result.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Upper and lower row, ``[size]`` int64,
        and the weight of the lower one, ``[size]`` float32.
    """
    place = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    place = (place * (source / size) - 0.5).clamp(min=0.0)
    upper = place.long().clamp(max=source - 1)
    lower = (upper + 1).clamp(max=source - 1)
    return upper, lower, place - upper


def semantic_inference(
    class_scores: Tensor, mask_logits: Tensor, size: tuple[int, int]
) -> Tensor:
    """Sum the queries' masks by class (Mask2Former's semantic inference).

    Masks of the output's size exist for a band of rows at a time.

    Args:
        class_scores (Tensor): Logits ``[B, N, classes + 1]``; the last one is
            "no object".
        mask_logits (Tensor): ``[B, N, h, w]``.
        size (tuple[int, int]): Height and width to resize the masks to.

    Returns:
        Tensor: ``[B, classes, H, W]`` float32, for class c
        ``sum_n p_n(c) sigmoid(mask_n)``: a score, not a logit.
    """
    with torch.autocast(mask_logits.device.type, enabled=False):
        return _sum_bands(class_scores.float(), mask_logits.float(), size)


def _sum_bands(
    class_scores: Tensor, mask_logits: Tensor, size: tuple[int, int]
) -> Tensor:
    """Sum the masks in float32, band by band."""
    height, width = size
    batch, queries, rows, _ = mask_logits.shape
    class_probability = class_scores.softmax(dim=-1)[..., :-1].mT
    wide = F.interpolate(
        mask_logits,
        size=(rows, width),
        mode='bilinear',
        align_corners=False,
    )
    upper, lower, weight = source_rows(height, rows, mask_logits.device)
    scores = wide.new_empty(batch, class_probability.shape[1], height, width)
    room = BAND_NUMBERS.get(mask_logits.device.type, BAND_NUMBERS['cuda'])
    band = max(1, room // (batch * queries * width))
    for top in range(0, height, band):
        part = slice(top, min(top + band, height))
        masks = torch.lerp(
            wide[:, :, upper[part]],
            wide[:, :, lower[part]],
            weight[part, None],
        ).sigmoid_()
        summed = class_probability @ masks.flatten(2)
        scores[:, :, part] = summed.unflatten(2, (-1, width))
    return scores


@torch.no_grad()
def argmax_inference(
    class_scores: Tensor, mask_logits: Tensor, size: tuple[int, int]
) -> Tensor:
    """Give every pixel to one query (MaskFormer's inference; CPM's formula).

    Queries that are no object are dropped first, so that only the others'
    masks, often a tenth of all, are brought to the output's size. Has no
    gradient.

    Args:
        class_scores (Tensor): Logits ``[B, N, classes + 1]``; the last one is
            "no object".
        mask_logits (Tensor): ``[B, N, h, w]``.
        size (tuple[int, int]): Height and width to resize the masks to.

    Returns:
        Tensor: ``[B, classes, H, W]`` float32, for class c the largest
        ``p_n(c) sigmoid(mask_n)`` of the queries whose best class is c, 0 if
        there is none: without any query all is class 0, background.
    """
    with torch.autocast(mask_logits.device.type, enabled=False):
        probability, best = class_scores.float().softmax(-1).max(-1)  # [B, N]
        num_classes = class_scores.shape[-1] - 1
        scores = mask_logits.new_zeros(
            (len(mask_logits), num_classes, *size), dtype=torch.float32
        )
        for image, classes in enumerate(best):
            for query in (classes < num_classes).nonzero()[:, 0].tolist():
                mask = F.interpolate(
                    mask_logits[image, query].float()[None, None],
                    size=size,
                    mode='bilinear',
                    align_corners=False,
                )[0, 0]
                mask = mask.sigmoid_() * probability[image, query]
                kept = scores[image, classes[query]]
                torch.maximum(kept, mask, out=kept)
        return scores


INFERENCE_MODES = {'semantic': semantic_inference, 'argmax': argmax_inference}


def check_inference_mode(mode: str) -> None:
    """Refuse unknown ways from queries to a segmentation.

    Args:
        mode (str): One of :data:`INFERENCE_MODES`.

    Raises:
        ValueError: Names the known ones.
    """
    if mode not in INFERENCE_MODES:
        raise ValueError(
            f'inference_mode must be one of {tuple(INFERENCE_MODES)}, but got '
            f'{mode!r}.'
        )
