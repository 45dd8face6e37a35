"""Draw what a checkpoint has learned: spectrograms, mixtures, queries."""

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
        description='Draw what a checkpoint has learned: sounds that prompts '
        'recover from mixtures (spectrograms.png), the mixtures of the '
        'classifier (mixtures.png) and the classes of the learned queries '
        '(queries.png)'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', metavar='DIR', required=True, help='where the pictures go'
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='read the data from this folder'
    )
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument(
        '--frames',
        nargs='+',
        metavar='SAMPLE_ID',
        help='frames of the test split, such as <clip>/<frame>; each is mixed '
        'with another one that has no class in common with it',
    )
    frames.add_argument(
        '--num-frames',
        type=int,
        default=4,
        metavar='N',
        help='draw this many sounding frames of different clips (default: 4)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='of frames, partners and prompts (default: 0)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Draw, and tell what was drawn and what was left out.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.explain import report
    from mmcpm.utils import errors

    with errors.reported('explain.py'):
        pictures, notes = report.run(args)
        for line in (*notes, *map(str, pictures)):
            print(line)


if __name__ == '__main__':
    main()
