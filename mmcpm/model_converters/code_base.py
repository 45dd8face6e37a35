"""What mmcpm knows of a code base whose weights it converts.

A module of this package describes one code base with a :class:`CodeBase` and
hands it to :func:`register`; one import line in ``__init__.py`` makes it
known to ``tools/model_converters``.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch.nn as nn
from torch import Tensor

from mmcpm.utils.errors import UsageError, shorten

from .key_rules import Rule

# Where programs keep weights beside other things.
COMMON_WRAPPERS = ('state_dict', 'model', 'model_state_dict')
# Files that are no code base's: a key of them, and what they are.
OTHER_FILES = (
    (
        r'decode_head\.',
        "a checkpoint of mmcpm or mmseg. mmcpm's need no conversion",
    ),
    (
        r'(layer1\.0\.conv1|conv1)\.weight$',
        "a ResNet in torchvision's layout, without a decoder. Name it as "
        "model.backbone.init_cfg.checkpoint, or 'torchvision://resnet50'",
    ),
    (
        r'patch_embed1\.proj\.weight$',
        'a PVTv2 backbone without a decoder. Name it as '
        'model.backbone.init_cfg.checkpoint',
    ),
    (
        r'(features|embeddings)\.0\.weight$',
        'a VGGish of torchvggish. Name it as '
        'model.audio_backbone.init_cfg.checkpoint',
    ),
)


def relative_bar(name: str, std: float) -> float:
    """Largest difference that parity allows: 1e-4 of the deviation.

    Args:
        name (str): Name of the tensor.
        std (float): Standard deviation of the expected tensor.

    Returns:
        float: Bar of the largest absolute difference.
    """
    return 1e-4 * std


@dataclass(frozen=True)
class CodeBase:
    """A code base that published weights.

    Attributes:
        name (str): Its name, as people know it.
        head (str): Type of the decode head that its models became.
        identifying_keys (tuple[str]): Regular expressions; a file in which
            each matches the beginning of a key is of this code base.
        rules (Callable): From the keys of a file to the rules for them.
        configs (dict[str, str]): Config of each published layout, such as
            'tpavi_r50_s4', as a path below the repository.
        trace (Callable): From a model and named inputs to the tensors of its
            forward pass by the names that the code base gives them:
            ``trace(model, inputs)``. Inputs are tensors, None, or the text
            that describes them. A tuple of tensors stands for a name that
            can mean any of them.
        losses (Callable): Values of losses on reference inputs, by name.
        wrapper_key (str): Key of the file that holds the weights; empty if
            the file is the weights.
        separate_parts (tuple[str]): Parts of the model whose weights come in
            a file of their own, with bare keys, such as 'audio_backbone'.
        variant (Callable): From the weights of a file to a description of
            which model they are of, for messages.
        bar (Callable): Largest absolute difference that parity allows, from
            name and standard deviation of a tensor.
    """

    name: str
    head: str
    identifying_keys: tuple[str, ...]
    rules: Callable[[Collection[str]], Sequence[Rule]]
    configs: dict[str, str] = field(default_factory=dict)
    trace: Callable[[nn.Module, dict[str, Any]], dict[str, Any]] | None = None
    losses: Callable[[], dict[str, Tensor | float]] = dict
    wrapper_key: str = ''
    separate_parts: tuple[str, ...] = ()
    variant: Callable[[dict[str, Tensor]], str] = lambda weights: ''
    bar: Callable[[str, float], float] = relative_bar


CODE_BASES: dict[str, CodeBase] = {}


def register(code_base: CodeBase) -> CodeBase:
    """Make a code base known to the converter and the parity check.

    Args:
        code_base (CodeBase): Its description.

    Returns:
        CodeBase: The same.
    """
    CODE_BASES[code_base.name] = code_base
    return code_base


def wrapper_keys() -> tuple[str, ...]:
    """Keys under which files may hold their weights.

    Returns:
        tuple[str]: Without repetitions.
    """
    own = (base.wrapper_key for base in CODE_BASES.values())
    return tuple(dict.fromkeys(k for k in (*own, *COMMON_WRAPPERS) if k))


def find_code_base(keys: Collection[str]) -> CodeBase:
    """Find the code base that a file is of.

    Args:
        keys (Collection[str]): Keys of the weights, without prefix.

    Returns:
        CodeBase: The one all of whose identifying keys are there.

    Raises:
        UsageError: If there is none; says what the file is, where known.
    """
    for code_base in CODE_BASES.values():
        if all(_has(keys, key) for key in code_base.identifying_keys):
            return code_base
    known = ', '.join(CODE_BASES)
    for pattern, what in OTHER_FILES:
        if _has(keys, pattern):
            raise UsageError(
                f'the file is of none of the known code bases ({known}), but '
                f'{what}'
            )
    raise UsageError(
        f'the file is of none of the known code bases ({known}). Its '
        f'{len(keys)} keys begin with {shorten(sorted(keys), 3)}'
    )


def code_base_of_layout(layout: str) -> CodeBase:
    """Find the code base that published a layout.

    Args:
        layout (str): For example 'tpavi_r50_s4'.

    Raises:
        UsageError: If no code base has a config for it.
    """
    for code_base in CODE_BASES.values():
        if layout in code_base.configs:
            return code_base
    known = [name for base in CODE_BASES.values() for name in base.configs]
    raise UsageError(
        f'there is no model for the layout {layout!r}. Known are '
        f'{shorten(known, 30)}'
    )


def _has(keys: Collection[str], pattern: str) -> bool:
    """Whether a pattern matches the beginning of one of the keys."""
    return any(re.match(pattern, key) for key in keys)
