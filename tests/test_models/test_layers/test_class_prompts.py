import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.structures import SegDataSample

from mmcpm.models.classifiers import GMMClassifier
from mmcpm.models.layers import ClassPrompts
from mmcpm.models.layers.class_prompts import classes_to_prompt, pad_classes

CPU = torch.device('cpu')


def build(**kwargs):
    torch.manual_seed(0)
    prompts = ClassPrompts(num_classes=5, embed_dims=16, **kwargs)
    prompts.init_weights()
    return prompts


@pytest.fixture
def classifier():
    """Knows classes 1 and 3."""
    torch.manual_seed(0)
    classifier = GMMClassifier(
        num_classes=5, embed_dims=16, em_interval=1, min_members=6
    )
    classifier.enqueue(torch.randn(12, 16), torch.tensor([1, 3] * 6))
    return classifier


def test_classes_of_frame_and_crop():
    """Without background and pixels to be ignored."""
    samples = [
        SegDataSample(metainfo=dict(audio_labels=labels))
        for labels in ((1, 3, 4), (2,))
    ]
    crops = [[0, 1, 3], [0, 255]]
    chosen = {
        source: classes_to_prompt(source, samples, crops, 5)
        for source in ('full', 'crop')
    }
    assert chosen == {'full': [[1, 3, 4], [2]], 'crop': [[1, 3], []]}
    with pytest.raises(KeyError, match='RecordSoundingClasses'):
        classes_to_prompt('full', [SegDataSample()], [[0]], 5)


@given(st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_padding(classes):
    classes = [sorted(image) for image in classes]
    padded = pad_classes(classes, CPU)
    longest = max(len(image) for image in classes)
    assert padded.shape == (len(classes), max(1, longest))
    assert padded.dtype == torch.int64
    for row, image in zip(padded.tolist(), classes, strict=True):
        assert row == image + [-1] * (padded.shape[1] - len(image))


def test_more_classes_than_prompts():
    """A random choice, in order; every class has its turn."""
    torch.manual_seed(0)
    prompts = build(max_prompts=2)
    drawn = [prompts.choose([[1, 2, 4], [3]]) for _ in range(60)]
    assert all(pad_classes(d, CPU).shape == (2, 2) for d in drawn)
    assert all(d[1] == [3] for d in drawn)
    assert {tuple(d[0]) for d in drawn} == {(1, 2), (1, 4), (2, 4)}


@given(st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_as_many_classes_as_prompts_are_all_chosen(classes):
    classes = [sorted(image) for image in classes]
    before = [list(image) for image in classes]
    chosen = build(max_prompts=5).choose(classes)
    assert chosen == before
    # What is chosen may be changed without a change of the labels.
    chosen[0].append(9)
    assert classes == before


@pytest.mark.parametrize('wrong', [-1, 5, 255])
def test_classes_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=rf'0\.\.4, but got \[{wrong}\]'):
        build().choose([[1], [2, wrong]])


@pytest.mark.parametrize('source', ['gmm', 'mean'])
def test_prompts_of_mixtures_are_ready_when_their_class_is(classifier, source):
    labels = torch.tensor([[1, 2, 3], [3, -1, -1]])
    ready = build(source=source).ready(labels, classifier)
    assert ready.tolist() == [[True, False, True], [True, False, False]]


def test_learned_prompts_are_always_ready():
    labels = torch.tensor([[0, 2, -1]])
    ready = build(source='table').ready(labels, None)
    assert ready.tolist() == [[True, True, False]]


def test_samples_enter_unchanged_but_for_their_scale(classifier):
    """Unit vectors become vectors of length sqrt(16) = 4."""
    labels = torch.tensor([[1, 3], [3, -1]])
    prompts = build()
    torch.manual_seed(5)
    expected = 4 * classifier.sample(labels)
    torch.manual_seed(5)
    query, position = prompts(labels, classifier)
    torch.testing.assert_close(query, expected)
    torch.testing.assert_close(query.norm(dim=-1), torch.full((2, 2), 4.0))
    # All prompts share one position.
    assert position.shape == (2, 2, 16)
    assert (position == prompts.position).all()


def test_means_carry_no_noise(classifier):
    labels = torch.tensor([[1, 3]])
    query, _ = build(source='mean')(labels, classifier)
    for k, drawn in zip((1, 3), query[0], strict=True):
        distance = (4 * classifier.mean[k] - drawn).norm(dim=-1)
        assert distance.min() < 1e-5
    noisy, _ = build()(labels, classifier)
    assert (4 * classifier.mean[1] - noisy[0, 0]).norm(dim=-1).min() > 0.1


def test_learned_prompts_are_rows_of_the_table():
    prompts = build(source='table')
    labels = torch.tensor([[4, 1], [2, -1]])
    query, _ = prompts(labels, None)
    rows = prompts.table.weight[[4, 1, 2, 0]].view(2, 2, 16)
    torch.testing.assert_close(query, rows)
    assert not hasattr(build(), 'table')


@pytest.mark.parametrize('source', ['gmm', 'mean', 'table'])
@pytest.mark.parametrize('labels', [[[1, 3]], [[-1, -1]]])
def test_gradients_reach_the_prompts_but_no_mixture(
    classifier, source, labels
):
    prompts = build(source=source)
    query, position = prompts(torch.tensor(labels), classifier)
    (query.square().sum() + position.square().sum()).backward()
    assert all(p.grad is not None for p in prompts.parameters())
    assert prompts.projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in classifier.parameters())


@pytest.mark.parametrize('change', [dict(source='bank'), dict(max_prompts=0)])
def test_bad_arguments(change):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=rf'{name} must.*{value}'):
        build(**change)
