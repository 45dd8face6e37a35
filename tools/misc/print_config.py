"""Print a config with its bases and overrides resolved."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(description='Print the whole config')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    parser.add_argument(
        '--out', metavar='FILE', help='also save it (.py, .yml or .json)'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Print the config.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.apis import options, train_and_test
    from mmcpm.utils import errors

    with errors.reported('print_config.py'):
        cfg = train_and_test.read_config(args.config, is_whole=False)
        options.apply_cfg_options(cfg, args.cfg_options)
        print(cfg.pretty_text)
        if args.out is not None:
            cfg.dump(args.out)


if __name__ == '__main__':
    main()
