"""Results of a parity check: one comparison per tensor, and all of them."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mmcpm.utils.errors import shorten


@dataclass
class Comparison:
    """One tensor, or one loss, beside its reference.

    Attributes:
        name (str): Name in the reference file.
        shape (tuple[int]): Shape there; empty for a loss.
        difference (float): Largest absolute difference; NaN if the model
            has no such tensor.
        scale (float): Standard deviation of the reference tensor, or the
            absolute value of the reference loss.
        bar (float): Largest difference that is allowed.
        note (str): Why there is no difference, if there is none.
    """

    name: str
    shape: tuple[int, ...]
    difference: float
    scale: float
    bar: float
    note: str = ''

    @property
    def passed(self) -> bool:
        """Whether the difference is within its bar; NaN is not."""
        return self.difference <= self.bar

    @property
    def relative(self) -> float:
        """The difference divided by the scale."""
        return self.difference / self.scale if self.scale else math.nan


@dataclass
class ParityReport:
    """Result of a parity check.

    Attributes:
        model (str): Layout, such as 'tpavi_r50_s4'; empty for losses.
        config (str): Config of the model.
        keys (list[str]): What became of the keys of the layout, in lines.
        seconds (float): Duration of all forward passes.
        comparisons (list[Comparison]): One per tensor of the file.
    """

    model: str
    config: str
    keys: list[str]
    seconds: float
    comparisons: list[Comparison]

    @property
    def passed(self) -> bool:
        """Whether every tensor of the file is within its bar."""
        return all(item.passed for item in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON.

        Returns:
            dict[str, Any]: With ``passed``, also of every comparison.
        """
        return {
            'passed': self.passed,
            'torch': torch.__version__,
            **asdict(self),
            'comparisons': [
                {
                    **asdict(item),
                    'relative': item.relative,
                    'passed': item.passed,
                }
                for item in self.comparisons
            ],
        }

    def table(self) -> str:
        """All comparisons as a table of text.

        Returns:
            str: Lines: tensor, shape, difference, relative, bar, result.
        """
        head = ('tensor', 'shape', 'max diff', 'relative', 'bar', '')
        lines = [head]
        for item in self.comparisons:
            result = 'ok' if item.passed else 'FAIL'
            lines.append(
                (
                    item.name,
                    ' x '.join(map(str, item.shape)),
                    f'{item.difference:.2e}',
                    f'{item.relative:.2e}',
                    f'{item.bar:.2e}',
                    f'{result} {item.note}'.strip(),
                )
            )
        widths = [max(len(line[k]) for line in lines) for k in range(5)]
        return '\n'.join(
            '  '.join(
                text.ljust(width)
                for text, width in zip(line, [*widths, 0], strict=True)
            ).rstrip()
            for line in lines
        )


def failed_names(report: ParityReport) -> str:
    """Name what is not within its bar.

    Args:
        report (ParityReport): Result of a check.

    Returns:
        str: Names, the first ones if there are many.
    """
    return shorten([i.name for i in report.comparisons if not i.passed])
