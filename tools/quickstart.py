"""Data, training, test and pictures in one go; see quickstart.sh."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[1]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        prog='quickstart.sh',
        description='Make sounding scenes, train a small model on the CPU, '
        'and see whether it listens',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the training')
    parser.add_argument(
        '--work-dir',
        default='work_dirs/quickstart',
        metavar='DIR',
        help='where everything but the data goes (default: %(default)s)',
    )
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help='where the scenes are made, or found '
        '(default: data/sounding_scenes_demo beside tools/)',
    )
    parser.add_argument(
        '--demo',
        action='store_true',
        help='then serve a web page that uses the model; what an earlier '
        'quickstart made is re-used',
    )
    parser.add_argument(
        '--install-seconds', type=float, default=0, help=argparse.SUPPRESS
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the quickstart.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools import quickstart, quickstart_demo

    repository = Path(__file__).resolve().parents[1]
    if args.demo:
        quickstart_demo.check_demo()
    if not (args.demo and quickstart_demo.is_done(args.work_dir)):
        quickstart.run_quickstart(
            repository=repository,
            seed=args.seed,
            work_dir=args.work_dir,
            data_root=args.data_root,
            install_seconds=args.install_seconds,
        )
    if args.demo:
        quickstart_demo.serve_demo(repository, args.work_dir, args.data_root)


if __name__ == '__main__':
    main()
