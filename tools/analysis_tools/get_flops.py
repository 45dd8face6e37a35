"""Count parameters and multiply-adds of a model, for a frame and its sound."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Count parameters and multiply-adds for a frame and its '
        'sound, part by part, and name the operators that are not counted'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('H', 'W'), default=(512, 512)
    )
    parser.add_argument(
        '--stock',
        action='store_true',
        help="mmseg's Mask2Former of the same sizes, without audio",
    )
    parser.add_argument('--out', metavar='FILE', help='save it as JSON')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Count, and print the result.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.benchmark import flops
    from mmcpm.utils import errors

    with errors.reported('get_flops.py'):
        print(flops.format_report(flops.run(args)))


if __name__ == '__main__':
    main()
