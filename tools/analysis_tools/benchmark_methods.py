"""Time several methods beside stock Mask2Former, in one run."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(ROOT))
STOCK = ROOT / 'configs/avmask2former/avmask2former_r50_avss.py'


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description="Time several configurations in turns with mmseg's "
        'Mask2Former without audio, and count their parameters, '
        'multiply-adds and peak memory, on made-up frames'
    )
    parser.add_argument('configs', nargs='*', help='config files')
    parser.add_argument(
        '--table',
        nargs='+',
        metavar='FILE',
        help='only print the table of results that --out has saved',
    )
    parser.add_argument('--task', choices=('train', 'infer'), default='infer')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        default=(512, 512),
        help='of the images (default: 512 512)',
    )
    parser.add_argument(
        '--batch',
        type=int,
        default=1,
        metavar='N',
        help='frames per step; methods of clips take them as one clip '
        '(default: 1)',
    )
    parser.add_argument('--repeats', type=int, default=10, metavar='R')
    parser.add_argument('--warmup', type=int, default=2, metavar='R')
    parser.add_argument(
        '--stock',
        default=str(STOCK),
        metavar='CONFIG',
        help='config of a Mask2Former head whose counterpart in mmseg is the '
        'peer (default: avmask2former_r50_avss)',
    )
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument(
        '--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32'
    )
    parser.add_argument(
        '--no-memory', action='store_true', help='leave the memory out'
    )
    parser.add_argument('--out', metavar='FILE', help='save it as JSON')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Measure, and print the table.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if bool(args.configs) == bool(args.table):
        parser.error('give either config files or --table FILE...')
    from mmcpm.analysis_tools.benchmark import methods
    from mmcpm.utils import errors

    with errors.reported('benchmark_methods.py'):
        if args.table:
            print(methods.methods_table(args.table))
        else:
            print(methods.format_report(methods.run(args)))


if __name__ == '__main__':
    main()
