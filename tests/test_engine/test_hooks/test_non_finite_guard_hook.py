import logging
import multiprocessing
import os
import re

import pytest
import torch
from mmengine.runner import Runner

import mmcpm  # noqa: F401
from mmcpm.engine.buffers import averaged_models
from mmcpm.engine.hooks.non_finite_guard_hook import (
    NonFiniteError,
    NonFiniteGuardHook,
)


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
    tmp_path, fault, message, kind, make_runner, log_of, same
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


def test_sound_training_is_not_changed(tmp_path, make_runner, log_of, same):
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


def test_accumulated_update_is_skipped_as_a_whole(
    tmp_path, make_runner, log_of, same
):
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
    tmp_path, kind, update_buffers, counts, make_runner, log_of
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


def test_one_bad_batch_per_epoch_is_survived(tmp_path, make_runner, log_of):
    faults = ['loss', *['']] + [''] * 18  # 1 of 10 updates.
    runner = make_runner(
        tmp_path, faults, epochs=4, hook={'limit': 1, 'window': 10}
    )
    runner.train()
    assert runner.epoch == 4
    log = log_of(tmp_path)
    assert all(f'1 updates of epoch {n} were' in log for n in (1, 2, 3, 4))


SCHEDULE = [{'type': 'LinearLR', 'start_factor': 0.01, 'end': 100}]


def stopped(make_runner, work_dir):
    """Train two epochs of three iterations; the second epoch goes wrong."""
    runner = make_runner(
        work_dir,
        [''] * 6,
        epochs=4,
        hook={'limit': 1, 'window': 5},
        param_scheduler=[{**SCHEDULE[0], 'by_epoch': False}],
    )
    runner.train_loop.dataloader.dataset.faults = Faults(runner.model)
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


def test_too_many_stop_the_training_with_a_checkpoint(
    tmp_path, make_runner, same
):
    runner, message = stopped(make_runner, tmp_path)
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


def test_stopped_training_begins_its_epoch_again(tmp_path, make_runner):
    stopped(make_runner, tmp_path)
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


def test_stop_without_room_for_a_checkpoint_is_told(
    tmp_path, monkeypatch, make_runner
):
    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Runner, 'save_checkpoint', full)
    monkeypatch.setattr(
        'mmengine.hooks.CheckpointHook.after_train_epoch', lambda *args: None
    )
    _, message = stopped(make_runner, tmp_path)
    assert 'could not be saved (No space left on device)' in message


@pytest.mark.parametrize(
    'arguments', [{'limit': -1}, {'limit': 5, 'window': 5}]
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match='less than window.*limit='):
        NonFiniteGuardHook(**arguments)


def test_several_optimizers_are_refused(tmp_path, make_runner):
    runner = make_runner(tmp_path, [''] * 2)
    runner.optim_wrapper = object()
    with pytest.raises(NonFiniteError, match='one optimizer.*custom_hooks'):
        NonFiniteGuardHook().before_train(runner)


def test_overflow_of_mixed_precision_is_not_counted(
    tmp_path, monkeypatch, make_runner, log_of
):
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


def train_on_a_rank(make_runner, rank, folder):
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
def test_ranks_decide_alike(tmp_path, make_runner, log_of, same):
    context = multiprocessing.get_context('fork')
    ranks = [
        context.Process(
            target=train_on_a_rank, args=(make_runner, rank, tmp_path)
        )
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
