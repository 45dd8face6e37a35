"""COMBO (https://github.com/yannqi/COMBO-AVS): weights and parity.

Its models are detectron2's: a ResNet with stages res2 to res5, Mask2Former in
the original naming, and a second backbone for the maskige.
"""

from collections.abc import Collection, Sequence

from torch import Tensor

from .code_base import CodeBase, register, relative_bar
from .combo_trace import STAGES, reference_losses, trace
from .key_rules import Drop, Rename, Rule
from .pvt_v2 import pvt_v2_rules
from .vggish import vggish_rules

# Scores are sums over 100 queries, up to 87 in the reference files.
SCORE_BAR = 1e-3


def detectron2_resnet_rules(prefix: str, name: str) -> list[Rule]:
    """Rules for a ResNet of detectron2, for mmseg's ``ResNet``.

    Args:
        prefix (str): Beginning of its keys, with the dots escaped.
        name (str): Beginning of its weights in mmcpm.

    Returns:
        list[Rule]: The rules.
    """
    rules: list[Rule] = [
        Rename(rf'{prefix}stem\.conv1\.norm\.', f'{name}bn1.'),
        Rename(rf'{prefix}stem\.conv1\.', f'{name}conv1.'),
    ]
    for number, stage in enumerate(STAGES, 1):
        block, new = rf'{prefix}{stage}\.(\d+)\.', rf'{name}layer{number}.\1.'
        rules += [
            Rename(rf'{block}shortcut\.norm\.', f'{new}downsample.1.'),
            Rename(rf'{block}shortcut\.', f'{new}downsample.0.'),
            Rename(rf'{block}conv(\d)\.norm\.', rf'{new}bn\2.'),
            Rename(rf'{block}conv(\d)\.', rf'{new}conv\2.'),
        ]
    return rules


def pixel_decoder_rules() -> list[Rule]:
    """Rules for Mask2Former's pixel decoder, for DeformablePixelDecoder.

    Returns:
        list[Rule]: The rules.
    """
    old, new = r'sem_seg_head\.pixel_decoder\.', 'decode_head.pixel_decoder.'
    layer = rf'{old}transformer\.encoder\.layers\.(\d+)\.'
    new_layer = rf'{new}encoder.layers.\1.'
    return [
        Rename(rf'{old}input_proj\.(\d)\.0\.', rf'{new}input_convs.\1.conv.'),
        Rename(rf'{old}input_proj\.(\d)\.1\.', rf'{new}input_convs.\1.gn.'),
        Rename(
            rf'{old}transformer\.level_embed$', f'{new}level_encoding.weight'
        ),
        Rename(rf'{layer}self_attn\.', f'{new_layer}self_attn.'),
        Rename(rf'{layer}norm1\.', f'{new_layer}norms.0.'),
        Rename(rf'{layer}linear1\.', f'{new_layer}ffn.layers.0.0.'),
        Rename(rf'{layer}linear2\.', f'{new_layer}ffn.layers.1.'),
        Rename(rf'{layer}norm2\.', f'{new_layer}norms.1.'),
        Rename(rf'{old}mask_features\.', f'{new}mask_feature.'),
        Rename(rf'{old}adapter_1\.norm\.', f'{new}lateral_convs.0.gn.'),
        Rename(rf'{old}adapter_1\.', f'{new}lateral_convs.0.conv.'),
        Rename(rf'{old}layer_1\.norm\.', f'{new}output_convs.0.gn.'),
        Rename(rf'{old}layer_1\.', f'{new}output_convs.0.conv.'),
    ]


def fusion_rules() -> list[Rule]:
    """Rules for the fusion and the projection of the sound.

    Returns:
        list[Rule]: The rules.
    """
    old, new = r'sem_seg_head\.fusion_module\.', 'decode_head.fusion.'
    block = rf'{old}b_attn\.'
    kinds = (('v', 'visual'), ('a', 'audio'))
    rules: list[Rule] = [
        Rename(rf'{old}audio_pos\.', f'{new}audio_pos_embed.'),
        Rename(rf'{old}level_embed\.', f'{new}level_embed.'),
        Rename(rf'{block}gamma_a$', f'{new}audio_scale'),
        Rename(rf'{block}gamma_v_list\.0$', f'{new}visual_scale'),
        Rename(
            r'sem_seg_head\.audio_transformation\.embeddings\.',
            'decode_head.audio_query_decoder.mlp.',
        ),
    ]
    for letter, kind in kinds:
        attention = rf'{block}attn_list\.0\.'
        names = (
            (f'{letter}_proj', f'{kind}_proj'),
            (f'values_{letter}_proj', f'{kind}_value_proj'),
            (f'out_{letter}_proj', f'{kind}_out_proj'),
        )
        rules.append(
            Rename(
                rf'{block}layer_norm_{letter}_list\.0\.', f'{new}{kind}_norm.'
            )
        )
        rules += [
            Rename(rf'{attention}{a}\.', f'{new}attention.{b}.')
            for a, b in names
        ]
    return rules


def predictor_rules() -> list[Rule]:
    """Rules for Mask2Former's decoder.

    Returns:
        list[Rule]: The rules.
    """
    old, new = r'sem_seg_head\.predictor\.', 'decode_head.'
    layer = rf'{new}transformer_decoder.layers.\1.'
    cross = rf'{old}transformer_cross_attention_layers\.(\d+)\.'
    own = rf'{old}transformer_self_attention_layers\.(\d+)\.'
    ffn = rf'{old}transformer_ffn_layers\.(\d+)\.'
    rules: list[Rule] = [
        Rename(rf'{cross}multihead_attn\.', f'{layer}cross_attn.attn.'),
        Rename(rf'{cross}norm\.', f'{layer}norms.0.'),
        Rename(rf'{own}self_attn\.', f'{layer}self_attn.attn.'),
        Rename(rf'{own}norm\.', f'{layer}norms.1.'),
        Rename(rf'{ffn}linear1\.', f'{layer}ffn.layers.0.0.'),
        Rename(rf'{ffn}linear2\.', f'{layer}ffn.layers.1.'),
        Rename(rf'{ffn}norm\.', f'{layer}norms.2.'),
        Rename(
            rf'{old}decoder_norm\.', f'{new}transformer_decoder.post_norm.'
        ),
        Rename(rf'{old}class_embed\.', f'{new}cls_embed.'),
        Rename(rf'{old}(query_feat|query_embed|level_embed)\.', rf'{new}\1.'),
    ]
    # Activations have a number there, and are no entries of the list here.
    rules += [
        Rename(rf'{old}mask_embed\.layers\.{i}\.', f'{new}mask_embed.{2 * i}.')
        for i in range(3)
    ]
    return rules


def combo_rules(keys: Collection[str]) -> Sequence[Rule]:
    """Rules for a file of COMBO.

    Args:
        keys (Collection[str]): Its keys.

    Returns:
        Sequence[Rule]: Those of a ResNet or a PVTv2, as the keys tell, and of
        the rest.
    """
    rules: list[Rule] = []
    for old, new in (
        ('backbone', 'backbone'),
        ('pre_sam_backbone', 'maskige_backbone'),
    ):
        if any(key.startswith(f'{old}.patch_embed') for key in keys):
            rules += pvt_v2_rules(f'{old}.', f'{new}.')
        else:
            rules += detectron2_resnet_rules(rf'{old}\.', f'{new}.')
    gate, new_gate = r'scale_factor_module\.(\d)\.', r'maskige_gates.\1.gate.'
    return [
        *rules,
        Rename(rf'{gate}fc1\.', f'{new_gate}0.'),
        Rename(rf'{gate}fc2\.', f'{new_gate}2.'),
        *vggish_rules('audio_backbone.'),
        *pixel_decoder_rules(),
        *fusion_rules(),
        *predictor_rules(),
        Drop(
            r'criterion\.empty_weight$',
            'weights of the classes in the loss, which the config states',
        ),
    ]


def describe_variant(weights: dict[str, Tensor]) -> str:
    """Tell which model a file is of.

    Args:
        weights (dict[str, Tensor]): Its weights.

    Returns:
        str: Backbone and number of classes.
    """
    pvt = any(key.startswith('backbone.patch_embed') for key in weights)
    bias = weights.get('sem_seg_head.predictor.class_embed.bias')
    classes = '' if bias is None else f', {len(bias) - 1} classes'
    return f'{"PVTv2-b5" if pvt else "ResNet-50"}{classes}'


def score_bar(name: str, std: float) -> float:
    """Largest difference that parity allows.

    Args:
        name (str): Name of the tensor.
        std (float): Its standard deviation.

    Returns:
        float: 1e-3 for the scores, 1e-4 of the deviation for the rest.
    """
    return SCORE_BAR if name == 'sem_seg' else relative_bar(name, std)


COMBO = register(
    CodeBase(
        name='COMBO',
        head='COMBOHead',
        identifying_keys=(r'sem_seg_head\.fusion_module\.',),
        rules=combo_rules,
        configs={
            'combo_r50_s4': 'configs/combo/combo_r50_s4_published.py',
            'combo_r50_avss': 'configs/combo/combo_r50_avss_224_published.py',
            'combo_pvt_s4': 'configs/combo/combo_pvt_s4_published.py',
            'combo_pvt_avss': 'configs/combo/combo_pvt_avss_224_published.py',
        },
        trace=trace,
        losses=reference_losses,
        wrapper_key='model',
        variant=describe_variant,
        bar=score_bar,
    )
)
