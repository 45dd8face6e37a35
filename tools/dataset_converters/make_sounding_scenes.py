"""Make sounding scenes: a small audio-visual dataset drawn by a program."""

import argparse

from mmcpm.analysis_tools.direction_ceiling import no_direction_ceiling
from mmcpm.analysis_tools.vision_only_ceiling import vision_only_ceiling
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.writer import (
    LAYOUTS,
    write_sounding_scenes,
)
from mmcpm.utils.errors import reported


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=f'{__doc__} Files are laid out as in a real dataset.'
    )
    parser.add_argument('out_dir', help='folder to write')
    parser.add_argument('--preset', default='demo', choices=sorted(PRESETS))
    parser.add_argument(
        '--layout',
        default='avss',
        choices=LAYOUTS,
        help='the dataset that the files look like: AVSBench-Semantic '
        '(default), AVSBench-Object (s4, ms3) or VPO, where a clip is an '
        'image and VAL images are a part of the training split',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--size', type=int, default=96, help='height and width in pixels'
    )
    parser.add_argument(
        '--clips',
        type=int,
        nargs=3,
        metavar=('TRAIN', 'VAL', 'TEST'),
        help="clips per split (default: the preset's)",
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes; 0 works in this one (default: one per processor)',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace scenes that were written before',
    )
    return parser.parse_args()


def main() -> None:
    """Write the dataset and print what it holds."""
    args = parse_args()
    with reported('make_sounding_scenes.py'):
        marker, written = write_sounding_scenes(
            args.out_dir,
            args.preset,
            layout=args.layout,
            seed=args.seed,
            size=args.size,
            clips=args.clips,
            workers=args.workers,
            overwrite=args.overwrite,
        )
    layout = '' if args.layout == 'avss' else f', layout {args.layout}'
    print(
        f'{"Wrote" if written else "Found"} sounding scenes (preset '
        f'{marker["preset"]}{layout}, seed {marker["seed"]}) in {args.out_dir}'
    )
    for split, clips in marker['clips'].items():
        print(
            f'  {split:5} {clips:5} clips, '
            f'{marker["labelled_frames"][split]:6} labeled frames'
        )
    clips, bounds = marker['clips'], {}
    # The ceiling is that of the classes and scores of AVSBench-Semantic.
    if args.layout == 'avss' and clips['train'] and clips['test']:
        bounds = vision_only_ceiling(args.out_dir)
        bounds.pop('threshold')
    if args.layout == 'vpo_msmi' and clips['test']:
        bounds['no_direction_ceiling'] = no_direction_ceiling(args.out_dir)
    for name, scores in bounds.items():
        print(
            f'  {name}: mIoU {scores["mIoU"]:.3f}, '
            f'Fbeta {scores["Fbeta"]:.3f} (test, dataset-level)'
        )


if __name__ == '__main__':
    main()
