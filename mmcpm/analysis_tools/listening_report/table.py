"""Tables of a listening report, for a terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prettytable import PrettyTable

from mmcpm.utils.errors import UsageError

from .variants import SHOWN, TRUE

# Of the protocols of a config, the one that tables of several models show.
PREFERRED = 'dataset/mIoU'


def written(each: Mapping[str, float | None], sign: bool = False) -> str:
    """Write an interval in per cent.

    Args:
        each (Mapping[str, float | None]): ``value``, ``low`` and ``high``.
        sign (bool): Whether to write a plus.

    Returns:
        str: E.g. '75.4 (73.1 to 77.9)'; a dash where not defined.
    """
    if each['value'] is None:
        return '-'
    form = '{:+.1f}' if sign else '{:.1f}'
    value, *ends = (
        '-' if each[key] is None else form.format(100 * each[key])
        for key in ('value', 'low', 'high')
    )
    return f'{value} ({ends[0]} to {ends[1]})'


def tables(content: Mapping[str, Any]) -> str:
    """Write a report for a terminal.

    Args:
        content (Mapping[str, Any]): Content of the JSON file.

    Returns:
        str: Notes and tables.
    """
    return '\n'.join(
        [
            f'{content["frames"]} frames of {content["clips_scored"]} clips. '
            'In per cent, with the 95 % interval over draws of clips; * '
            'nothing in view is heard.',
            str(score_table(content)),
            *(
                [str(robustness_table(content))]
                if content['robustness']
                else []
            ),
            f'IoU of the classes ({content["class_protocol"]}):',
            str(class_table(content)),
            *content['notes'],
        ]
    )


def score_table(content: Mapping[str, Any]) -> PrettyTable:
    """Tabulate scores, their differences and false positives by sound."""
    names = list(content['scores'])
    first = names[0]
    table = PrettyTable(
        ['sound', *names, f'{first}: difference', 'segmented share']
    )
    table.align = 'r'
    table.align['sound'] = 'l'
    for sound, about in content['sounds'].items():
        difference = content['differences'][first][sound]
        table.add_row(
            [
                about['title'] + (' *' if about['negative'] else ''),
                *(written(content['scores'][name][sound]) for name in names),
                '' if sound == TRUE else written(difference, sign=True),
                written(content['false_positive_rate'][sound]),
            ]
        )
    return table


def robustness_table(content: Mapping[str, Any]) -> PrettyTable:
    """Tabulate the global scores of AVSBench-Robust by protocol."""
    robust = content['robustness']
    table = PrettyTable(['protocol', 'G-mIoU', 'G-F', 'G-FPR'])
    table.align = 'r'
    table.align['protocol'] = 'l'
    for prefix, scores in robust.items():
        if prefix != 'G-FPR':
            table.add_row(
                [
                    prefix,
                    written(scores['G-mIoU']),
                    written(scores['G-F']),
                    written(robust['G-FPR']),
                ]
            )
    return table


def class_table(content: Mapping[str, Any]) -> PrettyTable:
    """Tabulate the IoU of each class with some sounds, and its drop."""
    shown = [s for s in (TRUE, *SHOWN) if s in content['sounds']]
    titles = [content['sounds'][sound]['title'] for sound in shown]
    table = PrettyTable(['class', 'clips', *titles, 'drop without its sound'])
    table.align = 'r'
    table.align['class'] = 'l'
    for name, row in content['classes'].items():
        values = [row['IoU'][sound]['value'] for sound in shown]
        table.add_row(
            [
                name,
                row['clips'],
                *('-' if v is None else f'{100 * v:.1f}' for v in values),
                written(row['drop'], sign=True),
            ]
        )
    return table


def comparison_table(files: Sequence[str | Path]) -> str:
    """Set reports of several models side by side, for a README.

    Args:
        files (Sequence[str | Path]): ``listening_report.json`` of each
            model; its column has the name of its config.

    Returns:
        str: Markdown table of dataset/mIoU, or else of the first score, in
        per cent with its interval, by sound, and AVSBench-Robust's global
        scores.

    Raises:
        UsageError: If a file is no report, two are of one config, or they
            were scored under different protocols.
    """
    reports: dict[str, dict] = {}
    for path in files:
        try:
            content = json.loads(Path(path).read_text(encoding='utf-8'))
            name = Path(content['config']).stem
            content['scores'], content['sounds']
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f'{path} is no listening_report.json '
                f'({type(error).__name__}: {error})'
            ) from error
        if name in reports:
            raise UsageError(f'two of the reports are of the config {name}')
        reports[name] = content
    first = PREFERRED
    if any(first not in content['scores'] for content in reports.values()):
        firsts = {next(iter(each['scores'])) for each in reports.values()}
        if len(firsts) != 1:
            raise UsageError(
                'the reports have different scores: '
                f'{", ".join(sorted(firsts))}'
            )
        first = firsts.pop()
    prefix = first.partition('/')[0]
    lines = [['sound', *(f'`{name}`: {first}' for name in reports)]]
    lines.append(['---'] * len(lines[0]))
    sounds: dict[str, str] = {}
    for content in reports.values():
        for sound, about in content['sounds'].items():
            sounds.setdefault(sound, about['title'])
    for sound, title in sounds.items():
        cells = [
            written(content['scores'][first][sound])
            if sound in content['sounds']
            else '-'
            for content in reports.values()
        ]
        lines.append([title, *cells])
    for key in ('G-mIoU', 'G-F', 'G-FPR'):
        cells = []
        for content in reports.values():
            robust = content['robustness']
            value = robust[key] if key in robust else robust[prefix][key]
            cells.append(written(value))
        lines.append([key, *cells])
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
