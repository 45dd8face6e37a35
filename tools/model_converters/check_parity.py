"""Compare a model with reference tensors of the program it comes from."""

import argparse
import json
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Give the model of a config weights by rule, through the '
        'converter, and the inputs of a reference file; compare every tensor '
        'of the file. Exits with 1 if one differs or is not there'
    )
    parser.add_argument('golden', metavar='GOLDEN.npz', help='reference file')
    parser.add_argument(
        'layout',
        metavar='LAYOUT.json',
        nargs='?',
        help='keys, shapes and dtypes of the published weights; not needed '
        'for a file of losses',
    )
    parser.add_argument('--out', metavar='FILE', help='save it as JSON')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Compare, print the table, and exit with 1 if something differs.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.model_converters.parity import check_parity
    from mmcpm.model_converters.parity_report import failed_names
    from mmcpm.utils.errors import reported
    from mmcpm.utils.io import ensure_writable, write_whole

    with reported('check_parity.py'):
        if args.out:
            ensure_writable(Path(args.out).absolute().parent, '--out')
        report = check_parity(args.golden, args.layout)
        print(report.table())
        if args.out:
            text = json.dumps(report.as_dict(), indent=1)
            write_whole(args.out, f'{text}\n'.encode())
        count = len(report.comparisons)
        if report.passed:
            print(f'All {count} tensors agree: {report.model or "losses"}')
            return
        print(f'Not within the bar, of {count}: {failed_names(report)}')
        raise SystemExit(1)


if __name__ == '__main__':
    main()
