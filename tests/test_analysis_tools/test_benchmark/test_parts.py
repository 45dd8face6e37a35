import torch.nn as nn

from mmcpm.analysis_tools.benchmark import parts
from mmcpm.analysis_tools.benchmark.parts import PartTimer, watch_parts


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def perf_counter(self):
        return self.now


def test_time_counts_for_the_innermost_part(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(parts, 'time', clock)
    timer = PartTimer('cpu')

    def inner():
        clock.now += 5

    inner = timer.wrap(inner, 'inner')

    def outer():
        clock.now += 1
        inner()
        clock.now += 2

    timer.wrap(outer, 'outer')()
    assert timer.seconds == {'outer': 3, 'inner': 5}


def test_methods_are_restored():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Identity()

        def extract_audio(self):
            return 1

    model, timer = Model(), PartTimer('cpu')
    undo = watch_parts(model, timer)
    assert model.extract_audio() == model.backbone(1) == 1
    assert set(timer.seconds) == {'audio', 'image backbone'}
    undo()
    assert 'extract_audio' not in vars(model)
    assert 'forward' not in vars(model.backbone)
