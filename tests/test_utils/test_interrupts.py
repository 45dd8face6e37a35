import signal
import threading

import pytest

from mmcpm.utils.interrupts import interrupt_later


def test_interrupt_waits_for_the_end_of_the_block():
    done, handler = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupt_later():
        signal.raise_signal(signal.SIGINT)
        done.append('rest of the block')
    assert done == ['rest of the block']
    assert signal.getsignal(signal.SIGINT) is handler


def test_block_without_interrupt_and_with_an_error():
    handler = signal.getsignal(signal.SIGINT)
    with interrupt_later():
        pass
    with pytest.raises(ValueError, match='own'), interrupt_later():
        raise ValueError('own')
    assert signal.getsignal(signal.SIGINT) is handler


def test_other_threads_are_left_alone():
    told = []

    def work():
        with interrupt_later():
            told.append('done')

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == ['done']
