import pytest

from mmcpm.engine.resuming import changed_settings, check_progress
from mmcpm.utils.errors import UsageError

BEFORE = """
model = dict(type='A', sizes=[1, (2, 3)], norm=dict(eps=-1e-5))
optim_wrapper = {'optimizer': {'lr': 0.1}}
param_scheduler = [dict(type='PolyLR', end=10), dict(type='LinearLR')]
train_dataloader = dict(batch_size=4, num_workers=2)
work_dir = 'a'
"""


def test_settings_are_read_and_not_executed(tmp_path):
    file = tmp_path / 'written'
    now = f"model = dict(type=open({str(file)!r}, 'w'))"
    (changed,) = changed_settings("model = dict(type='A')", now)
    assert changed.startswith('model.type: A -> ')
    assert not file.exists()
    assert changed_settings('', '') == []


def test_changes_that_matter_are_listed():
    now = BEFORE.replace("'lr': 0.1", "'lr': 0.2").replace('end=10', 'end=20')
    assert changed_settings(BEFORE, now) == [
        'optim_wrapper.optimizer.lr: 0.1 -> 0.2',
        'param_scheduler.0.end: 10 -> 20',
    ]
    fewer = BEFORE.replace(", dict(type='LinearLR')", '')
    assert len(changed_settings(BEFORE, fewer)) == 1
    without = BEFORE.replace(', norm=dict(eps=-1e-5)', '')
    assert changed_settings(BEFORE, without) == [
        'model.norm.eps: -1e-05 -> None'
    ]


def test_changes_that_do_not_matter_are_not():
    now = BEFORE.replace("'a'", "'b'").replace(
        'num_workers=2', 'num_workers=0'
    )
    assert changed_settings(BEFORE, now) == []


def test_unreadable_text_is_not_compared():
    assert changed_settings('{"model": [', BEFORE) == []


def test_epochs_of_another_length_are_refused():
    check_progress(0, 0, 4, 1, 2)
    check_progress(3, 12, 4, 1, 2)
    with pytest.raises(UsageError) as raised:
        check_progress(3, 12, 2, 2, 2)
    message = str(raised.value)
    assert (
        '12 iterations in 3 epoch(s)' in message and '4 per epoch' in message
    )
    assert '2 per epoch (batch 2 on 2 process(es))' in message
    assert 'load_from=' in message


@pytest.mark.parametrize(('epoch', 'iteration'), [(0, 3), (2, 9)])
def test_checkpoints_within_an_epoch_are_refused(epoch, iteration):
    """Schedules would run ahead of the epochs."""
    with pytest.raises(UsageError, match='in the midst of an epoch'):
        check_progress(epoch, iteration, 4, 1, 2)
