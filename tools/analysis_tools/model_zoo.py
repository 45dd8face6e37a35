"""Write the metafiles and the tables of results, or check them."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(ROOT))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Write every metafile.yml and the tables of results in '
        'the READMEs of configs/, from the configs, the published scores '
        '(results/paper.json) and the records of runs (results/*.json).'
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; fail where a file is out of date, and show how',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Write or check the zoo.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.model_zoo import write_zoo
    from mmcpm.utils.errors import reported

    with reported('model_zoo.py'):
        for path in write_zoo(ROOT, args.check):
            print(f'Wrote {path}')


if __name__ == '__main__':
    main()
