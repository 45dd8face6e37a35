"""COMBO's forward pass and losses by the names of the original, for parity."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from mmcpm.models.losses.inter_frame_loss import InterFrameLoss
from mmcpm.models.utils.semantic_inference import semantic_inference

from . import parity_rule
from .recording import record_outputs

STAGES = ('res2', 'res3', 'res4', 'res5')
# Frames of a clip in the reference losses.
REFERENCE_FRAMES = 5


def audio_rows(inputs: dict[str, Any]) -> Tensor:
    """Tell whose sounds are those of the frames that there are.

    Args:
        inputs (dict[str, Any]): With ``images``, ``audio`` and, if some of it
            is of frames that are not there, ``vid_flag``.

    Returns:
        Tensor: Indices into ``audio``, one per frame, ``[T]`` int64.
    """
    rows, flag = torch.arange(len(inputs['audio'])), inputs.get('vid_flag')
    if isinstance(flag, Tensor) and flag.numel() == len(rows):
        rows = rows[flag.flatten().bool()]
    return rows[: len(inputs['images'])]


def trace(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run a model as the original does, and record its tensors.

    In float64: what is left of the differences is the rounding of the
    original. In float32 there would be twice as much, and the signs of masks,
    which decide what the decoder attends to, would differ in more places.

    Args:
        model (nn.Module): COMBOEncoderDecoder with a ``maskige_backbone``.
        inputs (dict[str, Any]): ``images`` and ``pre_masks``, uint8
            ``[T, 3, H, W]`` RGB, ``audio``, see :func:`audio_rows`.

    Returns:
        dict[str, Tensor | tuple[Tensor]]: By the names of the original's
        modules; of the audio backbone, with and without the sounds that have
        no frame.
    """
    head, preprocessor = model.decode_head, model.data_preprocessor
    image, maskige = (
        (inputs[name].float() - preprocessor.mean) / preprocessor.std
        for name in ('images', 'pre_masks')
    )
    modules = {
        'backbone': model.backbone,
        'pre_sam_backbone': model.maskige_backbone,
        'pixel_decoder': head.pixel_decoder,
        'pixel_decoder.transformer.encoder': head.pixel_decoder.encoder,
        'fusion_module.b_attn': head.fusion,
        'audio_transformation': head.audio_query_decoder.mlp,
        **{
            f'scale_factor_module.{level}': module.gate
            for level, module in enumerate(model.maskige_gates)
        },
    }
    broadcast, head.audio_broadcast = head.audio_broadcast, 'as_coded'
    try:
        model.double()
        with record_outputs(modules) as found:
            every = model.encode_spectrogram(inputs['audio'].double())
            own = every.embedding[audio_rows(inputs)]
            audio = replace(every, levels=[], embedding=own)
            pictures = torch.cat([image, maskige], 1).double()
            levels = model.extract_feat(pictures)
            logits, masks = head(levels, audio)
    finally:
        model.float()
        head.audio_broadcast = broadcast
    for name in ('backbone', 'pre_sam_backbone'):
        levels = zip(STAGES, found.pop(name), strict=True)
        for index, (stage, level) in enumerate(levels):
            found[f'{name}[{stage}]'] = found[f'{name}[{index}]'] = level
    feature, scales = found.pop('pixel_decoder')
    found['pixel_decoder.mask_features'] = feature
    for level, scale in enumerate(scales):
        found[f'pixel_decoder.multi_scale_features[{level}]'] = scale
    fused = found.pop('fusion_module.b_attn')
    found['fusion_module.b_attn visual'] = fused[0]
    found['fusion_module.b_attn audio'] = fused[1]
    found['audio_backbone'] = (own, every.embedding)
    for layer, (scores, mask) in enumerate(zip(logits, masks, strict=True)):
        last = layer == len(logits) - 1
        name = 'predictor' if last else f'predictor.aux_outputs[{layer}]'
        found[f'{name}.pred_logits'] = scores
        found[f'{name}.pred_masks'] = mask
    found['sem_seg'] = semantic_inference(
        logits[-1], masks[-1], tuple(image.shape[-2:])
    )
    return found


def reference_losses() -> dict[str, Tensor]:
    """Inter-frame loss, without its weight, on the reference inputs.

    Returns:
        dict[str, Tensor]: By the names in the reference file.
    """
    image = parity_rule.image
    near = image(403, (2, 1, 20, 49)) + 0.1 * image(404, (2, 5, 20, 49))
    cases = {
        'loss_cosine 2 clips': image(401, (10, 100, 49)),
        'loss_cosine 1 clip': image(402, (5, 100, 64)),
        'loss_cosine near frames': near.reshape(10, 20, 49),
    }
    compare = InterFrameLoss(loss_weight=1.0)
    values = {}
    for name, masks in cases.items():
        feature = torch.from_numpy(masks)[..., None]
        # The mask feature is the masks: the embeddings choose one each.
        embedding = torch.eye(masks.shape[1]).expand(1, len(masks), -1, -1)
        (values[name],) = compare(embedding, feature, REFERENCE_FRAMES)
    return values
