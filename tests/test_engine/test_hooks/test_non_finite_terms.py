"""What the guard takes from losses and batches for its messages."""

import torch
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode

import mmcpm  # noqa: F401
from mmcpm.engine.hooks.non_finite_guard_hook import (
    non_finite_terms,
    on_host,
    sample_ids,
)

NAN = float('nan')


def test_terms_are_named_before_their_sum():
    losses = {
        'loss': torch.tensor(NAN),
        'decode.loss_cls': torch.tensor([1.0, float('inf')]),
        'decode.loss_dice': torch.tensor(1.0),
        'note': 'text',
    }
    assert non_finite_terms(losses) == ['decode.loss_cls']
    assert non_finite_terms({'loss': torch.tensor(NAN)}) == ['loss']
    assert non_finite_terms({'loss': torch.tensor(1.0)}) == []


def test_samples_without_an_id_are_named_by_their_image():
    named = SegDataSample(metainfo={'sample_id': 'a/0', 'img_path': 'x.jpg'})
    other = SegDataSample(metainfo={'img_path': 'x.jpg'})
    batch = {'data_samples': [named, other, SegDataSample()]}
    assert sample_ids(batch) == ['a/0', 'x.jpg', '2']
    assert sample_ids(None) == sample_ids({'inputs': []}) == []


def test_all_logged_numbers_come_to_the_host_in_one_copy(monkeypatch):
    copies, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(
        torch.Tensor, 'cpu', lambda self: copies.append(self) or cpu(self)
    )
    with FakeTensorMode():
        with torch.device('cuda'):
            outputs = {f'loss{k}': torch.ones(()) for k in range(40)}
            outputs['gmm_ready'] = torch.ones(1, dtype=torch.int64)
            outputs['map'] = torch.ones(2, 2)
        outputs['here'] = torch.ones(())
        found = on_host(outputs)
    # A fake tensor may be asked twice for the one copy.
    assert len({id(packed) for packed in copies}) == 1
    assert found.keys() == outputs.keys()
    away = {n for n, value in found.items() if value.device.type != 'cpu'}
    assert away == {'map'}


def test_numbers_that_are_on_the_host_stay_as_they_are():
    loss = torch.tensor(1.5, requires_grad=True)
    found = on_host({'loss': 2 * loss, 'lr': 0.1})
    assert found.keys() == {'loss'}
    assert found['loss'].item() == 3.0
    assert not found['loss'].requires_grad
