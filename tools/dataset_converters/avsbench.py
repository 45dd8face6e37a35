"""Check a copy of AVSBench (S4, MS3 or AVSBench-Semantic)."""

import argparse
import sys
from pathlib import Path

from mmcpm.datasets.checking.check_avsbench_object import (
    check_avsbench_object,
)
from mmcpm.datasets.checking.check_avsbench_semantic import (
    check_avsbench_semantic,
)
from mmcpm.datasets.checking.report import Report
from mmcpm.datasets.sounding_scenes.presets import get_preset
from mmcpm.datasets.sounding_scenes.writer import MARKER, read_marker
from mmcpm.utils.errors import reported


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=f'{__doc__} The exit code is 0 if nothing is at fault, 1 '
        'if something is, 2 if it could not be checked. Nothing in the data '
        'root is ever changed.'
    )
    parser.add_argument('data_root', help='folder that holds the index file')
    parser.add_argument(
        '--dataset',
        required=True,
        choices=('s4', 'ms3', 'avss'),
        help='AVSBench-Object (s4, ms3) or AVSBench-Semantic (avss)',
    )
    parser.add_argument(
        '--check',
        action='store_true',
        required=True,
        help='tell what is missing, unreadable, inconsistent or oddly '
        'labelled',
    )
    parser.add_argument(
        '--deep',
        action='store_true',
        help='decode every file; otherwise headers are read (and the masks '
        'of S4 and MS3)',
    )
    parser.add_argument(
        '--limit',
        type=int,
        default=20,
        help='findings of a kind that are printed; 0: all (default: 20)',
    )
    parser.add_argument(
        '--report', metavar='FILE', help='write all findings to a csv file'
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes; 0 works in this one (default: one per processor)',
    )
    return parser.parse_args()


def check(args: argparse.Namespace) -> Report:
    """Check the dataset that the arguments name."""
    options = dict(deep=args.deep, workers=args.workers)
    if args.dataset != 'avss':
        return check_avsbench_object(args.data_root, args.dataset, **options)
    if (Path(args.data_root) / MARKER).is_file():
        # Sounding scenes have classes of their own.
        preset = get_preset(read_marker(args.data_root)['preset'])
        options.update(classes=preset.class_names, palette=preset.palette)
    return check_avsbench_semantic(args.data_root, **options)


def main() -> None:
    """Check and print the report."""
    args = parse_args()
    with reported('avsbench.py'):
        report = check(args)
        print(report.text(args.limit or None))
        if not args.deep:
            print('Headers were read; --deep decodes every file.')
        if args.report:
            report.write_csv(args.report)
    sys.exit(1 if report.num_faults else 0)


if __name__ == '__main__':
    main()
