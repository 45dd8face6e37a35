"""Arguments and output of the tools that check and prepare datasets."""

import argparse

from mmcpm.utils.errors import UsageError

from ..common.destination import Options
from .report import Report

EXIT_CODES = (
    'The exit code is 0 if nothing is at fault, 1 if something is, 2 if the '
    'command could not be carried out. Nothing in the data root is changed.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that do not depend on the dataset."""
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument(
        '--check',
        action='store_true',
        help='tell what is missing, unreadable, inconsistent or oddly '
        'labeled, and how many clips there are',
    )
    task.add_argument(
        '--prepare',
        metavar='DEST',
        help='write a data root of the same layout with sounds as 16 kHz wav '
        'files; run it again to continue',
    )
    parser.add_argument(
        '--resize',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='--prepare: resize frames and label maps (224 224 in the '
        'protocol of AVSBench)',
    )
    parser.add_argument(
        '--copy',
        action='store_true',
        help='--prepare: copy unchanged files instead of linking to them',
    )
    parser.add_argument(
        '--leave-out',
        action='store_true',
        help='--prepare: leave clips with unusable files out of the index '
        'file; otherwise it is only written when there are none',
    )
    add_check_arguments(parser)


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every tool that checks."""
    parser.add_argument(
        '--deep',
        action='store_true',
        help='--check: decode every file instead of reading headers',
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


def options_of(
    args: argparse.Namespace, palette: list[list[int]] | None = None
) -> Options:
    """Read how a copy is to be prepared.

    Args:
        args (argparse.Namespace): Parsed arguments, with those of
            :func:`add_arguments`.
        palette (list[list[int]], optional): Colors to decode.

    Returns:
        Options: Options of the copy.

    Raises:
        UsageError: If an argument is out of range or of no use.
    """
    if args.check and (args.resize or args.copy or args.leave_out or palette):
        raise UsageError(
            '--resize, --copy, --leave-out and --decode-rgb-labels belong to '
            '--prepare DEST; --check changes nothing.'
        )
    if args.resize and min(args.resize) < 1:
        raise UsageError(
            f'--resize {args.resize[0]} {args.resize[1]}: expected a height '
            'and a width in pixels, both positive.'
        )
    return Options(
        tuple(args.resize) if args.resize else None, palette, args.copy
    )


def print_report(report: Report, args: argparse.Namespace) -> int:
    """Print a report, write it to a file if asked for; give the exit code."""
    print(report.text(args.limit or None))
    if args.check and not args.deep:
        print('Headers were read; --deep decodes every file.')
    if args.report:
        report.write_csv(args.report)
    return 1 if report.num_faults else 0
