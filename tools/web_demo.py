"""A web page for clips: python tools/web_demo.py CONFIG CHECKPOINT."""

import argparse
import os
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[1]))
# As in test.py: threads that wait for each other are to sleep.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Serve a web page: upload or record a clip, see what '
        'sounds in it, and what changes with another sound'
    )
    parser.add_argument(
        'config', help='config file, or name of a model, e.g. cpm_r50_avss'
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--samples',
        metavar='DIR',
        help='folder with mp4 files that a visitor can choose',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at; 0.0.0.0 lets other machines in '
        '(default: %(default)s, only this machine)',
    )
    parser.add_argument(
        '--port',
        type=int,
        metavar='N',
        help='port (default: the first free one from 7860 on)',
    )
    parser.add_argument(
        '--fps',
        type=float,
        default=4.0,
        metavar='N',
        help='predictions per second to begin with (default: 4)',
    )
    parser.add_argument(
        '--max-seconds',
        type=float,
        default=30.0,
        metavar='N',
        help='longest clip (default: 30)',
    )
    parser.add_argument(
        '--max-megabytes',
        type=float,
        default=64.0,
        metavar='N',
        help='largest file (default: 64)',
    )
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=1920 * 1080,
        metavar='N',
        help='most pixels of a frame (default: 1920 x 1080)',
    )
    parser.add_argument(
        '--device',
        help='e.g. cpu or cuda:0 (default: the GPU if there is one)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Serve the page as told by the command line.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.apis.web_demo.serve import run

    run(args)


if __name__ == '__main__':
    main()
