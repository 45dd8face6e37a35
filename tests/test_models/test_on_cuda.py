"""The whole model on a GPU."""

import copy
import warnings

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmseg.registry import MODELS

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason='needs a CUDA device'
    ),
]


@pytest.fixture
def model(cpm_cfg):
    cpm_cfg.decode_head.classifier.em_interval = 2
    torch.manual_seed(0)
    model = MODELS.build(cpm_cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
def test_training_steps_are_finite(model, make_batch, dtype):
    model.cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    wrapper = (
        OptimWrapper(optimizer)
        if dtype == 'float32'
        else AmpOptimWrapper(optimizer=optimizer, dtype=dtype)
    )
    for seed in range(6):
        logged = model.train_step(make_batch(seed=seed), wrapper)
        assert all(torch.as_tensor(v).isfinite() for v in logged.values())
    classifier = model.decode_head.cls_embed
    assert int(classifier.num_updates.max()) == 3
    for name, buffer in classifier.named_buffers():
        if buffer.dtype.is_floating_point:
            assert buffer.dtype == torch.float32, name
            assert buffer.isfinite().all(), name


def test_predictions_are_those_of_the_cpu(model, make_batch):
    model.eval()
    other = copy.deepcopy(model).cuda()
    expected = model.test_step(make_batch())
    actual = other.test_step(make_batch())
    for one, two in zip(actual, expected, strict=True):
        torch.testing.assert_close(
            one.seg_logits.data.cpu(),
            two.seg_logits.data,
            rtol=1e-3,
            atol=1e-3,
        )


def test_few_waits_for_the_device_per_step(model, make_batch):
    """For the classes of the labels, and for the costs of the matching."""
    model.cuda().train()
    data = model.data_preprocessor(make_batch(batch_size=4), True)
    losses = model(**data, mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    waits = []
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            losses = model(**data, mode='loss')
            waits = [w for w in caught if 'synchroniz' in str(w.message)]
            sum(v for k, v in losses.items() if 'loss' in k).backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    places = [f'{w.filename}:{w.lineno}' for w in caught]
    assert len(waits) <= 3, places
    # Not one per image and prediction in the backward pass, of 16.
    assert len(caught) < 16, places
