"""Errors that a user can put right: one message and no traceback."""

import contextlib
import errno
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

EXIT_CODE = 2
INTERRUPTED = 130  # As shells tell of Ctrl-C.
TRACEBACK_VARIABLE = 'MMCPM_TRACEBACK'
HEAD_START = 10.0  # Seconds that the first rank speaks before the others.
# While a run is set up, these come from its configuration and files.
SET_UP_ERRORS = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Later they come from the data, as does what others' code asserts; anything
# else is a fault of the program.
RUN_ERRORS = (OSError, ValueError)
PACKAGE = str(Path(__file__).resolve().parents[1])


class UsageError(Exception):
    """A mistake in a command, a configuration or a file, fully described."""


@contextlib.contextmanager
def reported(
    program: str,
    kinds: tuple | Callable[[], tuple] = SET_UP_ERRORS,
    after_interrupt: str = '',
) -> Iterator[None]:
    """Report errors as one message on stderr and exit with code 2.

    Args:
        program (str): Name of the tool, to begin the message with.
        kinds (tuple or Callable): Exception types to report beside
            :class:`UsageError`, a lack of memory and what the libraries
            assert, or a function that gives them when an error occurs. They
            are followed by where they were raised. Others pass through, and
            so do all if the environment variable ``MMCPM_TRACEBACK`` is set.
        after_interrupt (str): What the user can do who pressed Ctrl-C, where
            the interrupt itself does not tell.

    Raises:
        SystemExit: With code 2, in place of a reported error, or 130 if the
            user interrupted the program.
    """
    # A log that cannot be written, for want of space, is no reason to fill the
    # terminal with tracebacks.
    raises, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        if os.environ.get('RANK', '0') == '0':
            told = str(interrupt) or after_interrupt
            print_message(program, f'interrupted. {told}'.strip())
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        remedy = explain_lack(error)
        message = remedy or error_message(error) or broken_condition(error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        expected = isinstance(
            error, (UsageError, *(kinds() if callable(kinds) else kinds))
        ) or (
            isinstance(error, AssertionError)
            and not place.filename.startswith(PACKAGE + os.sep)
        )
        if (
            os.environ.get(TRACEBACK_VARIABLE)
            or not message
            or not (remedy or expected)
        ):
            raise
        if not isinstance(error, UsageError):
            message += (
                f'\n({type(error).__name__} in {place.filename}:'
                f'{place.lineno}; {TRACEBACK_VARIABLE}=1 shows the traceback)'
            )
        print_message(program, f'error: {message}')
        raise SystemExit(EXIT_CODE) from None
    finally:
        logging.raiseExceptions = raises


def print_message(program: str, message: str) -> None:
    """Print a message on stderr, with the rank where there are several."""
    rank = os.environ.get('RANK')
    if rank not in (None, '0'):
        # Mostly all ranks have the same to say: the first one's failure ends
        # the others meanwhile.
        time.sleep(HEAD_START)
    where = program if rank is None else f'{program} (rank {rank})'
    # In one piece, lest the ranks mix their lines.
    sys.stderr.write(f'{where}: {message}\n')
    sys.stderr.flush()


def explain_lack(error: BaseException) -> str:
    """Explain an error that means that memory or disk is used up.

    Returns:
        str: What is lacking and what helps; empty for other errors.
    """
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return (
            f'the memory of the GPU is used up. {text.splitlines()[0]} '
            'Smaller batches (--cfg-options train_dataloader.batch_size=N '
            'with --auto-scale-lr) or --amp need less'
        )
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in text
    ):
        return (
            'the memory of this machine is used up. Fewer data-loading '
            'processes (--cfg-options train_dataloader.num_workers=N) or '
            'smaller batches (train_dataloader.batch_size=N) need less'
        )
    if isinstance(error, RuntimeError) and 'DataLoader worker' in text:
        return (
            f'a data-loading process was ended from outside ({text[:200]}), '
            'most often because memory, or the shared memory of a container '
            '(docker --shm-size), is used up. Fewer processes need less: '
            '--cfg-options train_dataloader.num_workers=N'
        )
    if (
        isinstance(error, OSError)
        and error.errno in (errno.ENOSPC, errno.EDQUOT)
        and error.strerror == os.strerror(error.errno)
    ):
        return (
            f'{error.filename or "a file"} could not be written: the disk or '
            'the quota is full. Make room, or choose another --work-dir'
        )
    return ''


def error_message(error: BaseException) -> str:
    """Return the message of an error without the traceback inside it.

    Args:
        error (BaseException): Any error. The data loader re-raises errors
            of its workers with their traceback in the message.
    """
    if isinstance(error, KeyError) and error.args:
        # Its text has quotes and escapes.
        message = str(error.args[0])
    elif isinstance(error, OSError) and error.strerror:
        where = f': {error.filename}' if error.filename else ''
        message = f'{error.strerror}{where}'
    else:
        message = str(error)
    if 'Original Traceback' in message:
        name = f'{type(error).__name__}: '
        message = message.rpartition(name)[2] if name in message else ''
    return message.strip()


def broken_condition(error: BaseException) -> str:
    """Return what was asserted where nothing else is said."""
    if not isinstance(error, AssertionError):
        return ''
    lines = [
        *str(error).splitlines(),
        *(frame.line for frame in traceback.extract_tb(error.__traceback__)),
    ]
    conditions = [
        line.strip() for line in lines if line.strip().startswith('assert ')
    ]
    return f'this does not hold: {conditions[-1]}' if conditions else ''


def shorten(names: Sequence[str], limit: int = 5) -> str:
    """Join names for a message, the first ones if there are many.

    Args:
        names (Sequence[str]): The names.
        limit (int): Number of names that are told. Defaults to 5.

    Returns:
        str: For example ``'a, b and 3 more'``; 'nothing' if there is none.
    """
    rest = len(names) - limit
    more = f' and {rest} more' if rest > 0 else ''
    return (', '.join(names[:limit]) or 'nothing') + more
