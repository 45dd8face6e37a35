import errno
import importlib
import logging
import os
import sys

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmcpm.utils.errors import (
    RUN_ERRORS,
    UsageError,
    error_message,
    explain_lack,
    reported,
)


class BrokenLabels(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError('clip/0.png: label 99, expected 0 to 70')


def test_usage_error_is_one_message(capsys):
    with pytest.raises(SystemExit) as exit, reported('train.py'):
        raise UsageError('no such config')
    assert exit.value.code == 2
    captured = capsys.readouterr()
    assert captured.err == 'train.py: error: no such config\n'
    assert captured.out == ''


def test_other_errors_tell_where_they_come_from(capsys):
    with pytest.raises(SystemExit) as exit, reported('train.py'):
        raise KeyError("'Foo' is not in the registry\nCheck it")
    assert exit.value.code == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "train.py: error: 'Foo' is not in the registry"
    assert second == 'Check it'
    assert third.startswith('(KeyError in ') and 'test_errors.py:' in third


def test_faults_of_the_program_pass_through():
    with pytest.raises(ZeroDivisionError), reported('train.py'):
        raise ZeroDivisionError('bug')
    with pytest.raises(RuntimeError), reported('train.py', RUN_ERRORS):
        raise RuntimeError('bug')


# As a library has it; in this file pytest would add a message.
LIBRARY = """
def check(mask, message=None):
    if message:
        assert mask == 'frame', message
    assert mask == 'frame'


class Dataset(list):
    def __getitem__(self, index):
        assert index > 0
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / 'some_library.py').write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module('some_library')
    del sys.modules['some_library']


def test_what_others_assert_is_one_message_at_any_time(library, capsys):
    with pytest.raises(SystemExit) as exit, reported('train.py', RUN_ERRORS):
        library.check('mask', 'inputs must be of one size')
    assert exit.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == 'train.py: error: inputs must be of one size'
    assert second.startswith('(AssertionError in ')
    assert 'some_library.py:4;' in second
    with pytest.raises(SystemExit), reported('train.py', RUN_ERRORS):
        library.check('mask')
    assert capsys.readouterr().err.startswith(
        "train.py: error: this does not hold: assert mask == 'frame'\n"
    )


def test_what_a_worker_asserts(library, capsys):
    loader = DataLoader(library.Dataset([0]), num_workers=1)
    with pytest.raises(SystemExit), reported('train.py', RUN_ERRORS):
        next(iter(loader))
    first, second = capsys.readouterr().err.splitlines()
    assert first == 'train.py: error: this does not hold: assert index > 0'
    assert second.startswith('(AssertionError in ')


def test_what_mmcpm_asserts_is_a_fault_of_the_program(
    library, tmp_path, monkeypatch
):
    monkeypatch.setattr('mmcpm.utils.errors.PACKAGE', str(tmp_path))
    with pytest.raises(AssertionError), reported('train.py', RUN_ERRORS):
        library.check('mask', 'bug')


def test_errors_without_a_message_pass_through():
    with pytest.raises(AssertionError), reported('train.py'):
        raise AssertionError


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv('MMCPM_TRACEBACK', '1')
    with pytest.raises(UsageError), reported('train.py'):
        raise UsageError('no such config')


def test_rank_is_named(monkeypatch, capsys):
    monkeypatch.setattr('mmcpm.utils.errors.HEAD_START', 0.0)
    monkeypatch.setenv('RANK', '3')
    with pytest.raises(SystemExit), reported('train.py'):
        raise UsageError('no such config')
    assert capsys.readouterr().err.startswith('train.py (rank 3): error:')


def test_error_of_a_worker_is_told_without_its_traceback(capsys):
    loader = DataLoader(BrokenLabels(), num_workers=1)
    with pytest.raises(SystemExit), reported('train.py', RUN_ERRORS):
        next(iter(loader))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        'train.py: error: clip/0.png: label 99, expected 0 to 70'
    )
    assert len(lines) == 2


def test_nothing_is_reported_without_an_error(capsys):
    with reported('train.py'):
        torch.zeros(1)
    assert capsys.readouterr().err == ''


def test_kinds_may_depend_on_when_it_happens():
    kinds = []
    with pytest.raises(SystemExit), reported('train.py', lambda: tuple(kinds)):
        kinds.append(ZeroDivisionError)
        raise ZeroDivisionError('early')
    with (
        pytest.raises(ZeroDivisionError),
        reported('train.py', lambda: tuple(kinds)),
    ):
        kinds.clear()
        raise ZeroDivisionError('late')


@pytest.mark.parametrize('hint', ['', 'Use --resume'])
def test_interrupt(capsys, hint):
    with pytest.raises(SystemExit) as exit, reported('t', (), hint):
        raise KeyboardInterrupt
    assert exit.value.code == 130
    assert capsys.readouterr().err == f't: interrupted. {hint}'.strip() + '\n'


def test_interrupt_with_traceback(monkeypatch):
    monkeypatch.setenv('MMCPM_TRACEBACK', '1')
    with pytest.raises(KeyboardInterrupt), reported('t'):
        raise KeyboardInterrupt


def full_disk(*args):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *args)


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (
            torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to\nmore'),
            'the memory of the GPU is used up. CUDA out of memory. Tried to '
            'Smaller batches (--cfg-options train_dataloader.batch_size=N',
        ),
        (MemoryError(), 'the memory of this machine is used up. Fewer data'),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you"),
            'the memory of this machine is used up',
        ),
        (
            RuntimeError('DataLoader worker (pid 7) is killed by signal: Bus'),
            '(DataLoader worker (pid 7) is killed by signal: Bus), most often '
            'because memory, or the shared memory of a container',
        ),
        (
            full_disk('maps/0.png'),
            'maps/0.png could not be written: the disk or the quota is full',
        ),
        (full_disk(), 'a file could not be written: the disk or the quota'),
    ],
)
def test_lack_of_memory_and_disk_is_explained(capsys, error, message):
    # Whenever it happens.
    with pytest.raises(SystemExit), reported('train.py', ()):
        raise error
    assert message in capsys.readouterr().err


def test_other_errors_are_no_lack():
    told = OSError(errno.ENOSPC, 'epoch_1.pth could not be saved: full')
    for error in (RuntimeError('shape'), OSError('x'), told, ValueError()):
        assert explain_lack(error) == ''


def test_errors_of_the_system_name_their_file():
    with pytest.raises(FileNotFoundError) as error:
        os.stat('/none/such')
    assert (
        error_message(error.value) == 'No such file or directory: /none/such'
    )


def test_a_log_that_cannot_be_written_is_no_error(capsys):
    class Full(logging.StreamHandler):
        def flush(self):
            raise full_disk()

    logger = logging.Logger('full')
    logger.addHandler(Full())
    with reported('train.py'):
        logger.warning('lost')
    assert 'Traceback' not in capsys.readouterr().err
    assert logging.raiseExceptions
