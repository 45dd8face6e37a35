import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.models.audio.mixing import choose_partners


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


def test_choice_is_a_matter_of_the_seed():
    labels = indicator([{k} for k in range(6)])
    torch.manual_seed(3)
    first = choose_partners(labels)[0]
    torch.manual_seed(3)
    assert torch.equal(choose_partners(labels)[0], first)
