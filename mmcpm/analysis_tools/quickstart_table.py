"""The scores of the quickstart as a table, for the terminal and README."""

import json
from pathlib import Path

from prettytable import PrettyTable

SCORES = ('mIoU', 'Fbeta')
ROWS = {
    'model': 'with the true sound',
    'vision_only_ceiling': 'best possible score without the sound',
    'silence': 'with silence',
    'swapped': 'with the sound of another clip',
    'all_background': 'nothing segmented',
}


def score_table(summary: dict) -> str:
    """Lay out the scores for reading.

    Args:
        summary (dict): See :func:`run_quickstart`.

    Returns:
        str: A table in per cent.
    """
    table = PrettyTable()
    table.field_names = ['', 'mIoU', 'F-beta']
    table.align = 'r'
    table.align[''] = 'l'
    for row, title in ROWS.items():
        values = [
            summary['all_background'][score]
            if row == 'all_background'
            else summary[score][row]
            for score in SCORES
        ]
        table.add_row([title, *(f'{100 * value:.1f}' for value in values)])
    return table.get_string()


def result_table(results: Path) -> str:
    """Lay out the summaries of several seeds for the README.

    Args:
        results (Path): Folder of ``quickstart_seed*.json``.

    Returns:
        str: A Markdown table in per cent: mean and range over the seeds.
    """
    summaries = [
        json.loads(path.read_text())
        for path in sorted(results.glob('quickstart_seed*.json'))
    ]
    lines = ['| | mIoU | F-beta |', '|---|---|---|']
    for row, title in ROWS.items():
        cells = []
        for score in SCORES:
            values = [
                100
                * (
                    summary['all_background'][score]
                    if row == 'all_background'
                    else summary[score][row]
                )
                for summary in summaries
            ]
            mean = sum(values) / len(values)
            low, high = min(values), max(values)
            cells.append(
                f'{mean:.1f}'
                if high - low < 0.05
                else f'{mean:.1f} ({low:.1f} to {high:.1f})'
            )
        lines.append(f'| {title} | {cells[0]} | {cells[1]} |')
    return '\n'.join(lines)
