"""Tables of the scores of masks, for a terminal."""

import math
from collections.abc import Mapping
from typing import Any

from prettytable import PrettyTable

from mmcpm.evaluation.functional import percent
from mmcpm.utils.errors import shorten

# Names of the two scores of a protocol, and of its variants.
ROWS = {
    'J': (('', 'J', 'F'),),
    'mIoU': (
        ('', 'mIoU', 'Fbeta'),
        ('classes that occur', 'mIoU_present', 'Fbeta_present'),
        (
            'classes without background',
            'no_background/mIoU',
            'no_background/Fbeta',
        ),
    ),
}


def score_pairs(
    scores: Mapping[str, float | None],
) -> list[tuple[str, float, float]]:
    """List the pairs of scores that a protocol gives.

    Args:
        scores (Mapping[str, float | None]): Scores by name.

    Returns:
        list[tuple[str, float, float]]: What is different from the protocol,
        its J or mIoU, and its F; NaN where not defined.
    """
    pairs = []
    for name, first, second in ROWS['J' if 'J' in scores else 'mIoU']:
        if first in scores:
            second = second if second in scores else 'Fbeta'
            values = (scores[first], scores[second])
            pairs.append(
                (name, *(math.nan if v is None else v for v in values))
            )
    return pairs


def bridge_table(protocols: Mapping[str, dict]) -> PrettyTable:
    """Tabulate what each protocol counts, and how far they differ.

    Args:
        protocols (Mapping[str, dict]): Records by the name of the protocol.

    Returns:
        PrettyTable: One line per protocol and variant, in per cent.
    """
    table = PrettyTable(
        [
            'protocol',
            'what is averaged',
            'absent classes',
            'background',
            'J or mIoU',
            'F',
            'J&F',
            'difference',
        ]
    )
    table.align = 'l'
    for column in ('J or mIoU', 'F', 'J&F', 'difference'):
        table.align[column] = 'r'
    reference = None
    for prefix, record in protocols.items():
        pairs = score_pairs(record['groups']['all']['scores'])
        for name, j, f in pairs:
            reference = j if reference is None else reference
            words = [record[key] for key in ('counts', 'absent classes')]
            background = record['background']
            if name and (j, f) == pairs[0][1:]:
                continue
            if name:
                words = [
                    f'  the same, {name}',
                    'left out' if 'occur' in name else words[1],
                ]
                background = 'no' if 'without' in name else background
            table.add_row(
                [
                    '' if name else prefix,
                    *words,
                    background,
                    percent(j),
                    percent(f),
                    percent((j + f) / 2),
                    '-'
                    if math.isnan(j - reference)
                    else f'{100 * (j - reference):+.2f}',
                ]
            )
    return table


def tables(content: Mapping[str, Any], per_class: bool = True) -> str:
    """Write the report for a terminal.

    Args:
        content (Mapping[str, Any]): Content of the JSON file.
        per_class (bool): Whether to list the classes.

    Returns:
        str: Notes and tables.
    """
    protocols = content['protocols']
    lines = [
        f'{content["frames_scored"]} of {content["frames_of_split"]} frames '
        f'of {content["dataset"]}/{content["split"]}, {content["kind"]} '
        f'called {content["layout"]} (from {content["first_frame"]}).'
    ]
    missing = content['missing']
    if missing['frames']:
        lines.append(
            f'Missing: {len(missing["frames"])} frames ('
            f'{missing["treatment"]}): {shorten(missing["frames"])}.'
        )
    if content['unknown']:
        lines.append(
            f'Ignored: {len(content["unknown"])} files of no frame: '
            f'{shorten(content["unknown"])}.'
        )
    if content['padding_left_out']:
        lines.append(
            f'Left out: {content["padding_left_out"]} files of frames that '
            'clips of five are padded with.'
        )
    lines += [
        f'Resized for {prefix}: {record["resized_predictions"]} predictions.'
        for prefix, record in protocols.items()
        if record['resized_predictions']
    ]
    lines.append(
        'In per cent; "difference" is that of J or mIoU to the first line, '
        'in points:'
    )
    lines.append(str(bridge_table(protocols)))
    first = next(iter(protocols.values()))
    if len(first['groups']) > 1:
        lines.append(str(groups_table(protocols)))
    if per_class:
        lines.append(str(classes_table(protocols)))
    return '\n'.join(lines)


def groups_table(protocols: Mapping[str, dict]) -> PrettyTable:
    """Tabulate J or mIoU and F of each group of frames, in per cent."""
    table = PrettyTable(
        ['frames', 'number', *(f'{p}: J, F' for p in protocols)]
    )
    table.align = 'r'
    table.align['frames'] = 'l'
    first = next(iter(protocols.values()))
    for group, record in first['groups'].items():
        cells = []
        for protocol in protocols.values():
            _, j, f = score_pairs(protocol['groups'][group]['scores'])[0]
            cells.append(f'{percent(j)}, {percent(f)}')
        table.add_row([group, record['frames'], *cells])
    return table


def classes_table(protocols: Mapping[str, dict]) -> PrettyTable:
    """Tabulate IoU and F of each class, in per cent."""
    scored = {name: p for name, p in protocols.items() if p['classes']}
    table = PrettyTable(
        ['class', 'labeled frames', *(f'{p}: IoU, F' for p in scored)]
    )
    table.align = 'r'
    table.align['class'] = 'l'
    first = next(iter(scored.values()))
    for name, row in first['classes'].items():
        cells = []
        for protocol in scored.values():
            values = protocol['classes'][name]
            pair = [
                math.nan if values[k] is None else values[k]
                for k in ('IoU', 'Fbeta')
            ]
            cells.append(', '.join(map(percent, pair)))
        table.add_row([name, row['frames'], *cells])
    return table
