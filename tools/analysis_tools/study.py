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
        'what is missing. It ends with the table of the file; without configs '
        'it prints that only.'
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
        '--as-long-as',
        metavar='NAME',
        help='give every configuration the epochs that take the time of this '
        'one, by the seconds per step on record',
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
        '--jobs',
        type=int,
        default=1,
        metavar='N',
        help='runs at a time, which share the processors (default: 1)',
    )
    parser.add_argument(
        '--keep-checkpoints',
        action='store_true',
        help='keep the best checkpoint of every run',
    )
    parser.add_argument(
        '--baseline',
        nargs='+',
        default=[],
        metavar='NAME',
        help='rows of the table to compare the others with, seed by seed',
    )
    parser.add_argument(
        '--plots',
        metavar='DIR',
        help='draw scores, stability, coverage and the sweep of lambda',
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
    if args.as_long_as and args.epochs:
        parser.error('give either --epochs or --as-long-as')
    if args.jobs < 1:
        parser.error(f'--jobs must be positive, but got {args.jobs}')
    out = Path(args.out)
    if not args.configs and not out.is_file():
        parser.error(f'--out: there is no file {out}')
    if args.configs:
        # One thread each for as many runs as there are processors is faster
        # than all threads for one run after the other.
        share = max(1, len(os.sched_getaffinity(0)) // args.jobs)
        os.environ.setdefault('OMP_NUM_THREADS', str(share))
    from mmcpm.analysis_tools.study.lengths import equal_time_epochs
    from mmcpm.analysis_tools.study.runs import Study, read_records
    from mmcpm.analysis_tools.study.table import study_table
    from mmcpm.utils.errors import reported

    with reported('study.py'):
        lengths = {args.epochs: args.configs} if args.configs else {}
        if args.as_long_as:
            lengths = equal_time_epochs(
                args.configs, read_records(out), args.as_long_as
            )
        for epochs, configs in lengths.items():
            Study(
                ROOT,
                out,
                Path(args.work_dir).absolute(),
                Path(args.data_root).absolute(),
                epochs=epochs,
                split=args.split,
                options=args.cfg_options,
                keep_checkpoints=args.keep_checkpoints,
            ).run(configs, args.seeds, args.jobs)
        records = read_records(out)
        print(study_table(records, tuple(args.baseline)))
        if args.plots:
            from mmcpm.analysis_tools.study.plots import draw_study

            for file in draw_study(records, Path(args.plots)):
                print(f'Drew {file}')


if __name__ == '__main__':
    main()
