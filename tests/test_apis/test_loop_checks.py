from types import SimpleNamespace

import pytest

from mmcpm.apis.loop_checks import check_space
from mmcpm.utils.errors import UsageError


@pytest.mark.parametrize(
    ('free', 'refused', 'warned'),
    [(0.9, True, False), (8.0, False, True), (9.5, False, False)],
)
def test_space(tmp_path, monkeypatch, free, refused, warned):
    monkeypatch.setattr(
        'shutil.disk_usage',
        lambda path: SimpleNamespace(free=free * 2**20),
    )
    runner = Runner(tmp_path)
    if refused:
        with pytest.raises(UsageError, match='the weights alone are 1 MiB'):
            check_space(runner)
    else:
        check_space(runner)
    assert len(runner.lines) == warned
    assert not warned or 'may need 9 MiB' in runner.lines[0]
