from types import SimpleNamespace

import torch

from mmcpm.engine.hooks import ProgressBarHook


def test_bar_counts_from_where_a_run_resumes(capsys):
    runner = SimpleNamespace(max_iters=5, iter=2)
    hook = ProgressBarHook()
    hook.before_train(runner)
    assert (hook.bar.n, hook.bar.total) == (2, 5)
    for step in range(3):
        hook.after_train_iter(
            runner, step, outputs=dict(loss=torch.tensor(1.25))
        )
    hook.before_val(runner)
    assert hook.bar.desc.startswith('Validating')
    hook.after_val(runner)
    assert hook.bar.n == 5
    hook.after_train(runner)
    shown = capsys.readouterr()
    assert '5/5' in shown.err and 'loss=1.25' in shown.err
    assert not shown.out


def test_loss_is_read_when_the_bar_is_drawn():
    class Loss(float):
        reads = 0

        def __float__(self):
            type(self).reads += 1
            return 1.0

    hook = ProgressBarHook()
    hook.before_train(SimpleNamespace(max_iters=300, iter=0))
    hook.bar.mininterval = float('inf')
    for step in range(300):
        hook.after_train_iter(None, step, outputs=dict(loss=Loss()))
    assert Loss.reads == 1  # The last step is always shown.


def test_other_ranks_are_quiet(monkeypatch, capsys):
    from mmcpm.engine.hooks import progress_bar_hook

    monkeypatch.setattr(progress_bar_hook, 'is_main_process', lambda: False)
    runner = SimpleNamespace(max_iters=5, iter=0)
    hook = ProgressBarHook()
    for call in (hook.before_train, hook.before_val, hook.after_val):
        call(runner)
    hook.after_train_iter(runner, 0, outputs=dict(loss=1.0))
    hook.after_train(runner)
    assert not capsys.readouterr().err
