"""Tabulate and draw what trainings logged: any key, time and memory."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Print time per iteration, memory and the values of keys '
        'that one or several trainings logged, and draw the keys'
    )
    parser.add_argument(
        'runs',
        nargs='+',
        help='work dirs of trainings (all resumptions are read), or files '
        'such as vis_data/scalars.json',
    )
    parser.add_argument(
        '--keys',
        nargs='+',
        default=['loss'],
        metavar='KEY',
        help='such as loss, decode.loss_cls, lr, time, dataset/mIoU '
        '(default: loss); an unknown one lists those that there are',
    )
    parser.add_argument(
        '--out', metavar='FILE', help='draw the keys to this PNG file'
    )
    parser.add_argument(
        '--names', nargs='+', metavar='NAME', help='names of the runs'
    )
    parser.add_argument(
        '--log', action='store_true', help='draw on a logarithmic scale'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Print the tables.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.analyze_logs.report import analyze
    from mmcpm.utils.errors import reported

    with reported('analyze_logs.py'):
        print(analyze(args.runs, args.keys, args.out, args.names, args.log))
        if args.out is not None:
            print(f'Drew {args.out}')


if __name__ == '__main__':
    main()
