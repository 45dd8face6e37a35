"""Segment a video: python tools/demo_video.py CONFIG CHECKPOINT VIDEO."""

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
        description='Show what sounds in a video: writes the video with the '
        'sounding objects painted over it, and its sound'
    )
    parser.add_argument(
        'config', help='config file, or name of a model, e.g. cpm_r50_avss'
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'video', help='video file, or a folder of frames (with --sound)'
    )
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='the video to write: .mp4, .mov, .mkv or .webm (default: '
        '<name>_avs.mp4 in the current folder)',
    )
    parser.add_argument(
        '--json',
        metavar='FILE',
        help='write the classes with their scores of each prediction',
    )
    parser.add_argument(
        '--masks',
        metavar='DIR',
        help='write the class of every pixel as DIR/<video>/<frame>.png',
    )
    parser.add_argument(
        '--pictures',
        metavar='DIR',
        help='write pictures of frame, prediction and sound as '
        'DIR/<video>/<frame>.png',
    )
    parser.add_argument(
        '--fps',
        type=float,
        metavar='N',
        help='predictions per second; each is shown until the next (default: '
        'one for every frame)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=4,
        metavar='N',
        help='frames that the model gets at once, in whole clips if it '
        'compares frames (default: 4)',
    )
    parser.add_argument(
        '--sound',
        default='own',
        metavar='FILE',
        help="what the model gets: 'own' (the default), 'silence', or "
        'another sound or video file',
    )
    parser.add_argument(
        '--audio-track',
        type=int,
        default=0,
        metavar='N',
        help='which of several sound tracks (default: 0, the first)',
    )
    parser.add_argument(
        '--frame-rate',
        type=float,
        default=1.0,
        metavar='N',
        help='frames per second of a folder (default: 1)',
    )
    parser.add_argument(
        '--audio-step',
        type=float,
        metavar='SECONDS',
        help='how often the window of the sound moves on (default: its '
        'length, as in the datasets)',
    )
    parser.add_argument(
        '--opacity',
        type=float,
        default=0.6,
        metavar='SHARE',
        help='of the colors, 0 to 1 (default: 0.6)',
    )
    parser.add_argument(
        '--no-legend',
        action='store_true',
        help='do not name the classes below the picture',
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


def main(argv: list[str] | None = None):
    """Segment a video as told by the command line.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.

    Returns:
        VideoSummary: What was done.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.apis.demo_video import run

    return run(args)


if __name__ == '__main__':
    main()
