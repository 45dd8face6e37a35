"""Check or prepare a copy of AVSBench (S4, MS3 or AVSBench-Semantic)."""

import argparse
import sys
from pathlib import Path

from mmcpm.dataset_converters.checking.check_avsbench_object import (
    check_avsbench_object,
    prepare_avsbench_object,
)
from mmcpm.dataset_converters.checking.check_avsbench_semantic import (
    check_avsbench_semantic,
    prepare_avsbench_semantic,
)
from mmcpm.dataset_converters.checking.command_line import (
    EXIT_CODES,
    add_arguments,
    options_of,
    print_report,
)
from mmcpm.dataset_converters.checking.report import Report
from mmcpm.dataset_converters.sounding_scenes.presets import get_preset
from mmcpm.dataset_converters.sounding_scenes.writer import MARKER, read_marker
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.utils.errors import UsageError, reported


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=f'{__doc__} {EXIT_CODES}')
    parser.add_argument('data_root', help='folder that holds the index file')
    parser.add_argument(
        '--dataset',
        required=True,
        choices=('s4', 'ms3', 'avss'),
        help='AVSBench-Object (s4, ms3) or AVSBench-Semantic (avss)',
    )
    add_arguments(parser)
    parser.add_argument(
        '--decode-rgb-labels',
        action='store_true',
        help='--prepare, avss: turn label maps that are color pictures into '
        'class ids, and make missing ones of labels_rgb; a color that '
        'stands for no class is refused',
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> Report:
    """Do what the arguments say."""
    shared = dict(workers=args.workers)
    if args.prepare:
        shared.update(leave_out=args.leave_out)
    else:
        shared.update(deep=args.deep)
    if args.dataset != 'avss':
        if args.decode_rgb_labels:
            raise UsageError('--decode-rgb-labels belongs to --dataset avss.')
        place = (args.data_root, args.dataset)
        options = options_of(args)
        if args.check:
            return check_avsbench_object(*place, **shared)
        return prepare_avsbench_object(
            args.data_root, args.prepare, args.dataset, options, **shared
        )
    metainfo, classes = AVSBenchSemanticDataset.METAINFO, {}
    if (Path(args.data_root) / MARKER).is_file():
        # Sounding scenes have classes of their own.
        preset = get_preset(read_marker(args.data_root)['preset'])
        classes = dict(classes=preset.class_names, palette=preset.palette)
        metainfo = classes
    options = options_of(
        args, metainfo['palette'] if args.decode_rgb_labels else None
    )
    if args.check:
        return check_avsbench_semantic(args.data_root, **classes, **shared)
    return prepare_avsbench_semantic(
        args.data_root,
        args.prepare,
        options,
        num_classes=len(metainfo['classes']),
        **shared,
    )


def main() -> None:
    """Check or prepare, and print the report."""
    args = parse_args()
    with reported(
        'avsbench.py',
        after_interrupt='The same command continues.' if args.prepare else '',
    ):
        code = print_report(run(args), args)
    sys.exit(code)


if __name__ == '__main__':
    main()
