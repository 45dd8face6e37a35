"""Check or prepare a copy of VPO (VPO-SS, VPO-MS or VPO-MSMI)."""

import argparse
import sys

from mmcpm.dataset_converters.checking.check_vpo import check_vpo, prepare_vpo
from mmcpm.dataset_converters.checking.command_line import (
    EXIT_CODES,
    add_arguments,
    options_of,
    print_report,
)
from mmcpm.dataset_converters.checking.report import Report
from mmcpm.dataset_converters.checking.vpo_rows import VPOCopy
from mmcpm.datasets.vpo import LAYOUTS, SUBSETS
from mmcpm.utils.errors import reported


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=f'{__doc__} {EXIT_CODES}')
    parser.add_argument(
        'data_root', help='folder that holds VPO-SS, VPO-MS or VPO-MSMI'
    )
    parser.add_argument(
        '--subset',
        required=True,
        choices=SUBSETS,
        help='msmi needs VPO-MS beside it',
    )
    parser.add_argument(
        '--layout',
        default='original',
        choices=LAYOUTS,
        help='reorganised: vpo_data_clean.csv and a folder per sample',
    )
    parser.add_argument(
        '--audio-root',
        default=VPOCopy.audio_root,
        metavar='DIR',
        help='folder of the recordings, absolute or under the data root '
        '(default: %(default)s)',
    )
    add_arguments(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> Report:
    """Do what the arguments say."""
    copy = VPOCopy(args.data_root, args.subset, args.layout, args.audio_root)
    options = options_of(args)
    if args.check:
        return check_vpo(copy, deep=args.deep, workers=args.workers)
    return prepare_vpo(
        copy,
        args.prepare,
        options,
        leave_out=args.leave_out,
        workers=args.workers,
    )


def main() -> None:
    """Check or prepare, and print the report."""
    args = parse_args()
    with reported(
        'vpo.py',
        after_interrupt='The same command continues.' if args.prepare else '',
    ):
        code = print_report(run(args), args)
    sys.exit(code)


if __name__ == '__main__':
    main()
