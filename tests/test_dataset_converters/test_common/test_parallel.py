import multiprocessing
import os
import time

import pytest

from mmcpm.dataset_converters.common.parallel import map_clips
from mmcpm.utils.errors import UsageError


def square(number):
    return number * number, os.getpid()


def die(number):
    if number == 50:
        os._exit(1)
    return number


def fail(number):
    if number == 50:
        raise ValueError('fifty')
    return number


@pytest.mark.parametrize(('workers', 'tasks'), [(0, 100), (2, 100), (2, 9)])
def test_results_are_in_order(workers, tasks):
    results = list(map_clips(square, range(tasks), 'x', workers))
    assert [result for result, _ in results] == [i * i for i in range(tasks)]
    elsewhere = {process for _, process in results} != {os.getpid()}
    assert elsewhere == (workers > 0 and tasks == 100)


def test_a_killed_process_is_explained():
    with pytest.raises(UsageError, match='--workers 0'):
        list(map_clips(die, range(100), 'x', 2))


def test_no_process_is_left_if_the_results_are_not_wanted():
    results = map_clips(square, range(1000), 'x', 2)
    next(results)
    assert multiprocessing.active_children()
    results.close()
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_errors_pass():
    with pytest.raises(ValueError, match='fifty'):
        list(map_clips(fail, range(100), 'x', 2))
