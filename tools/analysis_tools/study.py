"""Train and test many configurations with many seeds; resumable."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(ROOT))
# See tools/train.py.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Train every configuration with every seed, test it with '
        'the true sound, silence and the sound of another clip, and append '
        'one record per finished run to a JSON file. Started again, it does '
        'what is missing. Without configs it prints the table of the file.'
    )
    parser.add_argument('configs', nargs='*', help='config files')
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0], help='default: 0'
    )
    parser.add_argument(
        '--epochs',
        type=int,
        metavar='N',
        help='length of the schedule (default: as configured)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='the dataset (of all trainings)'
    )
    parser.add_argument(
        '--split',
        choices=('val', 'test'),
        default='test',
        help="frames to score: 'val' to choose by, 'test' to report "
        '(default: test)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings of all trainings',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/study',
        metavar='DIR',
        help='logs, one folder per run (default: work_dirs/study)',
    )
    parser.add_argument(
        '--out', required=True, metavar='FILE', help='JSON list of records'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run a study.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.configs and args.data_root is None:
        parser.error('--data-root is needed to train')
    from mmcpm.utils.study import Study, read_records, study_table

    if not args.configs:
        if not Path(args.out).is_file():
            parser.error(f'--out: there is no file {args.out}')
        print(study_table(read_records(Path(args.out))))
        return
    Study(
        ROOT,
        Path(args.out),
        Path(args.work_dir).absolute(),
        Path(args.data_root).absolute(),
        epochs=args.epochs,
        split=args.split,
        options=args.cfg_options,
    ).run(args.configs, args.seeds)


if __name__ == '__main__':
    main()
