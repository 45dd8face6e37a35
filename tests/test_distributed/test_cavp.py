"""CAVP on two ranks: gradients agree, and so do the banks of sounds."""

import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

STEPS = """
import json
import sys

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcpm.engine.launching import leave_launcher, prepare_launcher

prepare_launcher('pytorch')
RANK = dist.get_rank()
init_default_scope('mmseg')
cfg = Config.fromfile(sys.argv[1]).model
cfg.data_preprocessor.size = (64, 64)
cfg.decode_head.loss_contrast.max_views = 8
torch.manual_seed(0)
model = MMDistributedDataParallel(MODELS.build(cfg).train(), device_ids=None,
                                  broadcast_buffers=False)
bank = model.module.sound_bank
bank.swap_rate = 1.0


def batch(*classes):
    inputs, samples = [], []
    for found in classes:
        label = torch.full((1, 64, 64), 255 if found is None else 0)
        if found:
            label[:, :32] = found
        sample = SegDataSample(metainfo=dict(
            img_shape=(64, 64), audio_labels=(found,) if found else ()))
        sample.gt_sem_seg = PixelData(data=label)
        sample.audio = torch.full((1, 16000), 10.0 * RANK + (found or 0))
        samples.append(sample)
        inputs.append(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=samples)


def same(tensor):
    parts = [torch.empty_like(tensor) for _ in range(2)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.equal(*parts)


# By rank: as many frames, fewer, nothing labeled, one frame each.
cases = [((1, 3), (3, 4)), ((1, 3), (5,)), ((2, 3), (None, None)),
         ((1,), (2,))]
finite, agree = True, True
for step, case in enumerate(cases):
    MessageHub.get_current_instance().update_info('epoch', min(step, 1))
    torch.manual_seed(10 * step + RANK)
    model.zero_grad()
    data = model.module.data_preprocessor(batch(*case[RANK]), True)
    total, _ = model.module.parse_losses(model(**data, mode='loss'))
    total.backward()
    for parameter in model.parameters():
        finite &= bool(parameter.grad.isfinite().all())
        agree &= same(parameter.grad)
result = dict(
    finite=finite, agree=agree, counts=bank.count.tolist(),
    banks=all(same(buffer) for buffer in bank.buffers()),
    third=bank.waveforms[2, :5, 0, 0].tolist())
if RANK == 0:
    with open(sys.argv[2], 'w') as file:
        json.dump(result, file)
leave_launcher()
"""


@pytest.fixture(scope='module')
def result(ranks):
    script, out = ranks.folder / 'cavp_steps.py', ranks.folder / 'cavp.json'
    script.write_text(STEPS)
    ranks.run(
        [
            sys.executable,
            *('-m', 'torch.distributed.run', '--standalone'),
            *('--local-addr=127.0.0.1', '--nproc-per-node=2'),
            *(script, ROOT / 'configs/_base_/models/cavp_r18_tiny.py', out),
        ]
    )
    return json.loads(out.read_text())


def test_gradients_of_all_steps(result):
    assert result['finite'] and result['agree']


def test_banks(result):
    """Sounds of both ranks, in their order."""
    assert result['banks']
    assert result['counts'] == [3, 2, 4, 1, 1, 0, 0, 0]
    assert result['third'] == [3, 13, 3, 3, 0]
