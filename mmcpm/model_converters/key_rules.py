"""Rules that turn the keys of a published weight file into mmcpm's.

Every key of a file is renamed, joined with others, split or dropped with a
reason. A key that no rule knows is an error: it may be the one weight that
changes the result.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmcpm.utils.errors import UsageError, shorten

# What DataParallel puts in front of every key.
WRAPPER_PREFIX = 'module.'


@dataclass(frozen=True)
class Rename:
    r"""Gives a key another beginning.

    Attributes:
        pattern (str): Regular expression of the beginning of a key; the rest
            of the key stays. With ``$`` at its end it stands for the key.
        replacement (str): New beginning, with ``\1`` for the first group.
        new_axes (int): Axes of length 1 to append; two turn the weight of a
            linear layer into that of a 1 x 1 convolution. Negative: to take
            from the end.
    """

    pattern: str
    replacement: str
    new_axes: int = 0

    def expand(self, match: re.Match) -> str:
        """Name of the weight in mmcpm.

        Args:
            match (re.Match): Match of the pattern with the beginning of a
                key.
        """
        rest = match.string[match.end() :]
        return match.expand(self.replacement) + rest

    def reshape(self, value: Tensor) -> Tensor:
        """Append or take away the axes of length 1.

        Args:
            value (Tensor): Weight of any shape.
        """
        if self.new_axes < 0 and {*value.shape[self.new_axes :]} == {1}:
            return value.flatten(self.new_axes - 1)
        return value[(...,) + (None,) * self.new_axes]


@dataclass(frozen=True)
class Drop:
    """Leaves a key out.

    Attributes:
        pattern (str): Regular expression of the beginning of a key.
        reason (str): Why the model does not need it.
    """

    pattern: str
    reason: str


@dataclass(frozen=True)
class Join:
    """Concatenates several tensors along their first dimension.

    Attributes:
        patterns (tuple[str]): Regular expressions, as in :class:`Rename`, of
            the keys in the order of concatenation, such as queries, keys and
            values of an attention.
        replacement (str): New beginning, equal for keys that belong together.
    """

    patterns: tuple[str, ...]
    replacement: str


@dataclass(frozen=True)
class Split:
    """Cuts a tensor into equal parts along its first dimension.

    Attributes:
        pattern (str): Regular expression, as in :class:`Rename`.
        replacements (tuple[str]): New beginning of each part.
    """

    pattern: str
    replacements: tuple[str, ...]


Rule = Rename | Drop | Join | Split


@dataclass
class KeyReport:
    """What became of the keys of a file.

    Attributes:
        mapped (dict[str, list[str]]): Name in mmcpm, and the keys of the file
            that it was made of.
        dropped (dict[str, str]): Keys that were left out, and why.
        converted (dict[str, str]): Keys of another precision than float32,
            and which.
    """

    mapped: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    converted: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Summary for people: numbers, and each reason with its keys.

        Returns:
            list[str]: Lines of text.
        """
        sources = sum(len(keys) for keys in self.mapped.values())
        lines = [f'{sources} keys mapped to {len(self.mapped)} weights']
        for reason in dict.fromkeys(self.dropped.values()):
            keys = [k for k, why in self.dropped.items() if why == reason]
            lines.append(
                f'{len(keys)} keys left out ({shorten(keys, 2)}): {reason}'
            )
        for dtype in dict.fromkeys(self.converted.values()):
            count = list(self.converted.values()).count(dtype)
            lines.append(f'{count} tensors converted from {dtype} to float32')
        return lines


def convert_keys(
    state: Mapping[str, Tensor], rules: Sequence[Rule]
) -> tuple[dict[str, Tensor], KeyReport]:
    """Rename the weights of a file; the first rule that matches counts.

    Args:
        state (Mapping[str, Tensor]): Weights by the keys of the file, without
            wrapper and prefix, see :func:`unwrap_weights`.
        rules (Sequence[Rule]): Rules of the code base.

    Returns:
        tuple[dict[str, Tensor], KeyReport]: Weights by mmcpm's names, of
        float32 where they are not integers, and the report.

    Raises:
        UsageError: If no rule knows a key, if two keys get one name, or if a
            part of a joined weight is missing.
    """
    report = KeyReport()
    converted: dict[str, Tensor] = {}
    joined: dict[str, tuple[Join, dict[int, str]]] = {}
    unknown, double = [], []
    for key, value in state.items():
        rule, position, match = _find_rule(key, rules)
        if rule is None:
            unknown.append(key)
            continue
        if isinstance(rule, Drop):
            report.dropped[key] = rule.reason
            continue
        if isinstance(rule, Join):
            name = Rename('', rule.replacement).expand(match)
            parts = joined.setdefault(name, (rule, {}))[1]
            if position in parts:
                double.append(name)
            parts[position] = key
            report.mapped.setdefault(name, []).append(key)
            continue
        if isinstance(rule, Rename):
            names, values = (rule.expand(match),), (rule.reshape(value),)
        else:
            names = tuple(
                Rename('', new).expand(match) for new in rule.replacements
            )
            values = value.chunk(len(names))
        for name, part in zip(names, values, strict=True):
            if name in report.mapped:
                double.append(name)
            report.mapped.setdefault(name, []).append(key)
            converted[name] = part
    if unknown:
        raise UsageError(
            f'{len(unknown)} of {len(state)} keys of the file are not known: '
            f'{shorten(unknown)}. Is it a file of another version?'
        )
    for name, (rule, parts) in joined.items():
        if len(parts) < len(rule.patterns):
            raise UsageError(
                f'{name} is made of {len(rule.patterns)} tensors, but the '
                f'file only has {shorten(sorted(parts.values()))}'
            )
        converted[name] = torch.cat([state[key] for _, key in
                                     sorted(parts.items())])  # fmt: skip
    if double:
        raise UsageError(
            f'several keys of the file get one name: {shorten(double)}. '
            f'{double[0]} comes from {shorten(report.mapped[double[0]])}'
        )
    for name, value in converted.items():
        if value.is_floating_point() and value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix('torch.')
            report.converted[name] = kind
            value = value.float()
        converted[name] = value.detach().clone()
    return converted, report


def _find_rule(
    key: str, rules: Sequence[Rule]
) -> tuple[Rule | None, int, re.Match | None]:
    """Find the first rule for a key, and which of its patterns matches."""
    for rule in rules:
        patterns = rule.patterns if isinstance(rule, Join) else (rule.pattern,)
        for position, pattern in enumerate(patterns):
            if match := re.match(pattern, key):
                return rule, position, match
    return None, 0, None


def unwrap_weights(
    content: Any, wrapper_keys: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Take the weights out of what a weight file holds.

    Args:
        content (Any): The whole content of the file.
        wrapper_keys (Iterable[str]): Keys under which programs store the
            weights beside other things, tried in this order.

    Returns:
        dict[str, Tensor]: Weights without DataParallel's prefix; empty if
        there are none.
    """
    if not isinstance(content, Mapping):
        return {}
    for key in wrapper_keys:
        if isinstance(content.get(key), Mapping):
            return unwrap_weights(content[key], wrapper_keys)
    weights = {k: v for k, v in content.items() if isinstance(v, Tensor)}
    while weights and all(k.startswith(WRAPPER_PREFIX) for k in weights):
        weights = {
            k.removeprefix(WRAPPER_PREFIX): v for k, v in weights.items()
        }
    return weights
