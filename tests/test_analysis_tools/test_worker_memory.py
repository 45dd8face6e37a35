import mmap
import os
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from mmcpm.analysis_tools.worker_memory import (
    Sample,
    build_dataloader,
    memory_growth,
    resident_mib,
    watch_memory,
)

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='reads /proc'
)


def take_pages(mib):
    """Take fresh pages: malloc may have free ones that count already."""
    pages = mmap.mmap(-1, mib << 20)
    pages.write(b'1' * (mib << 20))
    return pages


class Leaky(Dataset):
    """Keeps some MiB of every sample it has read, or none."""

    def __init__(self, mib, length=40):
        self.mib = mib
        self.length = length
        self.kept = []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.mib:
            self.kept.append(take_pages(self.mib))
        return torch.zeros(1)


def test_resident_memory():
    before = resident_mib(os.getpid())
    held = take_pages(50)
    assert 45 < resident_mib(os.getpid()) - before < 60
    held.close()
    assert resident_mib(2**22 + 1) == 0


@pytest.mark.parametrize(('mib', 'leaks'), [(0, False), (1, True)])
def test_leak_of_a_worker_is_seen(mib, leaks):
    samples = watch_memory(
        # Longer than what is read: the worker has not ended by then.
        DataLoader(Leaky(mib, 80), num_workers=1),
        iterations=40,
        interval=4,
    )
    assert [sample.iteration for sample in samples] == list(range(4, 41, 4))
    # A MiB per sample is 1,000 MiB per 1,000 iterations.
    growth = memory_growth(samples)['workers_growth']
    assert (500 < growth < 1500) if leaks else (abs(growth) < 100)


def test_epochs_are_repeated():
    samples = watch_memory(DataLoader(Leaky(0)), iterations=100, interval=50)
    assert [sample.iteration for sample in samples] == [50, 100]
    assert all(sample.workers == 0 < sample.main for sample in samples)


def test_summary_by_hand():
    samples = [Sample(10 * i, 100 + 0.1 * i, 50) for i in range(8)]
    # After two of eight, 0.1 MiB per ten iterations.
    assert memory_growth(samples) == {
        'main': 100.7,
        'main_growth': 10.0,
        'workers': 50,
        'workers_growth': 0.0,
    }


def test_dataloader_of_a_configuration(avss_root):
    cfg = Config.fromfile(
        ROOT / 'configs/avmask2former/avmask2former_r50_avss.py'
    )
    cfg.train_dataloader.dataset.data_root = str(avss_root)
    cfg.train_dataloader.batch_size = 2
    loader = build_dataloader(cfg, workers=0, endless=True)
    # Six clips: more batches than an epoch has.
    assert len(watch_memory(loader, iterations=5, interval=1)) == 5
