"""Process pool for the same work on many clips, with a progress bar."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2
from tqdm import tqdm

from mmcpm.utils.errors import UsageError

CHUNK = 8
# For fewer clips no processes are started.
FEW = 4 * CHUNK


def map_clips(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    title: str,
    workers: int | None = None,
    unit: str = 'clip',
) -> Iterator[Any]:
    """Apply a function to every task, in order.

    Args:
        function (Callable): Function of one argument; both must be picklable.
        tasks (Sequence[Any]): The arguments.
        title (str): Name of the progress bar.
        workers (int, optional): Processes; 0 works in this one. Defaults to
            the number of usable processors, 16 at most.
        unit (str): What a task is, for the bar. Defaults to 'clip'.

    Yields:
        Any: What the function gives.

    Raises:
        UsageError: If one of the processes is killed.
    """
    if workers is None:
        workers = min(_count_processors(), 16)
    bar = dict(desc=title, total=len(tasks), unit=unit, mininterval=0.5)
    if workers < 2 or len(tasks) < FEW:
        yield from tqdm(map(function, tasks), **bar)
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, initializer=_start_worker)
    try:
        yield from tqdm(pool.map(function, tasks, chunksize=CHUNK), **bar)
    except BrokenProcessPool as error:
        raise UsageError(
            'A process was killed, most often because the memory is full. '
            'Try again with --workers 0.'
        ) from error
    except BaseException:
        # After Ctrl-C the pool may be waiting for itself. No file is left
        # half-written, so that its processes can be ended at any moment.
        threading.excepthook = _pass_over_canceled
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
            process.join()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pass_over_canceled(error: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, but not that of a pool that was ended."""
    if error.exc_type is not InvalidStateError:
        threading.__excepthook__(error)


def _count_processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, follow its end, use one processor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process with its parent, which a pool does not if killed."""
    multiprocessing.connection.wait(
        [multiprocessing.parent_process().sentinel]
    )
    os._exit(1)
