"""Which images and sounds belong together."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmcpm.models.utils.sound_bank import SoundBank
from mmcpm.models.utils.sound_pairs import (
    matching_sounds,
    sounding_classes,
    swap_sounds,
)


def sample(*visible, **meta):
    sample = SegDataSample(metainfo=meta)
    label = torch.zeros(1, 1, 4, dtype=torch.int64)
    label[0, 0, : len(visible)] = torch.tensor(visible, dtype=torch.int64)
    sample.gt_sem_seg = PixelData(data=label)
    return sample


def test_classes_that_sound():
    samples = [
        sample(1, audio_labels=(1, 3)),  # The crop has lost 3.
        sample(2, 255),
        sample(),
        sample(4, audio_labels=(4,), frame_valid=False),
        sample(4, audio_labels=(4,), labeled=False),
    ]
    found = sounding_classes(samples, num_classes=5)
    assert found == [[1, 3], [2], [], [], []]


def test_the_same_classes_match():
    samples = [sample() for _ in range(5)]
    classes = [[1], [1, 2], [2, 1], [], []]
    partner = [1, 2, 0, 4, 3]
    found = matching_sounds(samples, classes, partner, num_classes=5)
    assert found == [False, True, False, True, True]
    assert matching_sounds(samples[:1], [[1]], [0], 5) == [True]


def test_of_two_classes_names_tell():
    samples = [
        sample(uid='a', sound_sources=('dog', 'r1')),
        sample(uid='b', sound_sources=('dog', 'r2')),
        sample(uid='c', sound_sources=('cat', 'r3')),
        sample(uid='c', sound_sources=()),
        sample(),
    ]
    partner = [1, 2, 3, 4, 4]
    found = matching_sounds(samples, [[1]] * 5, partner, num_classes=2)
    assert found == [True, False, True, False, True]


@pytest.fixture
def bank():
    bank = SoundBank(num_classes=5, channels=1, samples=2, capacity=2)
    bank.enqueue(torch.tensor([7.0, 8.0])[:, None, None].expand(2, 1, 2),
                 [1, 1])  # fmt: skip
    return bank


@pytest.mark.parametrize(
    ('match', 'classes', 'chosen', 'expected'),
    [
        (False, [1], True, (7.0, True)),
        (True, [1], True, (0.0, True)),
        (False, [1], False, (0.0, False)),
        (False, [1, 2], True, (0.0, False)),  # Two sounds at once.
        (False, [], True, (0.0, False)),
        (False, [2], True, (0.0, False)),  # The bank has none.
    ],
)
def test_swapping(bank, match, classes, chosen, expected):
    waveform = torch.zeros(2, 1, 2)
    sounds, matches = swap_sounds(
        waveform, [match, True], [classes, []], bank, [chosen, True]
    )
    assert (float(sounds[0].mean()), bool(matches[0])) == expected
    assert (float(sounds[1].mean()), bool(matches[1])) == (0.0, True)
