"""Train a model: python tools/train.py configs/cpm/cpm_r50_avss.py."""

import argparse
import os
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[1]))
# Threads that wait for each other are to sleep, not to spin: where other
# programs use the processors too, spinning costs twenty times the time. Read
# when PyTorch is imported.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='where logs and checkpoints go (default: work_dir of the '
        'config, else work_dirs/<name of the config>)',
    )
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help='read the data of every dataloader from this folder',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue a training: from CHECKPOINT, or from the newest whole '
        'checkpoint of the work dir',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision (on CUDA or the CPU)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate from auto_scale_lr.base_batch_size to '
        'the batch size of this run',
    )
    parser.add_argument('--seed', type=int, help='seed of all randomness')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'train_dataloader.batch_size=2; lists as KEY=[a,b] or KEY=a,b',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how several processes are started; see tools/dist_train.sh',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Train as told by the command line.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.apis.train_and_test import train

    train(args)


if __name__ == '__main__':
    main()
