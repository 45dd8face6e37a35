"""Convert published weights of other programs to checkpoints of mmcpm."""

import argparse
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        description='Convert a published weight file to a checkpoint that '
        'loads strictly into the model of a config, and report every key'
    )
    parser.add_argument('checkpoint', help='the published file')
    parser.add_argument('config', help='config file or name of the model')
    parser.add_argument('out', help='new file, .pth or .safetensors')
    parser.add_argument(
        '--part',
        action='append',
        default=[],
        nargs=2,
        metavar=('PART', 'FILE'),
        help='weights that the published file lacks, such as audio_backbone '
        'vggish-10086976.pth (default: what the config names)',
    )
    parser.add_argument(
        '--keys', action='store_true', help='print what became of every key'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Convert, and print the report.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    args = build_parser().parse_args(argv)
    from mmcpm.model_converters.conversion import convert
    from mmcpm.utils.errors import reported

    with reported('convert.py'):
        done = convert(args.checkpoint, args.config, args.out, dict(args.part))
        print(f'{args.checkpoint}: {done.code_base.name}')
        if args.keys:
            for name, keys in done.report.mapped.items():
                print(f'  {" + ".join(keys)} -> {name}')
            for key, reason in done.report.dropped.items():
                print(f'  {key}: {reason}')
        for line in done.report.lines():
            print(line)
        for part, source in done.parts.items():
            print(f'{part}: from {source}')
        print(f'{done.path}: loads with strict=True')


if __name__ == '__main__':
    main()
