import logging
import multiprocessing
import os
import re
from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import Dataset

import mmcpm  # noqa: F401
from mmcpm.engine.buffers import averaged_models
from mmcpm.engine.hooks.non_finite_guard_hook import (
    NonFiniteError,
    NonFiniteGuardHook,
    non_finite_terms,
    on_host,
    sample_ids,
)

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


def make_runner(work_dir, faults, epochs=1, batch=2, model=None, **kwargs):
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


def log_of(work_dir):
    return '\n'.join(
        path.read_text() for path in sorted(Path(work_dir).glob('*/*.log'))
    )


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        (
            'loss',
            'decode.loss_cls is not finite for the samples clip2/0, clip3/0.',
        ),
        (
            'input',
            'decode.loss_cls is not finite for the samples clip2/0, clip3/0.',
        ),
        (
            'gradient',
            'all losses are finite, but the gradient of extra is not. '
            'Samples: clip2/0, clip3/0.',
        ),
    ],
)
@pytest.mark.parametrize('kind', ['OptimWrapper', 'CPUAmpOptimWrapper'])
def test_bad_iteration_is_told_and_leaves_no_trace(
    tmp_path, fault, message, kind
):
    faults = ['', '', '', fault, '', '', '', '']
    runner = make_runner(tmp_path, faults, optim_wrapper={'type': kind})
    runner.train()
    seen = runner.model.seen
    assert len(seen) == 4
    # Weights, running statistics and memory of the iteration after it.
    assert same(seen[1], seen[2])
    assert not same(seen[0], seen[1]) and not same(seen[2], seen[3])
    final = runner.model.state_dict()
    assert all(value.isfinite().all() for value in final.values())
    states = runner.optim_wrapper.state_dict()['state'].values()
    assert all(state['exp_avg'].isfinite().all() for state in states)
    log = log_of(tmp_path)
    assert f'In iteration 2 (epoch 1) {message} Update skipped: 1' in log
    assert '1 updates of epoch 1 were skipped' in log
    # The logged mean is that of the other three.
    assert re.search(r'Epoch\(train\) \[1\]\[4/4\].* loss: [\d.]+ ', log)


def test_sound_training_is_not_changed(tmp_path):
    guarded = make_runner(tmp_path / 'a', [''] * 6, epochs=2)
    guarded.train()
    plain = make_runner(tmp_path / 'b', [''] * 6, epochs=2)
    plain._hooks = [
        hook
        for hook in plain.hooks
        if not isinstance(hook, NonFiniteGuardHook)
    ]
    plain.train()
    assert same(guarded.model.state_dict(), plain.model.state_dict())
    assert 'skipped' not in log_of(tmp_path / 'a')


def test_accumulated_update_is_skipped_as_a_whole(tmp_path):
    faults = ['', '', '', 'loss', *[''] * 4]
    runner = make_runner(
        tmp_path,
        faults,
        batch=1,
        optim_wrapper={'accumulative_counts': 2, 'clip_grad': None},
    )
    # One frame has no batch statistics.
    runner.model.norm.eval()
    runner.model.train = lambda mode=True: None
    runner.train()
    seen = runner.model.seen
    # Updates end with iterations 2, 4, 6, 8; the second is skipped, and the
    # memory is that before its first iteration.
    assert same(seen[2], seen[4])
    assert not same(seen[0], seen[2]) and not same(seen[4], seen[6])
    assert 'samples clip3/0.' in log_of(tmp_path)


AVERAGES = {
    'ExponentialMovingAverage': lambda steps: 0.3,
    'StochasticWeightAverage': lambda steps: 1 / (steps + 1),
    'MomentumAnnealingEMA': lambda steps: max(0.3, 2 / (2 + steps)),
}


@pytest.mark.parametrize('counts', [1, 2])
@pytest.mark.parametrize('update_buffers', [False, True])
@pytest.mark.parametrize('kind', AVERAGES)
def test_averaged_weights_do_not_see_a_rejected_update(
    tmp_path, kind, update_buffers, counts
):
    """They are the averages over the iterations of the other updates."""
    settings = dict(
        type='EMAHook', ema_type=kind, update_buffers=update_buffers
    )
    if kind != 'StochasticWeightAverage':
        settings['momentum'] = 0.3
    if kind == 'MomentumAnnealingEMA':
        settings['gamma'] = 2
    # The third of eight iterations.
    faults = ['', '', '', '', 'input', *[''] * 11]
    runner = make_runner(
        tmp_path,
        faults,
        hooks=[settings],
        optim_wrapper={'accumulative_counts': counts, 'clip_grad': None},
    )
    runner.train()
    states = [*runner.model.seen[1:], runner.model.state_dict()]
    rejected = [2] if counts == 1 else [2, 3]
    states = [s for i, s in enumerate(states) if i not in rejected]
    expected = {k: v.double() for k, v in states[0].items()}
    for steps, state in enumerate(states[1:], 1):
        share = AVERAGES[kind](steps)
        for name, value in state.items():
            averaged = update_buffers or name.startswith(('head', 'norm.w'))
            averaged = averaged or name in ('norm.bias', 'extra')
            if not averaged or not value.is_floating_point():
                expected[name] = value.double()
            else:
                expected[name] += share * (value.double() - expected[name])
    (average,) = averaged_models(runner)
    assert int(average.steps) == len(states)
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name])
    assert 'Update skipped: 1' in log_of(tmp_path)


def test_one_bad_batch_per_epoch_is_survived(tmp_path):
    faults = ['loss', *['']] + [''] * 18  # 1 of 10 updates.
    runner = make_runner(
        tmp_path, faults, epochs=4, hook={'limit': 1, 'window': 10}
    )
    runner.train()
    assert runner.epoch == 4
    log = log_of(tmp_path)
    assert all(f'1 updates of epoch {n} were' in log for n in (1, 2, 3, 4))


SCHEDULE = [{'type': 'LinearLR', 'start_factor': 0.01, 'end': 100}]


def stopped(work_dir, **kwargs):
    """Train two epochs of three iterations; the second epoch goes wrong."""
    model = Model()
    runner = make_runner(
        work_dir,
        [''] * 6,
        epochs=4,
        model=model,
        hook={'limit': 1, 'window': 5},
        param_scheduler=[{**SCHEDULE[0], 'by_epoch': False}],
        **kwargs,
    )
    runner.train_loop.dataloader.dataset.faults = Faults(model)
    with pytest.raises(NonFiniteError) as error:
        runner.train()
    return runner, str(error.value)


class Faults:
    """Everything is non-finite after four forward passes."""

    def __init__(self, model):
        self.model = model

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return 'loss' if len(self.model.seen) >= 4 else ''


def test_too_many_stop_the_training_with_a_checkpoint(tmp_path):
    runner, message = stopped(tmp_path)
    assert len(runner.model.seen) == 6
    assert (
        '2 of the last 5 updates were not finite, more than the 1' in message
    )
    assert 'In iteration 6 (epoch 2) decode.loss_cls is not' in message
    path = tmp_path / 'stopped_at_iter_6.pth'
    assert f'saved in {path}' in message
    saved = torch.load(path, weights_only=False)
    assert same(saved['state_dict'], runner.model.seen[4])
    assert all(v.isfinite().all() for v in saved['state_dict'].values())
    # --resume finds the last whole epoch instead.
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_stopped_training_begins_its_epoch_again(tmp_path):
    stopped(tmp_path)
    resumed = make_runner(
        tmp_path,
        [''] * 6,
        epochs=2,
        load_from=str(tmp_path / 'stopped_at_iter_6.pth'),
        resume=True,
        param_scheduler=[{**SCHEDULE[0], 'by_epoch': False}],
    )
    rates = []
    train_step = resumed.model.train_step

    def watched(data, optim_wrapper):
        rates.append(optim_wrapper.get_lr()['lr'][0])
        return train_step(data, optim_wrapper)

    resumed.model.train_step = watched
    resumed.train()
    assert (resumed.epoch, resumed.iter) == (2, 6)
    # Rates of iterations 4 to 6 of a ramp over 99 steps from 1 % to 100 %.
    expected = [0.1 * (0.01 + 0.99 * step / 99) for step in (3, 4, 5)]
    assert rates == pytest.approx(expected)


def test_stop_without_room_for_a_checkpoint_is_told(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Runner, 'save_checkpoint', full)
    monkeypatch.setattr(
        'mmengine.hooks.CheckpointHook.after_train_epoch',
        lambda *args: None,
    )
    _, message = stopped(tmp_path)
    assert 'could not be saved (No space left on device)' in message


@pytest.mark.parametrize(
    'arguments', [{'limit': -1}, {'limit': 5, 'window': 5}]
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match='less than window.*limit='):
        NonFiniteGuardHook(**arguments)


def test_several_optimizers_are_refused(tmp_path):
    runner = make_runner(tmp_path, [''] * 2)
    runner.optim_wrapper = object()
    with pytest.raises(NonFiniteError, match='one optimizer.*custom_hooks'):
        NonFiniteGuardHook().before_train(runner)


def test_overflow_of_mixed_precision_is_not_counted(tmp_path, monkeypatch):
    from mmcpm.engine.optim_wrappers.update_guard import Rejection

    runner = make_runner(tmp_path, [''] * 6, hook={'limit': 0, 'window': 1})
    scales = iter([4.0, 1.0, 0.5])
    monkeypatch.setattr(
        'mmcpm.engine.optim_wrappers.update_guard.UpdateGuard.take_rejection',
        lambda self: Rejection([runner.model.extra], next(scales)),
    )
    with pytest.raises(NonFiniteError, match='In iteration 3'):
        runner.train()
    log = log_of(tmp_path)
    assert 'loss scale lowered to 4.' in log
    assert 'loss scale lowered to 1.' in log


# Parts


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


# Several ranks


def train_on_a_rank(rank, folder):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    torch.set_num_threads(1)
    logging.disable(logging.NOTSET)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    # Rank 1 sees samples 1, 3, 5, 7 in batches of two: its second is bad.
    runner = make_runner(
        folder,
        ['', '', '', '', '', 'loss', '', ''],
        launcher='pytorch',
        cfg={
            'model_wrapper_cfg': {
                'type': 'MMDistributedDataParallel',
                'broadcast_buffers': False,
                'device_ids': None,
            }
        },
    )
    runner.train()
    torch.save(
        {
            'weights': runner.model.module.state_dict(),
            'seen': runner.model.module.seen,
        },
        f'{folder}/rank_{rank}.pt',
    )


@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason='no gloo'
)
def test_ranks_decide_alike(tmp_path):
    context = multiprocessing.get_context('fork')
    ranks = [
        context.Process(target=train_on_a_rank, args=(rank, tmp_path))
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0, 0]
    first, second = (
        torch.load(tmp_path / f'rank_{rank}.pt') for rank in range(2)
    )
    for found in (first, second):
        assert all(v.isfinite().all() for v in found['weights'].values())
        assert len(found['seen']) == 2
    parameters = [k for k in first['weights'] if k[:4] in ('head', 'extr')]
    assert all(
        torch.equal(first['weights'][k], second['weights'][k])
        for k in parameters
    )
    # Both kept the weights of the first update, and rank 0 tells why.
    assert same(first['seen'][1], first['weights'])
    assert not same(first['seen'][0], first['weights'])
    log = log_of(tmp_path)
    assert re.search(
        r'\(rank 1\) decode.loss_cls is not finite for the samples clip5/0, '
        'clip7/0',
        log,
    )


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
