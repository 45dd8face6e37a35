import pytest
from mmengine.config import Config

from mmcpm.apis.config_checks import check_numbers
from mmcpm.utils.errors import UsageError


@pytest.mark.parametrize(
    ('settings', 'accepted'),
    [
        ({'batch_size': 1, 'num_workers': 0}, True),
        ({'batch_size': None}, True),
        ({}, True),
        ({'batch_size': True}, False),
        ({'batch_size': '2'}, False),
        ({'num_workers': -1}, False),
    ],
)
def test_numbers(settings, accepted):
    cfg = Config({'train_dataloader': settings})
    if accepted:
        check_numbers(cfg, ('train_dataloader', 'val_dataloader'))
        return
    with pytest.raises(UsageError, match='train_dataloader.* whole number'):
        check_numbers(cfg, ('train_dataloader',))
