"""Rules for ResNets in torchvision's naming: to mmseg's ``ResNet``."""

import re

from .key_rules import Drop, Rename, Rule


def resnet_rules(
    prefix: str = 'backbone.',
    name: str = 'backbone.',
    *,
    deep_stem: bool = False,
    twin_stages: bool = False,
) -> tuple[Rule, ...]:
    """Rules for a ResNet within a file.

    Args:
        prefix (str): Beginning of its keys in the file; empty for a file that
            holds nothing else.
        name (str): Beginning of its weights in mmcpm.
        deep_stem (bool): Three convolutions at the beginning,
            ``conv1.{0,1,3,4,6}`` and ``bn1``, for mmseg's ``ResNetV1c``, as
            in CAVP.
        twin_stages (bool): Two copies of stages 3 and 4, ``layer3_1`` and
            ``layer3_2``, the second of which is never used, as in TPAVI and
            AVSegFormer.

    Returns:
        tuple[Rule]: They match keys of this prefix only.
    """
    old = re.escape(prefix)
    rules: list[Rule] = [Drop(rf'{old}fc\.', 'the classifier of ImageNet')]
    if twin_stages:
        rules += [
            Drop(rf'{old}layer[34]_2\.', 'a second copy that is never used'),
            Rename(rf'{old}layer([34])_1\.', rf'{name}layer\1.'),
        ]
    if deep_stem:
        rules += [
            Rename(rf'{old}conv1\.', f'{name}stem.'),
            Rename(rf'{old}bn1\.', f'{name}stem.7.'),
        ]
    rules.append(Rename(rf'{old}(conv1|bn1|layer[1-4])\.', rf'{name}\1.'))
    return tuple(rules)
