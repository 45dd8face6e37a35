"""CAVP's published weights (https://github.com/cyh-0/CAVP)."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from mmcpm.models.losses.pixel_contrastive_loss import (
    PixelContrastiveLoss,
    supervised_info_nce,
)

from . import parity_rule
from .code_base import CodeBase, register
from .key_rules import Drop, Rename, Rule
from .pvt_v2 import pvt_v2_rules
from .resnet import resnet_rules
from .vggish import vggish_rules

SEGMENT = 'segment.'
ATTENTION = 'cross_att.'
# Beginnings of names there and here, of what lies in the decode head.
HEAD_NAMES = {
    rf'{SEGMENT}aspp\.map_convs\.': 'aspp.branches.',
    rf'{SEGMENT}aspp\.map_bn\.': 'aspp.branch_norm.',
    rf'{SEGMENT}aspp\.red_conv\.': 'aspp.branch_reduce.',
    rf'{SEGMENT}aspp\.global_pooling_conv\.': 'aspp.pool_conv.',
    rf'{SEGMENT}aspp\.global_pooling_bn\.': 'aspp.pool_norm.',
    rf'{SEGMENT}aspp\.pool_red_conv\.': 'aspp.pool_reduce.',
    rf'{SEGMENT}aspp\.red_bn\.': 'aspp.norm.',
    rf'{SEGMENT}reduce\.0\.': 'reduce.conv.',
    rf'{SEGMENT}reduce\.1\.': 'reduce.bn.',
    rf'{SEGMENT}upsample\.last_conv\.0\.': 'last_conv.0.conv.',
    rf'{SEGMENT}upsample\.last_conv\.1\.': 'last_conv.0.bn.',
    rf'{SEGMENT}upsample\.last_conv\.3\.': 'last_conv.1.conv.',
    rf'{SEGMENT}upsample\.last_conv\.4\.': 'last_conv.1.bn.',
    rf'{SEGMENT}upsample\.classifier\.': 'classifier.',
    r'visual_projector\.fc1\.': 'visual_projector.0.',
    r'visual_projector\.fc2\.': 'visual_projector.2.',
    rf'{ATTENTION}patch_embed_v\.proj\.': 'fusion.image_embed.',
    rf'{ATTENTION}patch_embed_a\.proj\.': 'fusion.audio_embed.',
    rf'{ATTENTION}blocks\.0\.attn\.q\.': 'fusion.query.',
    rf'{ATTENTION}blocks\.0\.attn\.k\.': 'fusion.key.',
    rf'{ATTENTION}blocks\.0\.attn\.v\.': 'fusion.value.',
    rf'{ATTENTION}blocks\.0\.attn\.proj\.': 'fusion.proj.',
    rf'{ATTENTION}blocks\.0\.(norm[12])\.': r'fusion.\1.',
    rf'{ATTENTION}blocks\.0\.mlp\.(fc[12])\.': r'fusion.\1.',
    rf'{ATTENTION}norm\.': 'fusion.norm.',
}


def rules(keys: Collection[str]) -> list[Rule]:
    """Rules for a file of CAVP.

    Args:
        keys (Collection[str]): Keys of the file, without prefix.

    Returns:
        list[Rule]: For its image backbone (ResNet or PVTv2), its audio
        backbone (VGGish or ResNet-18) and the rest.
    """
    found: list[Rule] = [
        Drop(rf'{ATTENTION}pos_embed_[av]$', 'positions that are never used'),
        Drop(
            r'audio_backbone\.cls_head\.',
            'a classifier of sounds that is never used',
        ),
    ]
    if any(key.startswith('backbone.patch_embed1.') for key in keys):
        found += pvt_v2_rules('backbone.')
    else:
        found += resnet_rules('backbone.backbone.', deep_stem=True)
    audio = 'audio_backbone.backbone.'
    if any(key.startswith(f'{audio}features.') for key in keys):
        found += vggish_rules(audio)
    else:
        found += [
            Rename(rf'{audio}fc\.', 'audio_backbone.fc.'),
            *resnet_rules(audio, 'audio_backbone.'),
        ]
    found += [
        Rename(pattern, f'decode_head.{name}')
        for pattern, name in HEAD_NAMES.items()
    ]
    return found


def variant(weights: dict[str, Tensor]) -> str:
    """Describe which of the models a file is of.

    Args:
        weights (dict[str, Tensor]): Its weights.

    Returns:
        str: Backbones and number of classes.
    """
    parts = []
    is_pvt = 'backbone.patch_embed1.proj.weight' in weights
    parts.append('PVTv2' if is_pvt else 'ResNet')
    stem = weights.get('audio_backbone.backbone.conv1.weight')
    if stem is not None:
        kind = {1: 'mono', 2: 'stereo'}.get(stem.shape[1], 'other')
        parts.append(f'ResNet of {kind} sound')
    else:
        parts.append('VGGish')
    classes = weights.get(f'{SEGMENT}upsample.classifier.bias')
    if classes is not None:
        parts.append(f'{len(classes)} classes')
    return ', '.join(parts)


def trace(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Run a model and name its tensors as CAVP does.

    Args:
        model (nn.Module): CAVPEncoderDecoder with CAVPHead.
        inputs (dict[str, Any]): ``image`` and ``audio``; of twice as many
            sounds, the first half belongs to the images, the second is
            shuffled.

    Returns:
        dict[str, Tensor]: Tensors of the forward pass.
    """
    image, audio = inputs['image'], inputs['audio']
    head = model.decode_head
    levels = model.extract_feat(image)
    pixels = head.encode_image(levels)
    embedding = model.encode_spectrogram(audio).embedding
    repeats = len(audio) // len(image)
    pixels = pixels._replace(tokens=pixels.tokens.repeat(repeats, 1, 1))
    token = head.fusion.encode_audio(embedding)
    fused = head.fuse(pixels, token)
    aspp, low = head.aspp(levels[-1]), head.reduce(levels[0])
    context = F.interpolate(
        aspp, low.shape[-2:], mode='bilinear', align_corners=True
    )
    both = torch.cat([context, low], 1).flatten(2).transpose(1, 2)
    last = head.last_conv(fused)
    # [B, N, heads] here, [B, heads, N, 1] there.
    weights = head.fusion.attention_weights(pixels.tokens, token)
    return {
        **{f'backbone[{k}]': level for k, level in enumerate(levels)},
        'audio_backbone': embedding,
        'segment.aspp': aspp,
        'segment.reduce': low,
        'visual_projector': head.visual_projector(both),
        'cross_att[0]': fused.flatten(2).transpose(1, 2),
        'cross_att[2] (sigmoid attention)': weights.mT[..., None],
        'segment.upsample.last_conv': last,
        'segment.upsample.classifier': head.classifier(last),
        'out_fusion': fused,
        'out_pred': head.classify(fused, image.shape[-2:]),
    }


def losses() -> dict[str, Tensor]:
    """Values of the contrastive loss on the reference inputs.

    Returns:
        dict[str, Tensor]: By the names of the reference file.
    """
    maps = [
        torch.from_numpy(parity_rule.image(seed, (2, 304, 16, 16)))
        for seed in (380, 381)
    ]
    halves = torch.zeros(2, 64, 64, dtype=torch.int64)
    objects = halves.clone()
    halves[..., :32] = 5
    objects[0, :40, :36] = 3
    objects[0, 44:, 20:60] = 7
    objects[1, 10:60, 30:] = 7
    objects[1, :8] = 255
    # Of the second image (the first, in `halves`) the sound does not match.
    other_halves, other_objects = halves.clone(), objects.clone()
    other_halves[0] = 0
    other_objects[1] = torch.where(objects[1] == 255, 255, 0)
    cases = {
        '1: nothing random': (halves, other_halves, 256),
        '2: randperm = arange': (objects, other_objects, 48),
        '3: randperm = arange, all shuffled': (objects, 0 * objects, 32),
    }
    first = torch.arange(512) / 512
    values = {
        f'cavp contrast {name}': PixelContrastiveLoss(max_views=views)(
            *maps, labels, other, random=first
        )
        for name, (labels, other, views) in cases.items()
    }
    features = torch.from_numpy(parity_rule.image(382, (60, 304)))
    labels = torch.from_numpy(np.random.RandomState(383).randint(0, 4, 60))
    values['cavp info_nce'] = supervised_info_nce(
        F.normalize(features, dim=1), labels, 0.1
    )
    return values


CAVP = register(
    CodeBase(
        name='CAVP',
        head='CAVPHead',
        identifying_keys=(
            r'segment\.aspp\.map_convs\.0\.weight$',
            r'cross_att\.patch_embed_v\.proj\.weight$',
        ),
        rules=rules,
        configs={
            'cavp_r50_avss': 'configs/cavp/cavp_r50_avss.py',
            'cavp_r50_binary': 'configs/cavp/cavp_r50_s4.py',
            'cavp_r50_vpo_mono': 'configs/cavp/cavp_r50_vpo_ss_mono.py',
            'cavp_r50_vpo_stereo': 'configs/cavp/cavp_r50_vpo_ss.py',
            'cavp_pvt_avss': 'configs/cavp/cavp_pvt_avss.py',
        },
        trace=trace,
        losses=losses,
        wrapper_key='model',
        variant=variant,
    )
)
