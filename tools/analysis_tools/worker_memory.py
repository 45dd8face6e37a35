"""Watch the memory of data loading over many iterations."""

import argparse
import json
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Read training batches, without a model, and tell whether '
        'the memory of this and of the data-loading processes grows (Linux)'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--data-root', metavar='DIR', help='read from there')
    parser.add_argument('--iterations', type=int, default=2000)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--endless',
        action='store_true',
        help='let the same processes serve all iterations, rather than new '
        'ones in each epoch',
    )
    parser.add_argument('--out', metavar='FILE', help='save it as JSON')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Watch, and print the result.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools import worker_memory
    from mmcpm.apis import options, train_and_test
    from mmcpm.utils import errors

    with errors.reported('worker_memory.py'):
        cfg = train_and_test.read_config(args.config)
        if args.data_root is not None:
            options.apply_data_root(cfg, args.data_root)
        samples = worker_memory.watch_memory(
            worker_memory.build_dataloader(cfg, args.workers, args.endless),
            args.iterations,
        )
    summary = worker_memory.memory_growth(samples)
    print(
        f'After {samples[-1].iteration} iterations, {args.workers} workers: '
        f'this process {summary["main"]} MiB '
        f'({summary["main_growth"]:+} per 1,000 iterations), a worker '
        f'{summary["workers"]} MiB ({summary["workers_growth"]:+})'
    )
    if args.out is not None:
        content = {**vars(args), **summary, 'samples': samples}
        Path(args.out).write_text(json.dumps(content))


if __name__ == '__main__':
    main()
