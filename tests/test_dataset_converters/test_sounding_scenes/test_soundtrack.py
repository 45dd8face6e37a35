from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.soundtrack import (
    Schedule,
    draw_schedule,
    render_soundtrack,
    sounding_probability,
)

DEMO, HARD = PRESETS['demo'], PRESETS['hard']


@settings(max_examples=25, deadline=None)
@given(
    subset=st.sampled_from(['v1s', 'v1m', 'v2']),
    visible=st.sets(st.integers(1, 8), min_size=2, max_size=4),
    seed=st.integers(0, 2**31),
)
def test_schedule_keeps_the_rules(subset, visible, seed):
    rng = np.random.default_rng(seed)
    schedule = draw_schedule(DEMO, subset, tuple(visible), 10, rng)
    for seen, unseen in zip(
        schedule.sounding, schedule.offscreen, strict=True
    ):
        assert set(seen) <= visible and len(set(seen)) == len(seen) <= 2
        assert not set(unseen) & visible and len(unseen) <= 1
    if subset == 'v1s':
        assert len({seen for seen in schedule.sounding if seen}) <= 1
        assert max(len(seen) for seen in schedule.heard) <= 1


def test_schedule_does_not_know_the_depth_order():
    front, back = (
        draw_schedule(DEMO, 'v2', visible, 10, np.random.default_rng(5))
        for visible in ((2, 7, 4), (7, 4, 2))
    )
    assert front == back


def test_frequencies_of_events_are_those_of_the_preset():
    rng = np.random.default_rng(0)
    seconds = 20000
    schedule = draw_schedule(DEMO, 'v2', (1, 4, 6), seconds, rng)
    events = Counter(
        (len(seen), len(unseen))
        for seen, unseen in zip(
            schedule.sounding, schedule.offscreen, strict=True
        )
    )
    share = {event: count / seconds for event, count in events.items()}
    # 4 standard errors of a share near 0.2 are 0.011.
    assert share[0, 0] == pytest.approx(0.08, abs=0.01)
    assert share[0, 1] == pytest.approx(0.20 * 0.5, abs=0.011)
    assert share[1, 1] + share[2, 1] == pytest.approx(0.20 * 0.5, abs=0.011)
    assert share[1, 0] == pytest.approx(0.72 * 0.5, abs=0.014)
    assert share[2, 0] == pytest.approx(0.72 * 0.5, abs=0.014)


@pytest.mark.parametrize('visible', [(1, 2), (3, 5, 8), (2, 4, 6, 7)])
@pytest.mark.parametrize('subset', ['v1s', 'v2'])
@pytest.mark.parametrize('preset', PRESETS.values(), ids=PRESETS)
def test_probability_agrees_with_drawn_schedules(preset, subset, visible):
    rng = np.random.default_rng(1)
    clips, seconds = (6000, 1) if subset == 'v1s' else (1, 6000)
    counts = Counter()
    for _ in range(clips):
        schedule = draw_schedule(preset, subset, visible, seconds, rng)
        for seen in schedule.sounding:
            counts.update(seen)
    expected = sounding_probability(preset, subset, len(visible))
    for c in visible:  # 4.5 standard errors of a share near 0.6
        assert counts[c] / 6000 == pytest.approx(expected, abs=0.029)


def test_probability_by_hand():
    # Alone off-screen 0.1, silent 0.08; 1.5 objects expected otherwise.
    assert sounding_probability(DEMO, 'v2', 3) == pytest.approx(0.82 * 0.5)
    assert sounding_probability(DEMO, 'v1s', 4) == pytest.approx(0.92 / 4)
    # Alone off-screen 0.12, silent 0.06; 0.4 + 0.7 + 0.75 objects otherwise.
    assert sounding_probability(HARD, 'v2', 5) == pytest.approx(
        0.82 * 1.85 / 5
    )


def level(wave):
    return 20 * np.log10(np.sqrt(np.mean(wave**2)))


def test_soundtrack_is_loud_when_heard_and_never_empty():
    schedule = Schedule(((3,), (), (1, 5)), ((), (), ()))
    wave = render_soundtrack(DEMO, schedule, np.random.default_rng(2))
    assert wave.dtype == np.float32 and wave.shape == (48000,)
    alone, silent, both = (level(part) for part in wave.reshape(3, -1))
    assert -28.5 < alone < -17.5
    assert -62.5 < silent < -51.5
    assert -28 < both < -14.5


def test_hard_scenes_are_noisy():
    silence = Schedule(((),) * 3, ((),) * 3)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        wave = render_soundtrack(HARD, silence, rng)
        assert -46.5 < level(wave) < -33.5


def test_a_source_out_of_view_is_as_loud_as_one_in_view():
    seen = Schedule(((6,),), ((),))
    unseen = Schedule(((),), ((6,),))
    waves = [
        render_soundtrack(DEMO, schedule, np.random.default_rng(3))
        for schedule in (seen, unseen)
    ]
    np.testing.assert_array_equal(*waves)


def spectrogram_features(wave):
    """Mean, spread and peak over time of 32 bands of 8 bins."""
    hops = np.lib.stride_tricks.sliding_window_view(wave, 512)[::160]
    magnitude = np.abs(np.fft.rfft(hops * np.hanning(512)))[:, :256]
    log = np.log(magnitude + 0.01).reshape(len(hops), 32, 8)
    return np.concatenate(
        [
            log.mean(axis=(0, 2)),
            log.std(axis=0).mean(axis=1),
            log.max(axis=(0, 2)),
        ]
    )


def make_heard_seconds(preset, clips, seed):
    rng = np.random.default_rng(seed)
    classes = np.arange(1, len(preset.class_names))
    features, heard = [], []
    for _ in range(clips):
        visible = tuple(rng.permutation(classes)[:3])
        schedule = draw_schedule(preset, 'v2', visible, 1, rng)
        wave = render_soundtrack(preset, schedule, rng)
        features.append(spectrogram_features(wave))
        heard.append(np.isin(classes, schedule.heard[0]))
    return np.array(features), np.array(heard, float)


@pytest.mark.parametrize(('name', 'least'), [('demo', 0.9), ('hard', 0.75)])
def test_a_linear_model_hears_which_classes_sound(name, least):
    features, heard = make_heard_seconds(PRESETS[name], 400, seed=0)
    mean, spread = features.mean(axis=0), features.std(axis=0)

    def design(x):
        return np.c_[(x - mean) / spread, np.ones(len(x))]

    x = design(features)
    weights = np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ heard)
    features, heard = make_heard_seconds(PRESETS[name], 200, seed=1)
    scores = design(features) @ weights
    for c in range(heard.shape[1]):
        present, absent = (scores[heard[:, c] == k, c] for k in (1, 0))
        # Share of pairs in the right order; a deaf model reaches 0.5.
        assert np.mean(present[:, None] > absent) > least
