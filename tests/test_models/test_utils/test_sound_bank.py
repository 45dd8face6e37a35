"""Rings of sounds: the oldest comes out, the newest stays."""

import pytest
import torch

from mmcpm.models.utils import sound_bank
from mmcpm.models.utils.sound_bank import SoundBank


def build(**changes):
    return SoundBank(
        **dict(num_classes=4, channels=1, samples=2, capacity=3) | changes
    )


def sounds(*values):
    return torch.tensor(values).float()[:, None, None].expand(-1, 1, 2)


def oldest(bank, *classes):
    found, exists = bank.oldest(torch.tensor(classes))
    return [
        float(x.mean()) if there else None
        for x, there in zip(found, exists.tolist(), strict=True)
    ]


def test_oldest_first():
    bank = build()
    assert oldest(bank, 1, 2, 3) == [None] * 3
    bank.enqueue(sounds(1, 2), [2, 2])
    assert oldest(bank, 1, 2, 3) == [None, 1, None]
    bank.enqueue(sounds(3, 10), [2, 3])
    assert oldest(bank, 2, 3) == [1, 10]
    # The ring is full: every new sound pushes the oldest out.
    bank.enqueue(sounds(4), [2])
    assert oldest(bank, 2) == [2]
    bank.enqueue(sounds(5, 6), [2, 2])
    assert oldest(bank, 2, 3) == [4, 10]


def test_more_sounds_than_slots_in_one_step():
    bank = build()
    bank.enqueue(sounds(1, 2, 3, 4, 5), [1] * 5)
    assert oldest(bank, 1) == [1]
    assert sorted(bank.waveforms[0, :, 0, 0].tolist()) == [1, 2, 3]


def test_what_is_no_class_is_left_out():
    bank = build()
    bank.enqueue(sounds(1, 2, 3), [0, 4, 1])
    assert bank.count.tolist() == [1, 0, 0]
    bank.enqueue(sounds(), [])
    assert bank.count.tolist() == [1, 0, 0]


def test_two_ranks_hold_the_same(monkeypatch):
    """Each brings its own sounds, of different numbers."""
    parts = [(sounds(1, 2), [1, 2]), (sounds(3, 4, 5), [1, 3, 1])]
    offered = [[], []]
    monkeypatch.setattr(sound_bank, 'get_world_size', lambda: 2)

    # What every rank offers ...
    for kept, part in zip(offered, parts, strict=True):
        monkeypatch.setattr(
            sound_bank, 'all_gather', lambda t, k=kept: k.append(t) or [t]
        )
        build().enqueue(*part)
    assert [t.shape for t in offered[0]] == [t.shape for t in offered[1]]
    # ... is what both get.
    banks = []
    for _ in parts:
        both = iter(zip(*offered, strict=True))
        monkeypatch.setattr(
            sound_bank, 'all_gather', lambda t, b=both: list(next(b))
        )
        banks.append(build())
        banks[-1].enqueue(*parts[len(banks) - 1])
    monkeypatch.undo()
    alone = build()
    alone.enqueue(sounds(1, 2, 3, 4, 5), [1, 2, 1, 3, 1])
    for bank in banks:
        for name, buffer in alone.named_buffers():
            assert torch.equal(buffer, bank.get_buffer(name)), name


def test_it_is_saved_and_loaded():
    bank, other = build(), build()
    bank.enqueue(sounds(1, 2, 3, 4), [1, 1, 1, 2])
    bank.enqueue(sounds(5), [1])
    other.load_state_dict(bank.state_dict())
    assert oldest(other, 1, 2) == [2, 4]
    assert not list(bank.parameters())


def test_an_empty_bank_is_not_saved():
    bank = build()
    assert not bank.state_dict()
    bank.load_state_dict({})
    assert bank.count.tolist() == [0, 0, 0]


def test_a_bank_of_another_size_is_refused_whole():
    bank, other = build(), build(capacity=5)
    other.enqueue(sounds(1), [1])
    with pytest.raises(RuntimeError, match='sound bank of the checkpoint'):
        bank.load_state_dict(other.state_dict())
    assert bank.count.tolist() == [0, 0, 0]


def test_sounds_of_another_length():
    with pytest.raises(ValueError, match=r'sound_bank\.samples'):
        build().enqueue(torch.zeros(1, 1, 3), [1])


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(num_classes=2), 'sound_bank=None'),
        (dict(capacity=0), 'positive'),
        (dict(swap_rate=1.5), 'swap_rate'),
    ],
)
def test_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        build(**wrong)
