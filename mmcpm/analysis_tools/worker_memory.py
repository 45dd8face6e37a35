"""Measurement of the memory that data loading takes, and of its growth."""

import os
import statistics
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

PAGE = os.sysconf('SC_PAGE_SIZE') / 2**20
# Before this share of the iterations, buffers and caches still fill up.
WARM_UP = 0.25


class Sample(NamedTuple):
    """Resident memory at one moment, in MiB.

    Attributes:
        iteration (int): Batches read so far.
        main (float): Memory of this process.
        workers (float): Memory of its data-loading processes, on average. What
            they share with this process counts as well.
    """

    iteration: int
    main: float
    workers: float


def resident_mib(process: int) -> float:
    """Read the resident set of a process (Linux).

    Returns:
        float: MiB; 0 if it has ended.
    """
    try:
        pages = Path(f'/proc/{process}/statm').read_text().split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(pages) * PAGE


def build_dataloader(cfg: Config, workers: int, endless: bool) -> DataLoader:
    """Build the training dataloader of a configuration.

    Args:
        cfg (Config): The configuration.
        workers (int): Data-loading processes.
        endless (bool): Whether the same processes are to serve all
            iterations; otherwise they are started anew in each epoch, as in
            training.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    settings = cfg.train_dataloader
    settings.num_workers = workers
    settings.persistent_workers = False
    if endless:
        settings.sampler = dict(type='InfiniteSampler', shuffle=True)
    return Runner.build_dataloader(settings, seed=0)


def watch_memory(
    dataloader: DataLoader, iterations: int, interval: int = 50
) -> list[Sample]:
    """Read batches and watch the memory."""
    samples, done = [], 0
    while done < iterations:
        iterator = iter(dataloader)
        for _ in iterator:
            done += 1
            if done % interval == 0:
                workers = getattr(iterator, '_workers', ())
                sizes = [resident_mib(w.pid) for w in workers]
                sizes = [size for size in sizes if size]
                samples.append(
                    Sample(
                        done,
                        resident_mib(os.getpid()),
                        statistics.fmean(sizes) if sizes else 0.0,
                    )
                )
            if done >= iterations:
                break
    return samples


def memory_growth(samples: list[Sample]) -> dict[str, float]:
    """Compare the begin with the end, after a warm-up.

    Returns:
        dict[str, float]: In MiB, ``main`` and ``workers`` at the end, and the
        slopes ``main_growth`` and ``workers_growth`` of least-squares lines
        over the iterations after the warm-up, per 1,000 iterations.
    """
    kept = samples[int(WARM_UP * len(samples)) :]
    summary = {}
    for name in ('main', 'workers'):
        sizes = [getattr(sample, name) for sample in kept]
        slope = 0.0
        if len(kept) > 1:
            slope = statistics.linear_regression(
                [sample.iteration for sample in kept], sizes
            ).slope
        summary[name] = round(sizes[-1], 1)
        summary[f'{name}_growth'] = round(1000 * slope, 2)
    return summary
