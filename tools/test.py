"""Test a model: python tools/test.py CONFIG CHECKPOINT."""

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
    parser = argparse.ArgumentParser(description='Test (and score) a model')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='where the log and the scores go (default: work_dir of the '
        'config, else work_dirs/<name of the config>)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='read the data from this folder'
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='save the predicted class of every pixel as '
        'DIR/<clip>/<frame>.png',
    )
    parser.add_argument(
        '--show-dir',
        metavar='DIR',
        help='save pictures of frame, truth, prediction and sound as '
        'DIR/<clip>/<frame>.png',
    )
    parser.add_argument(
        '--show', action='store_true', help='show the pictures in a window'
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        metavar='SECONDS',
        help='how long --show shows a picture (default: 2; 0: until a key '
        'is pressed)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation, by tta_model and tta_pipeline of the '
        'config',
    )
    parser.add_argument(
        '--sound',
        choices=('true', 'silence', 'swapped'),
        default='true',
        help='what the model hears: the sound of the frame, nothing, or the '
        'sound of another clip (default: true)',
    )
    parser.add_argument(
        '--scores', metavar='FILE', help='save the scores as JSON'
    )
    parser.add_argument('--seed', type=int, help='seed of all randomness')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'test_dataloader.num_workers=0; lists as KEY=[a,b] or KEY=a,b',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how several processes are started; see tools/dist_test.sh',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,
    )
    return parser


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Test as told by the command line.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.

    Returns:
        dict[str, float]: The scores.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.apis.train_and_test import test

    return test(args)


if __name__ == '__main__':
    main()
