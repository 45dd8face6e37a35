"""Draw what several models predict of the same clips."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Draw a sheet per clip, DIR/<clip>.png: frames, labels, '
        'the label maps of every model, waveforms and spectrograms'
    )
    parser.add_argument('config', help='config file, for the dataset')
    parser.add_argument(
        '--predictions',
        nargs='+',
        required=True,
        metavar='NAME=FOLDER',
        help='label maps that tools/test.py --out wrote, of each model',
    )
    parser.add_argument(
        '--out', metavar='DIR', required=True, help='where the sheets go'
    )
    parser.add_argument(
        '--split',
        choices=('val', 'test'),
        default='test',
        help='dataloader of the config (default: test)',
    )
    parser.add_argument(
        '--num',
        type=int,
        default=8,
        metavar='N',
        help='draw so many clips, at even distances (default: 8)',
    )
    parser.add_argument(
        '--clips', nargs='+', metavar='CLIP', help='draw these clips'
    )
    parser.add_argument(
        '--max-frames',
        type=int,
        default=10,
        metavar='N',
        help='columns of a sheet (default: 10)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='read the data from this folder'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Draw, and tell where the sheets are.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.compare_predictions import run
    from mmcpm.utils.errors import reported

    with reported('compare_predictions.py'):
        for sheet in run(args):
            print(sheet)


if __name__ == '__main__':
    main()
