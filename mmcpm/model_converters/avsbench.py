"""AVSBench's program, whose models are TPAVI: S4, MS3 and AVSS.

https://github.com/OpenNLPLab/AVSBench. VGGish is not in its files.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from mmcpm.models.losses.audio_visual_matching import AudioVisualMatchingLoss
from mmcpm.structures.audio_features import AudioFeatures

from . import parity_rule
from .code_base import CodeBase, register
from .key_rules import Drop, Rename, Rule
from .pvt_v2 import pvt_v2_rules
from .recording import record_outputs
from .resnet import resnet_rules

NUM_LEVELS = 4
# Frames that attend to each other.
GROUP = 5


def rules(keys: Collection[str]) -> list[Rule]:
    """Rules for a file of TPAVI, with either backbone.

    Args:
        keys (Collection[str]): Keys of the file.

    Returns:
        list[Rule]: Rules.
    """
    head = 'decode_head.'
    found: list[Rule] = [
        *resnet_rules('resnet.', twin_stages=True),
        *pvt_v2_rules('encoder_backbone.'),
        Drop(
            rf'path{NUM_LEVELS}\.resConfUnit1\.',
            'the coarsest level has no second map to refine',
        ),
        Rename(r'output_conv\.', f'{head}output.'),
    ]
    for level in range(NUM_LEVELS):
        block, new = rf'tpavi_b{level + 1}\.', f'{head}attentions.{level}.'
        fusion = f'{head}fusions.{level}.'
        found += [
            Rename(
                rf'conv{level + 1}\.conv2d_list\.',
                f'{head}contexts.{level}.convs.',
            ),
            Rename(
                rf'path{level + 1}\.resConfUnit1\.', f'{fusion}refine_input.'
            ),
            Rename(
                rf'path{level + 1}\.resConfUnit2\.', f'{fusion}refine_sum.'
            ),
            Rename(rf'{block}align_channel\.', f'{new}align.'),
            Rename(rf'{block}norm_layer\.', f'{new}norm.'),
            # 1 x 1 x 1 convolutions there, linear layers here.
            Rename(rf'{block}(theta|phi|g)\.weight$', rf'{new}\1.weight', -3),
            Rename(rf'{block}(theta|phi|g)\.', rf'{new}\1.'),
            Rename(rf'{block}W_z\.0\.weight$', f'{new}mu.weight', -3),
            Rename(rf'{block}W_z\.0\.', f'{new}mu.'),
            Rename(rf'{block}W_z\.1\.', f'{new}bn.'),
        ]
    return found


def variant(weights: dict[str, Tensor]) -> str:
    """Tell which model a file is of.

    Args:
        weights (dict[str, Tensor]): Weights by the keys of the file.

    Returns:
        str: Backbone, subset and number of outputs.
    """
    is_resnet = any(key.startswith('resnet.') for key in weights)
    backbone = 'ResNet-50' if is_resnet else 'PVTv2-b5'
    last = weights.get('output_conv.4.weight')
    if last is None:
        return backbone
    outputs = len(last)
    subset = 'S4 or MS3' if outputs == 1 else 'AVSS'
    return f'{backbone}, {subset}, {outputs} outputs'


def trace(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run a model as the program does, and name what it computes.

    Args:
        model (nn.Module): The model, in evaluation mode.
        inputs (dict[str, Any]): ``image`` ``[B, 3, H, W]``, ``audio``
            ``[B, 1, 96, 64]`` and ``flag``, ``[B]`` numbers or None.

    Returns:
        dict[str, Tensor | tuple[Tensor]]: Tensors by the names of the
        program's modules; of VGGish, with a flag, before and after it.
    """
    head = model.decode_head
    modules: dict[str, nn.Module] = {'output_conv': head.output}
    for index, layer in enumerate(head.output):
        modules[f'output_conv.{index}'] = layer
    for level in range(NUM_LEVELS):
        modules[f'conv{level + 1}'] = head.contexts[level]
        modules[f'tpavi_b{level + 1}'] = head.attentions[level]
        modules[f'path{level + 1}'] = head.fusions[level]
    # Of PVTv2; mmseg's ResNet has no such list.
    for stage, layers in enumerate(getattr(model.backbone, 'layers', ()), 1):
        for index, block in enumerate(layers[1]):
            modules[f'encoder_backbone.block{stage}.{index}'] = block
    with record_outputs(modules) as found:
        features = model.extract_feat(inputs['image'])
        audio = model.encode_spectrogram(inputs['audio'])
        flag = inputs.get('flag')
        output = head.decode(
            features,
            AudioFeatures(
                [],
                audio.embedding,
                clip_length=GROUP,
                valid=None if flag is None else flag.reshape(-1) != 0,
            ),
        )
    vggish = audio.embedding
    if flag is not None:
        # The flag multiplies it before the model sees it.
        vggish = (vggish, vggish * flag.reshape(-1, 1))
    found = {'vggish': vggish, 'pred': output.logits, **found}
    for level, feature in enumerate(features):
        found[f'encoder_backbone[{level}]'] = feature
        found[f'resnet[{level}]'] = feature
        tokens = feature.flatten(2).transpose(1, 2)
        found[f'encoder_backbone.norm{level + 1}'] = tokens
        for name in (f'layer{level + 1}', f'layer{level + 1}_1'):
            found[f'resnet.{name}'] = feature
    for level in range(NUM_LEVELS):
        name = f'tpavi_b{level + 1}'
        z, aligned = found.pop(name)
        found[f'{name}[0]'] = clips(z).transpose(1, 2)
        sounds = clips(aligned)
        found[f'{name}[1]'] = found[f'a_fea_list[{level}]'] = sounds
        found[f'v_map_list[{level}]'] = output.visual_maps[level]
    return found


def clips(x: Tensor) -> Tensor:
    """Split frames into groups: ``[B, ...]`` to ``[B / 5, 5, ...]``."""
    return x.unflatten(0, (-1, GROUP))


def losses() -> dict[str, Tensor]:
    """Losses of S4, MS3 and AVSS on inputs by rule.

    Returns:
        dict[str, Tensor]: By the names of the reference file.
    """
    return {**_binary_losses(), **_semantic_losses()}


def _numbers(seed: int, *shape: int, positive: bool = False) -> Tensor:
    """Normal numbers by rule, or zero where they are negative."""
    values = torch.from_numpy(parity_rule.image(seed, shape))
    return values.relu() if positive else values


def _levels(seed: int, frames: int) -> list[Tensor]:
    """Visual maps of four levels."""
    return [
        _numbers(seed + level, frames, 256, size, size, positive=True)
        for level, size in enumerate((16, 8, 4, 2))
    ]


def _sounds(seed: int, *shape: int) -> list[Tensor]:
    """Sounds of four levels, ``[frames, 256]``."""
    return [
        _numbers(seed + level, *shape, 256).flatten(0, 1)
        for level in range(NUM_LEVELS)
    ]


def _binary_losses() -> dict[str, Tensor]:
    """Losses of the models with one output, on two clips of five frames."""
    logits = _numbers(301, 10, 1, 64, 64)
    maps, sounds = _levels(310, 10), _sounds(320, 2, 5)
    first = (_numbers(330, 2, 1, 64, 64) > 0).float()
    all_frames = (_numbers(331, 10, 1, 64, 64) > 0).float()

    def matching(**settings) -> Tensor:
        loss = AudioVisualMatchingLoss(loss_weight=1.0, **settings)
        return loss(logits, maps, sounds)

    cross_entropy = F.binary_cross_entropy_with_logits
    cosine = dict(
        mask='probability', measure='cosine', threshold=True, normalize=True
    )
    soft = dict(mask='soft', reduction='sum')
    mean = dict(mask='soft', measure='euclidean', normalize=True)
    pixels = cross_entropy(logits, all_frames)
    matched = matching(**soft)
    kind = 'tpavi ms3: AVM_'
    return {
        'tpavi s4: BCE of the first frame': cross_entropy(
            logits[::GROUP], first
        ),
        'tpavi s4: A_MaskedV_SimmLoss avg': matching(**cosine),
        'tpavi s4: A_MaskedV_SimmLoss max': matching(**cosine, pooling='max'),
        'tpavi ms3: BCE of five frames': pixels,
        f'{kind}AV kl, as train.sh (norm_fea False, threshold False)': matched,
        f'{kind}AV kl, norm_fea': matching(**soft, normalize=True),
        f'{kind}AV kl, threshold': matching(**soft, threshold=True),
        f'{kind}AV euclidean, norm_fea': matching(**mean),
        f'{kind}AV kl as train.sh, max pooling': matching(
            **soft, pooling='max'
        ),
        f'{kind}VV kl, norm_fea': matching(
            **soft, partner='nearest', normalize=True
        ),
        f'{kind}VV euclidean, norm_fea': matching(**mean, partner='nearest'),
        'tpavi ms3: total as train.sh (lambda 0.5)': pixels + 0.5 * matched,
    }


def _semantic_losses() -> dict[str, Tensor]:
    """Losses of AVSS, on two clips of ten frames with one and ten labels."""
    logits = _numbers(340, 20, 71, 32, 32)
    logits[:, 0] += 1.5
    generator = np.random.RandomState(341)
    labels = torch.from_numpy(generator.randint(0, 71, (20, 32, 32))).long()
    labeled = torch.tensor([1] + [0] * 9 + [1] * 10).bool()
    maps, sounds = _levels(350, 20), _sounds(360, 2, 10)

    def matching(**settings) -> Tensor:
        loss = AudioVisualMatchingLoss(**settings)
        # The program looks for the nearest among all frames.
        values = [
            loss.level_terms(logits, *level)[labeled].sum(1).mean()
            for level in zip(maps, sounds, strict=True)
        ]
        return sum(values) / len(values)

    pixels = F.cross_entropy(logits[labeled], labels[labeled])
    matched = matching()
    distance = dict(measure='euclidean', normalize=True)
    normalized = matching(normalize=True)
    kind = 'tpavi avss: AVM_'
    return {
        'tpavi avss: CE over annotated frames': pixels,
        f'{kind}AV kl, as train.sh (norm_fea False, threshold False)': matched,
        f'{kind}AV kl, norm_fea': normalized,
        f'{kind}AV kl, threshold': matching(threshold=True),
        f'{kind}AV euclidean, norm_fea': matching(**distance),
        # By mistake it compares with the sound as well.
        f'{kind}VV kl, norm_fea (as coded: compares with the audio)': (
            normalized
        ),
        f'{kind}VV euclidean, norm_fea': matching(
            **distance, partner='nearest'
        ),
        'tpavi avss: total as train.sh (lambda 0.5)': pixels + 0.5 * matched,
    }


AVSBENCH = register(
    CodeBase(
        name='AVSBench (TPAVI)',
        head='TPAVIHead',
        identifying_keys=(r'tpavi_b1\.theta\.', r'path1\.resConfUnit1\.'),
        rules=rules,
        configs={
            'tpavi_r50_s4': 'configs/tpavi/tpavi_r50_s4.py',
            'tpavi_r50_avss': 'configs/tpavi/tpavi_r50_avss_224.py',
            'tpavi_pvt_s4': 'configs/tpavi/tpavi_pvt_s4.py',
            'tpavi_pvt_avss': 'configs/tpavi/tpavi_pvt_avss_224.py',
        },
        trace=trace,
        losses=losses,
        separate_parts=('audio_backbone',),
        variant=variant,
    )
)
