import queue

import pytest
import torch

from mmcpm.analysis_tools.benchmark import memory, steps


@pytest.fixture
def subject(monkeypatch):
    """Replace the model that is measured; collects its steps."""
    taken = []

    class Subject:
        def __init__(self, device):
            self.device = device

        def step(self):
            taken.append(self.device)

    monkeypatch.setattr(steps, 'Subject', Subject)
    monkeypatch.setattr(torch, 'set_num_threads', lambda number: None)
    return taken


def test_a_process_that_has_not_used_its_gpu_yet(monkeypatch, subject):
    """PyTorch refuses to reset statistics of a GPU before its first use."""

    def refuse(device=None):
        assert subject, 'Invalid device argument 0: did you call init?'

    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', refuse)
    monkeypatch.setattr(
        torch.cuda, 'max_memory_allocated', lambda: 3 * 2**20 if subject else 0
    )
    answers = queue.Queue()
    memory._measure(answers, 1, dict(device='cuda'))
    assert answers.get_nowait() == 3.0
    assert subject == ['cuda'] * memory.STEPS
