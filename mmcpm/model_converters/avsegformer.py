"""Weights, forward pass and losses of AVSegFormer's code.

The code is https://github.com/vvvb-github/AVSegFormer. Its files hold all of
a model, VGGish included, as a bare state dict, with branches that no forward
pass reaches.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from mmcpm.models.decode_heads.avsegformer_head import frame_losses

from . import parity_rule
from .code_base import CodeBase, register
from .key_rules import Drop, Rename, Rule
from .pvt_v2 import pvt_v2_rules
from .recording import record_outputs
from .resnet import resnet_rules
from .vggish import vggish_rules

HEAD = 'decode_head.'
PIXELS = f'{HEAD}pixel_decoder.'
LAYER = r'layers\.(\d+)\.'


def layer_rules(old: str, new: str, ffn: tuple[str, str]) -> list[Rule]:
    r"""Rules for the layers of a transformer.

    Args:
        old (str): Pattern of their keys, up to the number of the layer.
        new (str): Replacement, up to the number of the layer, ``\1``.
        ffn (tuple[str, str]): Patterns of the two layers of the feed-forward
            network.

    Returns:
        list[Rule]: For norms and feed-forward networks.
    """
    return [
        *(
            Rename(rf'{old}norm{k + 1}\.', rf'{new}norms.{k}.')
            for k in range(3)
        ),
        Rename(rf'{old}{ffn[0]}', rf'{new}ffn.layers.0.0.'),
        Rename(rf'{old}{ffn[1]}', rf'{new}ffn.layers.1.'),
    ]


def head_rules() -> list[Rule]:
    """Rules for everything but the backbones.

    Returns:
        list[Rule]: They match keys of the head and the audio projection.
    """
    linear = (r'linear1\.', r'linear2\.')
    generator = rf'head\.query_generator\.{LAYER}'
    new_generator = rf'{HEAD}query_generator.layers.\1.'
    encoder = rf'head\.transformer\.encoder\.{LAYER}'
    new_encoder = rf'{PIXELS}encoder.layers.\1.'
    decoder = rf'head\.transformer\.decoder\.{LAYER}'
    new_decoder = rf'{HEAD}decoder.\1.'
    return [
        Drop(r'head\.(fpn|attn_fc)\.', 'a branch that is never used'),
        Rename(r'audio_proj\.', f'{HEAD}audio_proj.'),
        # The table that the generator reads, and the one that is added.
        Rename(r'head\.query_generator\.query\.', f'{HEAD}query_feat.'),
        Rename(r'head\.learnable_query\.', f'{HEAD}query_embed.'),
        Rename(r'head\.level_embed$', f'{PIXELS}level_embed.weight'),
        Rename(
            rf'{generator}(self|cross)_attn\.',
            rf'{new_generator}\2_attn.attn.',
        ),
        *layer_rules(generator, new_generator, (r'ffn\.0\.', r'ffn\.2\.')),
        Rename(rf'{encoder}self_attn\.', f'{new_encoder}self_attn.'),
        *layer_rules(encoder, new_encoder, linear),
        Rename(
            rf'{decoder}(self|cross)_attn\.', rf'{new_decoder}\2_attn.attn.'
        ),
        *layer_rules(decoder, new_decoder, linear),
        Rename(r'head\.in_proj\.(\d)\.0\.', rf'{PIXELS}input_convs.\1.conv.'),
        Rename(r'head\.in_proj\.(\d)\.1\.', rf'{PIXELS}input_convs.\1.gn.'),
        Rename(r'head\.lateral_conv\.0\.', f'{PIXELS}lateral_conv.conv.'),
        Rename(r'head\.lateral_conv\.1\.', f'{PIXELS}lateral_conv.gn.'),
        Rename(r'head\.out_conv\.0\.', f'{PIXELS}output_conv.conv.'),
        Rename(r'head\.out_conv\.1\.', f'{PIXELS}output_conv.gn.'),
        Rename(r'head\.fusion_block\.', f'{HEAD}channel_gate.'),
        Rename(r'head\.mlp\.layers\.([01])\.', rf'{HEAD}mask_mlp.\1.conv.'),
        Rename(r'head\.mlp\.layers\.2\.', f'{HEAD}mask_mlp.2.'),
        Rename(r'head\.fc\.', f'{HEAD}conv_seg.'),
    ]


def rules(keys: Collection[str]) -> list[Rule]:
    """Rules for a file.

    Args:
        keys (Collection[str]): Its keys.

    Returns:
        list[Rule]: For its backbone, VGGish and head.
    """
    is_pvt = any(key.startswith('backbone.patch_embed') for key in keys)
    backbone = pvt_v2_rules() if is_pvt else resnet_rules(twin_stages=True)
    return [*backbone, *vggish_rules('vggish.'), *head_rules()]


def variant(weights: Mapping[str, Tensor]) -> str:
    """Tell which model a file is of.

    Args:
        weights (Mapping[str, Tensor]): Weights by the keys of the file.

    Returns:
        str: Backbone and task.
    """
    is_pvt = 'backbone.patch_embed1.proj.weight' in weights
    found = 'PVTv2' if is_pvt else 'ResNet'
    last = weights.get('head.fc.4.weight')
    if last is None:
        return found
    if len(last) == 1:
        return f'{found}, one logit (S4, MS3)'
    return f'{found}, {len(last)} classes (AVSS)'


def trace(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Run a model as the original runs, and keep its inner tensors.

    Frames that do not exist (``flag`` 0) are removed as there: their image
    features, logits and mask feature are 0.

    Args:
        model (nn.Module): Segmentor with an AVSegFormerHead.
        inputs (dict[str, Any]): ``image`` ``[N, 3, H, W]``, normalized,
            ``audio`` ``[N, 1, 96, 64]`` and, or None, ``flag`` ``[N]``.

    Returns:
        dict[str, Tensor]: By the original's names.
    """
    head, pixels = model.decode_head, model.decode_head.pixel_decoder
    modules: dict[str, nn.Module] = {
        'head.query_generator': head.query_generator,
        'head.transformer.encoder': pixels.encoder,
        'head.lateral_conv': pixels.lateral_conv,
        'head.out_conv': pixels.output_conv,
        'head.mlp': head.mask_mlp,
    }
    for name, layers in (
        ('head.in_proj.{}', pixels.input_convs),
        ('head.transformer[1][{}]', head.decoder),
        ('head.query_generator.layers.{}', head.query_generator.layers),
        ('head.transformer.encoder.layers.{}', pixels.encoder.layers),
    ):
        modules |= {name.format(k): layer for k, layer in enumerate(layers)}
    flag = inputs.get('flag')
    with record_outputs(modules) as found:
        audio = model.encode_spectrogram(inputs['audio'])
        levels = model.extract_feat(inputs['image'])
        found |= {f'backbone[{k}]': level for k, level in enumerate(levels)}
        if flag is not None:
            flag = flag.reshape(-1, 1, 1, 1).to(levels[0])
            levels = [level * flag for level in levels]
        encoded = head.encode_audio(audio)
        logits, mask_feature = head.decode(levels, encoded)
    memory = found['head.transformer.encoder']
    last = found[f'head.transformer[1][{len(head.decoder) - 1}]']
    found |= {
        'vggish': audio.embedding,
        'audio_proj': encoded.token,
        'head.transformer.encoder[0] (memory)': memory,
        'head.transformer[0]': memory,
        'head.transformer[1][-1] (decoder queries)': last,
        'head.fusion_block': mask_feature,
        'head.fc': logits,
        'head[0]': logits,
        'head[1]': mask_feature,
    }
    if flag is not None:
        logits, mask_feature = logits * flag, mask_feature * flag
    return found | {'pred': logits, 'mask_feature': mask_feature}


def losses() -> dict[str, Tensor]:
    """Losses of the original's three training scripts on reference inputs.

    Returns:
        dict[str, Tensor]: By name.
    """
    init_default_scope('mmseg')

    def normal(seed: int, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(parity_rule.image(seed, shape))

    dice = dict(type='ForegroundDiceLoss')
    binary = dict(
        type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True
    )
    multi = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    logits = normal(301, (10, 1, 64, 64))
    feature = normal(370, (10, 256, 16, 16))
    # S4 has a label for the first frame of each of two clips.
    first = (normal(330, (2, 1, 1, 64, 64)) > 0).long()[:, 0, 0]
    every = (normal(331, (10, 1, 64, 64)) > 0).long()[:, 0]
    cases = {
        f'{subset} {kind}': (*tensors, loss, loss)
        for kind, loss in (('dice', dice), ('bce', binary))
        for subset, tensors in (
            ('s4', (logits[::5], feature[::5], first)),
            ('ms3', (logits, feature, every)),
        )
    }
    # Of the first of two clips of AVSS, one frame has a label.
    kept = [0, *range(10, 20)]
    logits = normal(340, (20, 71, 32, 32))
    logits[:, 0] += 1.5
    labels = np.random.RandomState(341).randint(0, 71, (20, 32, 32))
    cases['avss'] = (
        logits[kept],
        normal(371, (20, 256, 8, 8))[kept],
        torch.from_numpy(labels)[kept].long(),
        multi,
        dice,
    )
    values = {}
    for name, (logits, feature, labels, decode, mix) in cases.items():
        terms = frame_losses(
            logits,
            feature,
            labels,
            MODELS.build(decode),
            MODELS.build(dict(mix, loss_weight=0.1)),
        )
        values |= {
            f'avsegformer {name}: iou_loss': terms['loss_decode'],
            f'avsegformer {name}: mix_loss (times 0.1)': terms['loss_mix'],
            f'avsegformer {name}: total': sum(terms.values()),
        }
    return values


AVSEGFORMER = register(
    CodeBase(
        name='AVSegFormer',
        head='AVSegFormerHead',
        identifying_keys=(
            r'head\.learnable_query\.',
            r'vggish\.',
            r'backbone',
        ),
        rules=rules,
        configs={
            f'avsegformer_{backbone}_{task}': 'configs/avsegformer/'
            f'avsegformer_{backbone}_{config}.py'
            for backbone in ('r50', 'pvt')
            for task, config in (
                ('s4', 's4'),
                ('ms3', 'ms3'),
                ('avss', 'avss_224'),
            )
        },
        trace=trace,
        losses=losses,
        variant=variant,
    )
)
