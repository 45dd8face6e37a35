"""Ctrl-C, held back while half of something is done."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of a block of statements.

    In other threads than the main one, which Ctrl-C does not interrupt, the
    block is an ordinary one.

    Example:
        >>> with interrupt_later():
        ...     packets = encoder.encode(frame)
        ...     # Without these packets, later ones could not be decoded.
        ...     container.mux(packets)
    """
    handler = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and callable(handler)):
        yield
        return
    received = []
    signal.signal(signal.SIGINT, lambda *event: received.append(event))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            handler(*received[0])
