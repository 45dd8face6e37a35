import pytest
import torch
import torch.nn as nn

from mmcpm.utils.checkpoints import check_weights_fit, read_checkpoint
from mmcpm.utils.errors import UsageError


def model(width=3):
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


def save(tmp_path, content):
    path = str(tmp_path / 'weights.pth')
    torch.save(content, path)
    return path


def test_missing_checkpoint(tmp_path):
    with pytest.raises(UsageError, match=r'not found: .*/none\.pth'):
        read_checkpoint(str(tmp_path / 'none.pth'))


def test_truncated_checkpoint(tmp_path):
    path = save(tmp_path, {'state_dict': model().state_dict()})
    with open(path, 'r+b') as file:
        file.truncate(500)
    with pytest.raises(UsageError, match=r'weights\.pth cannot be read'):
        read_checkpoint(path)


def test_file_of_another_kind(tmp_path):
    path = tmp_path / 'notes.pth'
    path.write_text('not a checkpoint')
    with pytest.raises(UsageError, match='it is no file of PyTorch'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    'content', [[1, 2], {}, {'state_dict': 3}, {'a': 'text'}]
)
def test_file_without_weights(tmp_path, content):
    with pytest.raises(UsageError, match='holds no weights'):
        read_checkpoint(save(tmp_path, content))


def test_weights_alone_cannot_be_resumed(tmp_path):
    path = save(tmp_path, {'state_dict': model().state_dict(), 'meta': {}})
    with pytest.raises(
        UsageError, match='no message_hub, optimizer.*load_from='
    ):
        read_checkpoint(path, resume=True)


def test_bare_weights_are_a_checkpoint(tmp_path):
    path = save(tmp_path, model().state_dict())
    check_weights_fit(model(), read_checkpoint(path), path)


def test_prefix_of_wrapped_models_is_ignored():
    wrapped = {f'module.{k}': v for k, v in model().state_dict().items()}
    check_weights_fit(model(), {'state_dict': wrapped}, 'a.pth')


def test_batch_counters_may_be_missing():
    weights = model().state_dict()
    del weights['1.num_batches_tracked']
    check_weights_fit(model(), weights, 'a.pth')


def test_additional_weights_do_not_matter():
    weights = {**model().state_dict(), 'extra': torch.zeros(1)}
    check_weights_fit(model(), weights, 'a.pth')


def test_foreign_weights_are_refused():
    foreign = {'conv1.weight': torch.zeros(1)}
    with pytest.raises(
        UsageError,
        match=r'a\.pth does not fit.* of 6 weights, 6 are missing '
        r'\(first: 0\.weight\)',
    ):
        check_weights_fit(model(), foreign, 'a.pth')


def test_other_shapes_are_refused():
    with pytest.raises(
        UsageError,
        match=r'6 have another shape \(first: 0\.weight, '
        r'\(5, 3, 1, 1\) in the file, \(3, 3, 1, 1\) in the model\)',
    ):
        check_weights_fit(model(3), model(5).state_dict(), 'a.pth')


def test_some_weights_are_enough_to_start_from():
    weights = model().state_dict()
    del weights['0.weight']
    check_weights_fit(model(), weights, 'a.pth', partly=True)
    with pytest.raises(UsageError, match='1 are missing'):
        check_weights_fit(model(), weights, 'a.pth')
    with pytest.raises(UsageError, match='does not fit'):
        check_weights_fit(model(), {'x': torch.zeros(1)}, 'a.pth', partly=True)
