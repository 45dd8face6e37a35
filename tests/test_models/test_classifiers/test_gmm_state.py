"""The state of GMMClassifier in checkpoints and on several ranks."""

import copy
import threading

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmengine.runner.checkpoint import load_state_dict
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorMode,
)

import mmcpm.models.classifiers.gmm as gmm
import mmcpm.models.classifiers.mixture_state as mixture_state
from mmcpm.engine.buffers import BufferKeeper
from mmcpm.models.classifiers import GMMClassifier


def state_of(classifier):
    return {k: v.clone() for k, v in classifier.named_buffers()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def batches(steps, seed=0, classes=5, samples=12):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(samples, 32, generator=generator),
            torch.randint(-1, classes, (samples,), generator=generator),
        )
        for _ in range(steps)
    ]


@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
@pytest.mark.parametrize('stop', [4, 5, 7])
def test_resumed_classifier_goes_on_as_if_nothing_had_happened(
    make_classifier, loader, stop
):
    """Also between two updates, which come every third step."""
    settings = dict(em_interval=3, momentum=0.9)
    steady = make_classifier(**settings)
    steps = batches(11)
    for step in steps[:stop]:
        steady.enqueue(*step)
    checkpoint = copy.deepcopy(steady.state_dict())
    resumed = make_classifier(seed=1, **settings)
    if loader == 'torch':
        resumed.load_state_dict(checkpoint, strict=True)
    else:
        load_state_dict(resumed, checkpoint, strict=True)
    for step in steps[stop:]:
        steady.enqueue(*step)
        resumed.enqueue(*step)
    assert_same(state_of(resumed), state_of(steady))
    features = torch.randn(4, 32)
    assert torch.equal(resumed(features), steady(features))


def test_checkpoints_hold_the_mixtures(make_classifier):
    assert set(make_classifier().state_dict()) == {
        *('feature_norm.weight', 'feature_norm.bias', 'logit_gain'),
        *('mean', 'variance', 'spread', 'log_weight', 'bank', 'pointer'),
        *('count', 'num_updates', 'dirty', 'dead', 'diagnosis', 'num_steps'),
    }


def test_a_copy_learns_on_its_own(make_classifier):
    classifier = make_classifier(em_interval=2)
    first, second, third = batches(3)
    classifier.enqueue(*first)
    twin = copy.deepcopy(classifier)
    twin.enqueue(*second)
    assert int(classifier.num_steps) == classifier._steps == 1
    assert int(twin.num_steps) == twin._steps == 2
    classifier.enqueue(*second)
    assert_same(state_of(classifier), state_of(twin))


@settings(max_examples=30, deadline=None)
@given(
    events=st.lists(
        st.sampled_from(['step', 'rejected', 'reload', 'move', 'copy']),
        max_size=12,
    ),
    interval=st.integers(1, 4),
)
@example(events=['rejected', 'copy'], interval=1)
def test_rejected_steps_leave_no_trace(events, interval):
    """As if only the others had been, in this run and in a resumed one."""

    def make():
        torch.manual_seed(0)
        return GMMClassifier(
            num_classes=5, embed_dims=16, em_interval=interval
        )

    def step(classifier, seed):
        generator = torch.Generator().manual_seed(seed)
        classifier.enqueue(
            torch.randn(12, 16, generator=generator),
            torch.randint(-1, 6, (12,), generator=generator),
        )

    classifier, expected, count = make(), make(), 0
    for seed, event in enumerate([*events, *['step'] * interval]):
        if event == 'step':
            step(classifier, seed)
            step(expected, seed)
            count += 1
        elif event == 'rejected':
            keeper = BufferKeeper(classifier)
            keeper.keep()
            step(classifier, seed)
            keeper.restore()
        elif event == 'move':
            classifier.to(torch.float64).to(torch.float32)
        elif event == 'copy':
            classifier = copy.deepcopy(classifier)
        else:
            resumed = make()
            resumed.load_state_dict(copy.deepcopy(classifier.state_dict()))
            classifier = resumed
    assert int(classifier.num_steps) == classifier._steps == count
    assert_same(state_of(classifier), state_of(expected))


def test_steps_are_counted_without_asking_the_device(make_classifier):
    classifier = make_classifier(em_interval=3)
    classifier.cpu()
    # As a GPU that cannot be waited for.
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        classifier.num_steps = mode.from_tensor(classifier.num_steps)
        with pytest.raises(DataDependentOutputException):
            int(classifier.num_steps)
        classifier._note_steps(2)
        assert [classifier.count_step() for _ in range(4)] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    'change,named',
    [
        (dict(num_components=2), 'mean'),
        (dict(bank_size=32), 'bank'),
        (dict(num_classes=7), 'count'),
    ],
)
def test_mixtures_of_another_size_are_never_loaded_in_part(
    make_classifier, change, named
):
    """A bank of one size with the counts of another would be corrupt."""
    donor = make_classifier(**change)
    for step in batches(3):
        donor.enqueue(*step)
    torch.nn.init.normal_(donor.feature_norm.weight)
    checkpoint = copy.deepcopy(donor.state_dict())
    classifier = make_classifier(seed=1)
    start = state_of(classifier)
    with pytest.raises(RuntimeError, match=f'another size.*{named}: '):
        classifier.load_state_dict(checkpoint, strict=False)
    assert_same(state_of(classifier), start)
    with pytest.raises(RuntimeError, match=f'another size.*{named}: '):
        load_state_dict(classifier, checkpoint, strict=True)
    # What starts from foreign weights takes what fits, and learns anew.
    load_state_dict(classifier, checkpoint, strict=False)
    assert_same(state_of(classifier), start)
    assert classifier._steps == 0
    assert torch.equal(
        classifier.feature_norm.weight, donor.feature_norm.weight
    )
    # The checkpoint itself is left alone.
    assert_same(checkpoint, donor.state_dict())


def test_incomplete_mixtures_are_not_loaded_either(make_classifier):
    donor = make_classifier()
    donor.enqueue(*batches(1)[0])
    checkpoint = donor.state_dict()
    del checkpoint['bank']
    classifier = make_classifier(seed=1)
    start = state_of(classifier)
    report = classifier.load_state_dict(checkpoint, strict=False)
    assert {'bank', 'mean', 'count'} <= set(report.missing_keys)
    assert_same(state_of(classifier), start)


def test_linear_weights_are_reported(make_classifier):
    classifier = make_classifier()
    start = state_of(classifier)
    linear = torch.nn.Linear(32, 5).state_dict()
    report = classifier.load_state_dict(linear, strict=False)
    assert set(report.unexpected_keys) == {'weight', 'bias'}
    assert set(report.missing_keys) == set(classifier.state_dict())
    assert_same(state_of(classifier), start)


class Ranks:
    """Collectives between threads: every rank waits for all others."""

    def __init__(self, size):
        self.size = size
        self.local = threading.local()
        self.barrier = threading.Barrier(size, timeout=20)
        self.slots = [None] * size

    def all_gather(self, tensor):
        self.slots[self.local.rank] = tensor.clone()
        self.barrier.wait()
        gathered = [slot.clone() for slot in self.slots]
        self.barrier.wait()
        return gathered

    def broadcast(self, tensor, src=0):
        if self.local.rank == src:
            self.slots[src] = tensor.clone()
        self.barrier.wait()
        tensor.copy_(self.slots[src])
        self.barrier.wait()

    def run(self, function):
        """Call ``function(rank)`` on every rank, together."""
        errors = []

        def work(rank):
            self.local.rank = rank
            try:
                function(rank)
            except Exception as error:
                errors.append(error)
                self.barrier.abort()

        threads = [
            threading.Thread(target=work, args=(rank,))
            for rank in range(self.size)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


@pytest.fixture
def ranks(monkeypatch):
    ranks = Ranks(3)
    for module in (gmm, mixture_state):
        monkeypatch.setattr(module, 'get_world_size', lambda: ranks.size)
    monkeypatch.setattr(gmm, 'all_gather', ranks.all_gather)
    monkeypatch.setattr(mixture_state, 'broadcast', ranks.broadcast)
    return ranks


def test_ranks_with_unlike_contents_learn_the_same(make_classifier, ranks):
    """One rank never has anything; prototypes begin unlike."""
    settings = dict(em_interval=2, max_enqueue=16)
    # Built with different seeds.
    classifiers = [make_classifier(seed=r, **settings) for r in range(3)]
    contents = [
        batches(7, seed=0),
        batches(7, seed=1, classes=1, samples=5),
        [(x, torch.full_like(y, -1)) for x, y in batches(7, seed=2)],
    ]
    for step in range(7):
        ranks.run(
            lambda rank, step=step: classifiers[rank].enqueue(
                *contents[rank][step]
            )
        )
        for other in classifiers[1:]:
            assert_same(state_of(other), state_of(classifiers[0]))
    assert classifiers[0].num_updates.sum() > 0


def test_ranks_learn_what_one_process_would(make_classifier, ranks):
    """The bank of three ranks is that of their batches in rank order."""
    settings = dict(em_interval=2, max_enqueue=16)
    classifiers = [make_classifier(**settings) for _ in range(3)]
    contents = [batches(4, seed=r) for r in range(3)]
    for step in range(4):
        ranks.run(
            lambda rank, step=step: classifiers[rank].enqueue(
                *contents[rank][step]
            )
        )
    ranks.size = 1
    single = make_classifier(**{**settings, 'max_enqueue': 48})
    for step in range(4):
        features, labels = zip(*(c[step] for c in contents), strict=True)
        single.enqueue(torch.cat(features), torch.cat(labels))
    for name, value in state_of(single).items():
        torch.testing.assert_close(
            state_of(classifiers[2])[name], value, rtol=1e-5, atol=1e-5
        )
