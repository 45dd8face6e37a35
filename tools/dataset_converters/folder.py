"""Check a dataset of your own: a plain folder of frames, labels and sounds."""

import argparse
import sys

from mmcpm.dataset_converters.checking.check_folder import check_folder
from mmcpm.dataset_converters.checking.command_line import (
    EXIT_CODES,
    add_check_arguments,
    print_report,
)
from mmcpm.utils.errors import reported


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=f'{__doc__} {EXIT_CODES}')
    parser.add_argument(
        'data_root',
        help='folder that holds classes.txt and <split>/ with frames, labels '
        'and audio',
    )
    parser.add_argument(
        '--classes',
        metavar='FILE',
        help='class list, absolute or under the data root (default: '
        'classes.txt)',
    )
    parser.add_argument(
        '--frames-per-second',
        type=float,
        metavar='N',
        help='frame n of a clip is shown at n / N seconds (default: one per '
        'second, numbered from 0 or 1)',
    )
    parser.add_argument(
        '--check',
        action='store_true',
        required=True,
        help='tell what is missing, unreadable, ambiguous or oddly labeled',
    )
    add_check_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Check, and print the report."""
    args = parse_args()
    with reported('folder.py'):
        report = check_folder(
            args.data_root,
            class_file=args.classes,
            frames_per_second=args.frames_per_second,
            deep=args.deep,
            workers=args.workers,
        )
        code = print_report(report, args)
    sys.exit(code)


if __name__ == '__main__':
    main()
