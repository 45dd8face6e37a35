from types import SimpleNamespace

import pytest

from mmcpm.engine.hooks import GradientShareHook


def asked(hook, iterations, model):
    seen = []
    for iteration in range(iterations):
        hook.before_train_iter(
            SimpleNamespace(model=model, iter=iteration), iteration
        )
        seen.append(model.watch_gradients)
    return [i for i, due in enumerate(seen) if due]


def test_shares_are_asked_for_at_the_interval():
    head = SimpleNamespace(audio_query_decoder=None)
    model = SimpleNamespace(watch_gradients=False, decode_head=head)
    assert asked(GradientShareHook(interval=4), 10, model) == [1, 5, 9]
    model.watch_gradients = False
    assert asked(GradientShareHook(interval=1), 3, model) == [0, 1, 2]
    model.watch_gradients = False
    assert asked(GradientShareHook(interval=0), 10, model) == []
    assert asked(GradientShareHook(interval=1), 3, model) == [0, 1, 2]


def test_other_models_are_left_alone():
    model, lines = SimpleNamespace(), []
    logger = SimpleNamespace(info=lines.append)
    hook = GradientShareHook()
    for _ in range(2):
        hook.before_train_iter(
            SimpleNamespace(model=model, iter=1, logger=logger), 1
        )
    assert len(lines) == 1 and 'GradientShareHook is idle' in lines[0]
    assert not hasattr(model, 'watch_gradients')


def test_interval_is_checked():
    with pytest.raises(ValueError, match='-1'):
        GradientShareHook(interval=-1)
