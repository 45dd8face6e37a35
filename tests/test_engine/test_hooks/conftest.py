"""Tiny trainings in which something becomes NaN."""

from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

NAN = float('nan')


class Clips(Dataset):
    """Sample i says what becomes non-finite in the iteration that sees it."""

    metainfo = {}

    def __init__(self, faults):
        self.faults = faults

    def __len__(self):
        return len(self.faults)

    def __getitem__(self, index):
        fault = self.faults[index]
        value = NAN if fault == 'input' else 1.0 + index
        return {
            'inputs': torch.tensor([value, 1.0]),
            'data_samples': SegDataSample(
                metainfo={'sample_id': f'clip{index}/0', 'fault': fault}
            ),
        }


class Model(BaseModel):
    """Running statistics, a memory that is replaced, and two losses."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, 1)
        self.extra = nn.Parameter(torch.zeros(1))
        self.register_buffer('memory', torch.zeros(2))
        self.seen = []

    def forward(self, inputs, data_samples, mode='loss'):
        weights = {k: v.clone() for k, v in self.state_dict().items()}
        self.seen.append(weights)
        inputs = torch.stack(inputs)
        self.memory = self.memory + inputs[0].detach()
        loss = self.head(self.norm(inputs)).square().mean()
        faults = [sample.get('fault') for sample in data_samples]
        fine = self.extra.sum() * 0
        if 'gradient' in faults:
            fine = fine + (self.extra.sum() * 0).sqrt()
        return {
            'decode.loss_cls': loss + (NAN if 'loss' in faults else 0),
            'decode.loss_dice': fine,
        }


def build_runner(work_dir, faults, epochs=1, batch=2, model=None, **kwargs):
    for manager in (MMLogger, MessageHub):
        manager._instance_dict.clear()
    init_default_scope('mmseg')
    hook = {'type': 'NonFiniteGuardHook', **kwargs.pop('hook', {})}
    optim_wrapper = {
        'optimizer': {'type': 'AdamW', 'lr': 0.1},
        'clip_grad': {'max_norm': 1.0},
        **kwargs.pop('optim_wrapper', {}),
    }
    return Runner(
        model=model or Model(),
        work_dir=str(work_dir),
        train_dataloader={
            'batch_size': batch,
            'num_workers': 0,
            'dataset': Clips(faults),
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper=optim_wrapper,
        param_scheduler=kwargs.pop('param_scheduler', None),
        default_hooks={
            'checkpoint': {'type': 'AtomicCheckpointHook', 'interval': 1}
        },
        custom_hooks=[hook, *kwargs.pop('hooks', ())],
        randomness={'seed': 0},
        experiment_name=f'{work_dir}',
        default_scope='mmseg',
        **kwargs,
    )


@pytest.fixture(scope='session')
def make_runner():
    """The function that builds a Runner over samples with given faults."""
    return build_runner


@pytest.fixture(scope='session')
def log_of():
    """The function that reads the log of a run."""
    return lambda work_dir: '\n'.join(
        path.read_text() for path in sorted(Path(work_dir).glob('*/*.log'))
    )


@pytest.fixture(scope='session')
def same():
    """The function that compares weights bit by bit."""
    return lambda one, other: all(torch.equal(one[k], other[k]) for k in one)
