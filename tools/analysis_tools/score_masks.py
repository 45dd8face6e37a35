"""Score a folder of masks, of any model, under every protocol at once."""

import argparse
import os
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))
# As in tools/test.py: threads that wait are to sleep.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

DATASETS = (
    's4',
    'ms3',
    'avss',
    'vpo_ss',
    'vpo_ms',
    'vpo_msmi',
    'scenes',
    'scenes_hard',
    'folder',
)


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Score label maps, masks or probabilities that any model '
        'has left in a folder, under the protocols avsbench, avss_legacy and '
        'dataset at once, and tell how far these differ; all frames, each '
        'subset and each class'
    )
    parser.add_argument(
        'predictions',
        help='folder of PNG or NumPy files: <clip>/<frame>.png, as '
        'tools/test.py --out writes, or <clip>/<name>_<frame>.png, as the '
        'published codes do',
    )
    parser.add_argument('--dataset', choices=DATASETS, required=True)
    parser.add_argument(
        '--data-root', metavar='DIR', required=True, help='its folder'
    )
    parser.add_argument(
        '--split', default='test', help='split to score (default: test)'
    )
    parser.add_argument(
        '--kind',
        choices=('auto', 'labels', 'mask', 'probabilities', 'scores'),
        default='auto',
        help='labels: classes (or colors of the palette); mask: gray, 255 '
        'sounds; probabilities: floats; scores: floats before sigmoid or '
        'softmax (default: what the first file is that tells)',
    )
    parser.add_argument(
        '--first-frame',
        type=int,
        choices=(0, 1),
        help='number of the first frame in the names of the files (default: '
        'the one that more files fit)',
    )
    parser.add_argument(
        '--resize',
        action='store_true',
        help='bring predictions of other sizes to those that the protocols '
        'score at (default: refuse them)',
    )
    parser.add_argument(
        '--missing',
        choices=('refuse', 'background', 'skip'),
        default='refuse',
        help='frames without a file: nothing is segmented there '
        '(background), or only the others are scored (skip)',
    )
    parser.add_argument(
        '--unknown',
        choices=('refuse', 'ignore'),
        default='refuse',
        help='files of no frame of the split',
    )
    parser.add_argument(
        '--no-classes', action='store_true', help='no table of the classes'
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='processes that read and count (default: one per processor, 16 '
        'at most; 0: none)',
    )
    parser.add_argument('--out', metavar='FILE', help='save all as JSON')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Score, and print the tables.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.score_masks import report
    from mmcpm.utils import errors

    with errors.reported('score_masks.py'):
        print(report.run(args))


if __name__ == '__main__':
    main()
