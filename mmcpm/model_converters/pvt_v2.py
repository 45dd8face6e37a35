"""Rules for PVTv2: from the published names to those of mmdet's class."""

import re

from .key_rules import Drop, Join, Rename, Rule

NUM_STAGES = 4


def pvt_v2_rules(
    prefix: str = 'backbone.', name: str = 'backbone.'
) -> tuple[Rule, ...]:
    """Rules for a PVTv2 within a file, for the module ``PVTv2``.

    Args:
        prefix (str): Beginning of its keys in the file; empty for a file that
            holds nothing else.
        name (str): Beginning of its weights in mmcpm.

    Returns:
        tuple[Rule]: They match keys of this prefix only.
    """
    old = re.escape(prefix)
    rules: list[Rule] = [Drop(rf'{old}head\.', 'the classifier of ImageNet')]
    for stage in range(1, NUM_STAGES + 1):
        new = f'{name}layers.{stage - 1}.'
        patch = rf'{old}patch_embed{stage}\.'
        block, new_block = rf'{old}block{stage}\.(\d+)\.', rf'{new}1.\1.'
        attention, new_attention = rf'{block}attn\.', f'{new_block}attn.'
        mlp, new_mlp = rf'{block}mlp\.', f'{new_block}ffn.layers.'
        rules += [
            Rename(rf'{patch}proj\.', f'{new}0.projection.'),
            Rename(rf'{patch}norm\.', f'{new}0.norm.'),
            Join(
                (rf'{attention}q\.', rf'{attention}kv\.'),
                f'{new_attention}attn.in_proj_',
            ),
            Rename(rf'{attention}proj\.', f'{new_attention}attn.out_proj.'),
            Rename(rf'{attention}(sr|norm)\.', rf'{new_attention}\2.'),
            # Linear layers there, 1 x 1 convolutions here.
            Rename(rf'{mlp}fc1\.weight$', f'{new_mlp}0.weight', new_axes=2),
            Rename(rf'{mlp}fc1\.', f'{new_mlp}0.'),
            Rename(rf'{mlp}dwconv\.dwconv\.', f'{new_mlp}1.'),
            Rename(rf'{mlp}fc2\.weight$', f'{new_mlp}4.weight', new_axes=2),
            Rename(rf'{mlp}fc2\.', f'{new_mlp}4.'),
            Rename(rf'{block}(norm[12])\.', rf'{new_block}\2.'),
            Rename(rf'{old}norm{stage}\.', f'{new}2.'),
        ]
    return tuple(rules)
