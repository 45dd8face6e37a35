import pytest
from mmengine.config import Config

from mmcpm.apis import config_checks
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


@pytest.mark.parametrize('head', [{'num_classes': 70}, [{'num_classes': 70}]])
def test_classes_of_head_and_dataset_must_agree(head, load):
    cfg = load()
    cfg.model.decode_head = head
    with pytest.raises(
        UsageError,
        match=r'decode_head.num_classes is 70, but the dataset of '
        r'val_dataloader has 3 classes.*num_classes=3',
    ):
        config_checks.check_classes(cfg, ('val_dataloader',))


def test_classes_may_be_set_by_the_dataset_config(load):
    cfg = load()
    cfg.train_dataloader.dataset.metainfo = {'classes': ['background', 'dog']}
    with pytest.raises(UsageError, match='has 2 classes'):
        config_checks.check_classes(cfg, ('train_dataloader',))
    cfg.model.decode_head.num_classes = 2
    config_checks.check_classes(cfg, ('train_dataloader',))


def test_classes_are_counted_where_the_head_asks(folder_root, load):
    cfg = load()
    cfg.model.decode_head.num_classes = 'auto'
    names = ('train_dataloader', 'val_dataloader')
    for name in names:
        cfg[name].dataset = dict(
            type='AVSFolderDataset', data_root=str(folder_root)
        )
    config_checks.check_classes(cfg, names)
    # Two in the list, and the background.
    assert cfg.model.decode_head.num_classes == 3
    config_checks.check_classes(cfg, names)
    (folder_root / 'classes.txt').write_text('a\nb\nc\n')
    with pytest.raises(UsageError, match='is 3, but.*has 4 classes'):
        config_checks.check_classes(cfg, names)
    # Training and validation may differ by their own lists.
    (folder_root / 'fewer').write_text('a\n')
    cfg.model.decode_head.num_classes = 'auto'
    cfg.val_dataloader.dataset.class_file = 'fewer'
    with pytest.raises(UsageError, match='is 4, but.*val_dataloader has 2'):
        config_checks.check_classes(cfg, names)
    # Some of the listed classes may be chosen.
    del cfg.val_dataloader.dataset['class_file']
    for name in names:
        cfg[name].dataset.metainfo = dict(classes=('background', 'b'))
    cfg.model.decode_head.num_classes = 'auto'
    config_checks.check_classes(cfg, names)
    assert cfg.model.decode_head.num_classes == 2


def test_classes_that_nothing_tells_are_asked_for(folder_root, load):
    cfg = load()
    cfg.model.decode_head.num_classes = 'auto'
    cfg.train_dataloader.dataset = dict(
        type='AVSFolderDataset', data_root=str(folder_root / 'absent')
    )
    with pytest.raises(UsageError, match='absent/classes.txt.*one class'):
        config_checks.check_classes(cfg, ('train_dataloader',))
    with pytest.raises(UsageError, match="num_classes='auto' takes the numb"):
        config_checks.fill_num_classes(cfg, ('no_dataloader',))


def test_unknown_dataset(load):
    cfg = load()
    cfg.test_dataloader.dataset.type = 'AVSBenchSemantics'
    with pytest.raises(
        UsageError, match='test_dataloader: AVSBenchSemantics is not'
    ):
        config_checks.check_classes(cfg, ('test_dataloader',))
