"""Peak memory of a step, each model by itself."""

import multiprocessing
import os
import traceback
from pathlib import Path

import torch

# How the numbers come about; goes into the reports.
CPU_METHOD = (
    'peak resident memory of a child process with this model alone, above '
    'what it had before the model was built: weights, gradients, optimizer '
    'state, activations'
)
CUDA_METHOD = 'torch.cuda.max_memory_allocated with this model alone'
STEPS = 2


def _status_mib(field: str) -> float:
    """A size of this process from /proc, in MiB (Linux)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/self/status has no {field}')


def _measure(queue, threads: int, arguments: dict) -> None:
    """In the child: build, step, tell the peak."""
    try:
        from .steps import Subject

        torch.set_num_threads(threads)
        torch.ones(64, 64) @ torch.ones(64, 64)
        # On a GPU this process has used nothing yet, and may not ask before.
        if not arguments['device'].startswith('cuda'):
            # The mark is of this program; ru_maxrss would begin with the
            # parent's.
            Path('/proc/self/clear_refs').write_text('5')
            before = _status_mib('VmRSS')
        subject = Subject(**arguments)
        for _ in range(STEPS):
            subject.step()
        if arguments['device'].startswith('cuda'):
            peak = torch.cuda.max_memory_allocated() / 2**20
        else:
            peak = _status_mib('VmHWM') - before
        queue.put(peak)
    except Exception:
        queue.put(traceback.format_exc())


def peak_memory(arguments: dict) -> float | None:
    """Measure the peak memory of a model in a process of its own.

    Returns:
        float, optional: MiB, see :data:`CPU_METHOD`; None where the system
        does not tell (it needs Linux).

    Raises:
        RuntimeError: If the child failed.
    """
    if not os.path.exists('/proc/self/clear_refs'):
        return None
    context = multiprocessing.get_context('spawn')
    queue = context.SimpleQueue()
    child = context.Process(
        target=_measure, args=(queue, torch.get_num_threads(), arguments)
    )
    child.start()
    while child.is_alive() and queue.empty():
        child.join(0.1)
    if queue.empty():
        raise RuntimeError(
            'The process that measures memory was ended from outside (exit '
            f'code {child.exitcode}), most often for want of memory.'
        )
    result = queue.get()
    child.join()
    if isinstance(result, str):
        raise RuntimeError(f'Measuring the memory failed:\n{result}')
    return result
