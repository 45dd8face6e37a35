"""Time training steps, inference or data loading, beside a peer."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Time a configuration, in turns with a peer: median, '
        'quartiles, peak memory and parts'
    )
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument(
        '--table',
        nargs='+',
        metavar='FILE',
        help='only print the table of results that --out has saved',
    )
    parser.add_argument(
        '--task', choices=('train', 'infer', 'data'), default='train'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        default=(512, 512),
        help='of the images; of the crop where data are read',
    )
    parser.add_argument('--batch', type=int, default=1, metavar='N')
    parser.add_argument('--repeats', type=int, default=10, metavar='R')
    parser.add_argument('--warmup', type=int, default=2, metavar='R')
    parser.add_argument(
        '--vs',
        metavar='stock|CONFIG',
        help="the peer: mmseg's Mask2Former of the same sizes without audio "
        '(for data: its pipeline for images), or another config',
    )
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument(
        '--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32'
    )
    parser.add_argument(
        '--input', choices=('random', 'real'), default='random'
    )
    parser.add_argument('--checkpoint', metavar='FILE', help='weights to load')
    parser.add_argument('--data-root', metavar='DIR', help='read from there')
    parser.add_argument(
        '--no-memory', action='store_true', help='leave the memory out'
    )
    parser.add_argument('--out', metavar='FILE', help='save it as JSON')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Measure, and print the report.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.benchmark import runs
    from mmcpm.utils import errors

    with errors.reported('benchmark.py'):
        if args.table:
            print(runs.benchmark_table(args.table))
        else:
            print(runs.format_report(runs.run(args)))


if __name__ == '__main__':
    main()
