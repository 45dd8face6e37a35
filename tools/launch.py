"""Start a tool on several ranks: torchrun without its traceback.

A rank that fails says why in one message, which torchrun would bury under
forty lines of its own.
"""

import signal
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main


def launch(argv: list[str]) -> int:
    """Run torchrun.

    Args:
        argv (list[str]): Its arguments.

    Returns:
        int: 0, or the exit code of the rank that failed first.
    """
    try:
        main(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        name = signal.Signals(-failure.exitcode).name
        print(f'Rank {rank} was ended by {name}.', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(launch(sys.argv[1:]))
