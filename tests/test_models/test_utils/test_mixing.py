import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.models.utils import mixing
from mmcpm.models.utils.mixing import (
    MAX_MARKS,
    SHARED_WITH_ALL,
    choose_partners,
    gather_others,
    mark_of,
    sound_marks,
)


def indicator(sets, classes=6):
    labels = torch.zeros(len(sets), classes, dtype=torch.bool)
    for row, found in zip(labels, sets, strict=True):
        row[list(found)] = True
    return labels


@given(
    st.lists(st.sets(st.integers(0, 5), max_size=3), min_size=1, max_size=8),
    st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_partners_share_no_class(sets, seed):
    torch.manual_seed(seed)
    partner, mixed = choose_partners(indicator(sets))
    assert partner.shape == mixed.shape == (len(sets),)
    assert partner.dtype == torch.int64 and mixed.dtype == torch.bool
    for i, own in enumerate(sets):
        allowed = [
            j for j, other in enumerate(sets) if j != i and not own & other
        ]
        assert bool(mixed[i]) == bool(allowed)
        assert not allowed or int(partner[i]) in allowed
        assert 0 <= partner[i] < len(sets)


samples = st.tuples(
    st.sets(st.integers(1, 5), max_size=2),  # Classes.
    st.sets(st.sampled_from(['dog', 'cat', 'a', 'b']), max_size=2),  # Names.
    st.sampled_from([None, 'a', 'b', 'dog']),  # Clip.
    st.booleans(),  # Whether it is audible.
)


@given(
    st.lists(samples, min_size=1, max_size=6),
    st.lists(samples, max_size=3),
    st.sampled_from([2, 6]),
    st.integers(0, 100),
)
@settings(max_examples=120, deadline=None)
def test_partners_are_what_the_data_know(own, others, classes, seed):
    """Names and clips are told apart though they are written alike."""
    everyone = own + others
    metas = [
        dict(sound_sources=tuple(names), **({'uid': clip} if clip else {}))
        for _, names, clip, _ in everyone
    ]
    labels = indicator([{k % classes for k in s[0]} for s in everyone], 6)
    labels = labels[:, :classes]
    marks = sound_marks(metas)
    count = len(own)
    torch.manual_seed(seed)
    partner, mixed = choose_partners(
        labels[:count],
        marks[:count],
        (labels[count:], marks[count:]),
        torch.tensor([s[3] for s in everyone]),
    )
    for i, mine in enumerate(own):
        allowed = [
            j
            for j, other in enumerate(everyone)
            if j != i
            and other[3]
            and not mine[1] & other[1]
            and (mine[2] is None or mine[2] != other[2])
            and (classes == 2 or not mine[0] & other[0])
        ]
        assert bool(mixed[i]) == bool(allowed)
        assert not allowed or int(partner[i]) in allowed


def test_every_possible_partner_has_its_turn():
    torch.manual_seed(0)
    labels = indicator([{1}, {2}, {3}, {1, 4}])
    drawn = [choose_partners(labels)[0] for _ in range(100)]
    assert {int(d[0]) for d in drawn} == {1, 2}
    assert {int(d[1]) for d in drawn} == {0, 2, 3}
    # The choice of one sample does not bind another's.
    assert len({tuple(d.tolist()) for d in drawn}) > 10


def test_nobody_to_mix_with():
    for sets in ([{1}], [{2}, {2, 3}], [set()]):
        assert not choose_partners(indicator(sets))[1].any()


def test_a_frame_without_sounding_objects_goes_with_anybody():
    partner, mixed = choose_partners(indicator([set(), {1}]))
    assert partner.tolist() == [1, 0] and mixed.all()


def test_two_classes_in_all_are_not_compared():
    """All of S4 and MS3 sounds as class 1."""
    partner, mixed = choose_partners(indicator([{1}, {1}], classes=2))
    assert partner.tolist() == [1, 0] and mixed.all()
    assert not choose_partners(indicator([{1}, {1}], classes=3))[1].any()


def test_choice_is_a_matter_of_the_seed():
    labels = indicator([{k} for k in range(6)])
    torch.manual_seed(3)
    first = choose_partners(labels)[0]
    torch.manual_seed(3)
    assert torch.equal(choose_partners(labels)[0], first)


def test_marks_are_the_same_in_every_process():
    """Ranks compare them: no hash that Python seeds per process."""
    digest = '84dde1f4ae8f1e8f'  # printf 'clip a' | b2sum -l 64
    number = int.from_bytes(bytes.fromhex(digest), 'little')
    assert mark_of('clip a') == number // 2
    assert mark_of('name a') != mark_of('clip a')


def test_marks_of_samples():
    marks = sound_marks(
        [
            dict(sound_sources='dog', sample_id='a/3'),
            dict(sound_sources=('dog',), uid='a', sample_id='a/4'),
            {},
            dict(sound_sources=[str(k) for k in range(MAX_MARKS + 1)]),
            dict(sound_sources=[str(k) for k in range(MAX_MARKS)]),
        ]
    )
    assert marks.shape == (5, MAX_MARKS) and marks.dtype == torch.int64
    known = [set(row.tolist()) - {0} for row in marks]
    dog = mark_of('name dog')
    assert known[0] == {dog, mark_of('clip a/3')}
    assert known[1] == {dog, mark_of('clip a')}
    assert known[2] == set()
    # More names than can be compared: nobody is a partner.
    assert known[3] == {SHARED_WITH_ALL}
    assert len(known[4]) == MAX_MARKS
    allowed = choose_partners(indicator([set()] * 5), marks)[1]
    assert allowed.tolist() == [True, True, True, False, True]


def test_sounds_of_other_ranks(monkeypatch):
    """Rank 1 of three, with two frames; the others have one and six."""
    size = {0: 1, 1: 2, 2: 6}
    sent = {0: [], 1: [], 2: []}

    def inputs(rank):
        count = size[rank]
        magnitude = torch.full((count, 1, 2, 3), 10.0 * rank)
        magnitude += torch.arange(count)[:, None, None, None]
        labels = indicator([{rank}] * count, classes=3)
        return magnitude, labels, sound_marks([dict(uid=str(rank))] * count)

    monkeypatch.setattr(mixing, 'get_world_size', lambda: 3)
    for rank in (0, 2, 1):

        def all_gather(tensor, rank=rank):
            sent[rank].append(tensor)
            number = len(sent[rank]) - 1
            return [
                sent[r][number] if len(sent[r]) > number else tensor
                for r in range(3)
            ]

        monkeypatch.setattr(mixing, 'all_gather', all_gather)
        monkeypatch.setattr(mixing, 'get_rank', lambda rank=rank: rank)
        sounds, labels, marks = gather_others(*inputs(rank))
    # Whatever the batch, the ranks send the same shapes.
    assert (
        len({tuple(t.shape for t in tensors) for tensors in sent.values()})
        == 1
    )
    offered = mixing.OFFERED
    assert sounds[:, 0, 0, 0].tolist() == [0.0] * offered + [20, 21, 22, 23]
    there = [True] + [False] * (offered - 1) + [True] * offered
    assert (marks != SHARED_WITH_ALL).all(1).tolist() == there
    assert labels[there].tolist() == (
        [[True, False, False]] + [[False, False, True]] * offered
    )
    drawn = {
        int(k)
        for _ in range(60)
        for k in choose_partners(*inputs(1)[1:], (labels, marks))[0]
    }
    # After the two of the batch.
    assert drawn == {2, *range(2 + offered, 2 + 2 * offered)}


def test_alone_there_are_no_others():
    magnitude = torch.ones(2, 1, 2, 3)
    labels = indicator([{1}, {2}])
    parts = gather_others(magnitude, labels, sound_marks([{}, {}]))
    assert [len(part) for part in parts] == [0, 0, 0]
