"""Draw the confusion matrix of label maps that tools/test.py --out saved."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Count which class is predicted where which is labeled: '
        'confusion_matrix.png and confusion_matrix.json'
    )
    parser.add_argument('config', help='config file, for the dataset')
    parser.add_argument(
        'predictions', help='folder that tools/test.py --out wrote'
    )
    parser.add_argument(
        '--out', metavar='DIR', required=True, help='where the files go'
    )
    parser.add_argument(
        '--split',
        choices=('val', 'test'),
        default='test',
        help='dataloader of the config (default: test)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='read the data from this folder'
    )
    parser.add_argument(
        '--partly',
        action='store_true',
        help='leave out frames that have no label map',
    )
    parser.add_argument('--title', help='title of the picture')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Count and draw.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.confusion_matrix import run
    from mmcpm.utils.errors import reported

    with reported('confusion_matrix.py'):
        for line in run(args):
            print(line)


if __name__ == '__main__':
    main()
