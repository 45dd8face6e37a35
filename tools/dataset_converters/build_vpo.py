"""Make a dataset like VPO of instance annotations and labeled recordings.

VPO-SS, VPO-MS and VPO-MSMI as CAVP describes them (Chen et al., CVPR 2024):
pictures whose objects are given sounds of their class, panned by where they
are, of VPO's classes or of your own. Nothing is written before all input was
found to be good.
"""

import argparse
from pathlib import Path

from mmcpm.dataset_converters.vpo_builder.ingredients import Ingredients
from mmcpm.dataset_converters.vpo_builder.plan import make_plan
from mmcpm.dataset_converters.vpo_builder.report import describe_balance
from mmcpm.dataset_converters.vpo_builder.writer import write_vpo
from mmcpm.datasets.vpo import SUBSETS
from mmcpm.utils.errors import reported

# Pictures are no matter of what the dataset is made of, only of where.
WRITING = ('out_dir', 'pictures', 'overwrite', 'dry_run')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out_dir', help='folder to write')
    add = parser.add_argument
    for name, text in (
        ('annotations', 'instance annotations in the format of COCO (json)'),
        ('images', 'folder of their pictures'),
        (
            'recordings',
            'csv file with the columns file, class and, where wanted, start '
            '(seconds; otherwise the middle is taken) and group (recordings '
            'of one group come to one split)',
        ),
        ('audio', 'folder of the recordings'),
    ):
        add(f'--{name}', type=Path, required=True, help=text)
    add(
        '--class-map',
        type=Path,
        help='csv file (category, recording, class) or json file that tells '
        'which categories sound like which recordings (default: by name, and '
        "by VGGSound's labels)",
    )
    add(
        '--classes',
        type=Path,
        metavar='FILE',
        help='list of the classes, one name per line, and where wanted its '
        'color: name r g b (default: the 21 of VPO). Masks then hold class '
        'ids, and the list is written beside them',
    )
    add(
        '--test-annotations',
        type=Path,
        help='annotations of the pictures for the test (default: a share of '
        'those of --annotations)',
    )
    add('--test-images', type=Path, help='their folder (default: --images)')
    add('--subsets', nargs='+', choices=SUBSETS, default=SUBSETS)
    defaults = Ingredients.__dataclass_fields__
    for name, kind, text in (
        ('test_share', float, 'share of recordings and pictures for the test'),
        ('min_area', float, 'least share of the picture that sounds'),
        ('max_sources', int, 'most sounding objects of a picture'),
        (
            'min_separation',
            float,
            'least distance, in widths of the picture, of the centers of '
            'instances of a class in VPO-MSMI',
        ),
        ('seconds', float, 'length of the clips'),
        ('seed', int, 'the same seed and input give the same files'),
    ):
        add(
            f'--{name.replace("_", "-")}',
            type=kind,
            default=defaults[name].default,
            help=f'{text} (default: %(default)s)',
        )
    add(
        '--pictures',
        choices=('copy', 'link'),
        default='copy',
        help='copy the pictures, or link to them (default: copy)',
    )
    add('--dry-run', action='store_true', help='tell the balance, no more')
    add(
        '--overwrite',
        action='store_true',
        help='replace a dataset that was written before',
    )
    return parser.parse_args()


def main() -> None:
    """Write the dataset and print how it is balanced."""
    args = vars(parse_args())
    out_dir, pictures, overwrite, dry_run = map(args.pop, WRITING)
    args['subsets'] = tuple(args['subsets'])
    after = 'Nothing was written; the same command starts again.'
    with reported('build_vpo.py', after_interrupt=after):
        parts = Ingredients(**args)
        plan = make_plan(parts)
        print(describe_balance(plan))
        if dry_run:
            return
        _, written = write_vpo(
            out_dir,
            plan,
            parts,
            link=pictures == 'link',
            overwrite=overwrite,
        )
        print(f'{"Wrote" if written else "Found"} the dataset in {out_dir}')


if __name__ == '__main__':
    main()
