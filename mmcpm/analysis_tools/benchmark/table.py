"""Benchmark results for reading."""

import json
from collections.abc import Iterable
from pathlib import Path


def benchmark_table(files: Iterable[Path]) -> str:
    """Lay out results of tools/analysis_tools/benchmark.py.

    Args:
        files (Iterable[Path]): JSON files of the tool.

    Returns:
        str: A Markdown table: medians in seconds, their ratio, and peak
        memory in MiB, of the configuration and of its peer.
    """
    lines = [
        '| config | task | size, batch | device | seconds | peer: seconds '
        '| ratio | memory: ratio |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for file in files:
        result = json.loads(Path(file).read_text())
        height, width = result['size']
        memory = result['peak_mb'] / result['peer_peak_mb']
        peer = Path(result['peer']).stem
        lines.append(
            f'| `{Path(result["config"]).stem}` | {result["task"]} '
            f'| {height} x {width}, {result["batch"]} '
            f'| {result["device"]} {result["dtype"]} '
            f'| {result["median_s"]:.2f} '
            f'| {peer}: {result["peer_median_s"]:.2f} '
            f'| {result["ratio"]:.2f} | {memory:.2f} |'
        )
    return '\n'.join(lines)
