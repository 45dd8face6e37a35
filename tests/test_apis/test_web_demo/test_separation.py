"""One source out of a sound: masks, and the sound that they leave."""

import numpy as np
import pytest
import torch

from mmcpm.apis.web_demo.separation import (
    apply_ratio,
    resample_ratio,
    share_ratio,
    why_not,
)

RATE = 16000


def tone(frequency, seconds=2.0):
    """A sine of amplitude 0.3, [1, samples]."""
    time = np.arange(int(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * frequency * time)[None].astype(np.float32)


def loudness(sound, start, stop):
    """Root mean square of a part, relative to the tone's."""
    part = sound[0, int(start * RATE) : int(stop * RATE)]
    return np.sqrt((part**2).mean()) / (0.3 / np.sqrt(2))


def test_masks_reach_times_between_their_columns():
    ratio = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = resample_ratio(
        np.array([1.0, 2.0]), ratio, np.array([0.0, 1.25, 2.0, 9.0]), 3
    )
    # Nyquist's frequency, which the masks leave out, is as the one below.
    expected = [[0, 1, 1], [0.25, 0.75, 0.75], [1, 0, 0], [1, 0, 0]]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize('samples', [100, 16000, 16001])
def test_a_mask_of_ones_changes_nothing(rng, samples):
    sound = rng.uniform(-1, 1, (2, samples)).astype(np.float32)
    found = apply_ratio(
        sound, RATE, np.array([0.0]), np.ones((1, 256)), 512, 400
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, sound, atol=1e-5)


def test_a_mask_of_the_low_half_leaves_the_low_tone():
    # Bins of 31.25 Hz: 64 of them are below 2 kHz.
    ratio = np.zeros((1, 256))
    ratio[:, :64] = 1
    mixture = tone(500) + tone(5000)
    found = apply_ratio(mixture, RATE, np.array([0.0]), ratio, 512, 400)
    inner = slice(RATE // 10, -RATE // 10)
    np.testing.assert_allclose(found[:, inner], tone(500)[:, inner], atol=2e-3)


def test_a_mask_holds_at_its_time():
    centers = np.array([0.0, 0.9, 1.1, 2.0])
    ratio = np.array([1.0, 1.0, 0.5, 0.5])[:, None].repeat(256, 1)
    found = apply_ratio(tone(500), RATE, centers, ratio, 512, 400)
    assert loudness(found, 0.1, 0.8) == pytest.approx(1, abs=1e-3)
    assert loudness(found, 1.2, 1.9) == pytest.approx(0.5, abs=1e-3)


def test_one_prompt_has_the_mask_that_training_teaches():
    logits = torch.tensor([-2.0, 0.0, 3.0]).view(3, 1, 1).expand(3, 2, 4)
    for one in logits:
        found = share_ratio(one[None], (2, 4))
        torch.testing.assert_close(found, one[None].sigmoid())


def test_prompts_share_what_they_recover():
    logits = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    found = share_ratio(logits, (3, 5))
    assert found.shape == (2, 3, 5)
    together = 1 / (1 + np.exp(-3.0))
    first = np.e / (np.e + np.e**2)
    expected = [first * together, (1 - first) * together]
    np.testing.assert_allclose(found[:, 0, 0].numpy(), expected, rtol=1e-5)


def test_a_head_without_masks_is_told(inferencer):
    assert why_not(inferencer.model) == (
        'BrightAndLoudHead predicts no masks of sounds: that takes CPMHead '
        'with loss_acp'
    )
