"""Publish a checkpoint: weights and classes only, with a hash in the name."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Write the weights of a checkpoint, the names and colors '
        'of its classes and the text of its config to a file that loads '
        'without risk, and without the optimizer and the logs of the training'
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out',
        metavar='FILE',
        required=True,
        help='path of the new file; the first 8 digits of its SHA-256 sum '
        'and the suffix are appended',
    )
    parser.add_argument(
        '--format',
        choices=('pth', 'safetensors'),
        default='pth',
        help='safetensors needs the package of that name (default: pth)',
    )
    parser.add_argument(
        '--no-config',
        action='store_true',
        help='leave out the text of the config, which may show paths',
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Publish, and tell what was written and left out.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.analysis_tools.publish_model import publish
    from mmcpm.utils.errors import reported

    with reported('publish_model.py'):
        done = publish(
            args.checkpoint, args.out, args.format, not args.no_config
        )
        for note in done.notes:
            print(f'Note: {note}')
        before, after = (size / 2**20 for size in done.sizes)
        print(
            f'{done.path}: {done.num_weights} tensors, {after:.1f} MiB '
            f'(the checkpoint: {before:.1f} MiB)'
        )


if __name__ == '__main__':
    main()
