"""Report how much the masks of a model depend on the sound."""

import argparse
import os
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))
# As in tools/test.py: threads that wait are to sleep.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Test a model with the true sound, silence, noise, '
        "off-screen sounds, another clip's sound, shifted sound and left and "
        'right exchanged: scores by sound and by class with intervals, '
        "AVSBench-Robust's G-mIoU, G-F and false positives, and pictures of "
        'the clips in which the sound matters most and least'
    )
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='where listening_report.json and the pictures go',
    )
    parser.add_argument(
        '--table',
        nargs='+',
        metavar='FILE',
        help='only print a table of such reports, of several models',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='read the data from this folder'
    )
    parser.add_argument(
        '--snr',
        nargs='*',
        type=float,
        default=[20, 10, 0, -10],
        metavar='DB',
        help='levels of the sound above white noise (default: 20 10 0 -10)',
    )
    parser.add_argument(
        '--shift',
        nargs='*',
        type=float,
        default=[-1, -0.5, 0.5, 1],
        metavar='SECONDS',
        help='how much later the sound is (default: -1 -0.5 0.5 1)',
    )
    parser.add_argument(
        '--offscreen-folder',
        metavar='DIR',
        help='recordings of what is no class of the dataset (default: sounds '
        'of clips that share no class)',
    )
    parser.add_argument(
        '--clips',
        type=int,
        default=10,
        metavar='N',
        help='clips of each of the two pictures (default: 10)',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='draws of clips for the intervals (default: 1000)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='of noise, partners and draws (default: 0)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Report, and print the tables.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if not args.table and not (args.config and args.checkpoint and args.out):
        parser.error('give CONFIG CHECKPOINT --out DIR, or --table FILE...')
    from mmcpm.analysis_tools.listening_report import report, table
    from mmcpm.utils import errors

    with errors.reported('listening_report.py'):
        if args.table:
            print(table.comparison_table(args.table))
        else:
            print(report.run(args))


if __name__ == '__main__':
    main()
