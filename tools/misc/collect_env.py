"""Print the environment, to be pasted into a report of a fault."""

import argparse
import importlib.util
import runpy
import sys
from pathlib import Path

# Lets the tool run from a source tree that is not installed, anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    """Describe the arguments: there are none."""
    return argparse.ArgumentParser(
        description='Print versions, devices and what cannot be imported'
    )


def main(argv: list[str] | None = None) -> None:
    """Print the environment.

    Args:
        argv (list[str], optional): Arguments; those of the process if None.
    """
    build_parser().parse_args(argv)
    # The file is run on its own: importing mmcpm may be what fails.
    package = importlib.util.find_spec('mmcpm').submodule_search_locations[0]
    path = Path(package, 'utils', 'collect_env.py')
    for name, value in runpy.run_path(str(path))['collect_env']().items():
        print(f'{name}: {value}')


if __name__ == '__main__':
    main()
