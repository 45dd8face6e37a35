from types import SimpleNamespace

import pytest
import torch.nn as nn

from mmcpm.apis.loop_checks import check_space
from mmcpm.utils.errors import UsageError


class Runner:
    """What the checks look at."""

    def __init__(self, work_dir):
        self.work_dir = str(work_dir)
        self.model = nn.Linear(1 << 18, 1, bias=False)  # 1 MiB
        self.lines = []
        self.logger = SimpleNamespace(warning=self.lines.append)


@pytest.mark.parametrize(
    ('free', 'refused', 'warned'),
    [(0.9, True, False), (8.0, False, True), (9.5, False, False)],
)
def test_space(tmp_path, monkeypatch, free, refused, warned):
    monkeypatch.setattr(
        'shutil.disk_usage', lambda path: SimpleNamespace(free=free * 2**20)
    )
    runner = Runner(tmp_path)
    if refused:
        with pytest.raises(UsageError, match='the weights alone are 1 MiB'):
            check_space(runner)
    else:
        check_space(runner)
    assert len(runner.lines) == warned
    assert not warned or 'may need 9 MiB' in runner.lines[0]
