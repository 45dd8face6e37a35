import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose, RandomFlip, TestTimeAug

from mmcpm.datasets.transforms import (
    CutAudioToFrame,
    RecordSoundingClasses,
    SwapStereoOnFlip,
)
from mmcpm.datasets.transforms.audio import cut_around, cut_window, fit_clip

# The window of a frame


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.integers(0, 60), st.integers(1, 30))
def test_window_equals_zero_padded_signal(samples, start, length):
    audio = np.arange(1, 2 * samples + 1, dtype=np.float32).reshape(2, -1)
    window, valid = cut_window(audio, start, length)
    padded = np.concatenate([audio, np.zeros((2, 100), np.float32)], axis=1)
    assert (window == padded[:, start : start + length]).all()
    assert window.shape == (2, length)
    assert valid == np.count_nonzero(window[0])


def test_window_is_a_copy():
    audio = np.ones((1, 10), np.float32)
    window, _ = cut_window(audio, 0, 10)
    window[:] = 0
    assert audio.all()


def test_window_never_starts_before_the_sound():
    with pytest.raises(ValueError, match='start at sample -1'):
        cut_window(np.ones((1, 10), np.float32), -1, 4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(-50, 50), st.integers(1, 30))
def test_window_of_a_sound_that_follows_itself(samples, start, length):
    audio = np.arange(2 * samples, dtype=np.float32).reshape(2, -1)
    window = cut_around(audio, start, length)
    for i in range(length):
        assert (window[:, i] == audio[:, (start + i) % samples]).all()


def test_no_sound_follows_itself():
    assert cut_around(np.zeros((1, 0), np.float32), 3, 4).shape == (1, 4)


def cut(audio, frame_index, rate=16000, **kwargs):
    return CutAudioToFrame(**kwargs)(
        {'audio': audio, 'sample_rate': rate, 'frame_index': frame_index}
    )


@pytest.mark.parametrize('num_seconds', [5, 10])
def test_frame_hears_its_own_second(sine_second, num_seconds):
    seconds = [sine_second(i) for i in range(num_seconds)]
    audio = np.concatenate(seconds)[None]
    for i in range(num_seconds):
        results = cut(audio, i)
        assert (results['audio'][0] == seconds[i]).all()
        assert results['audio_valid_samples'] == 16000
        peak = np.argmax(np.abs(np.fft.rfft(results['audio'][0])))
        assert peak == 300 + 100 * i


def test_short_sound_stays_aligned(sine_second):
    # 5 s of sound for 10 frames, as if a clip had been padded to 10 s.
    audio = np.concatenate([sine_second(i) for i in range(5)])[None]
    assert (cut(audio, 4)['audio'][0] == sine_second(4)).all()
    silent = cut(audio, 5)
    assert not silent['audio'].any()
    assert silent['audio'].shape == (1, 16000)
    assert silent['audio_valid_samples'] == 0


def test_sound_that_ends_within_the_second_is_padded():
    results = cut(np.ones((2, 20000), np.float32), 1)
    assert results['audio'].dtype == np.float32
    assert results['audio'].shape == (2, 16000)
    assert results['audio_valid_samples'] == 4000
    assert results['audio'][:, :4000].all()
    assert not results['audio'][:, 4000:].any()


def test_window_of_three_seconds_starts_at_the_frame():
    audio = np.arange(100, dtype=np.float32)[None]
    results = cut(audio, 2, rate=10, seconds=3.0)
    assert results['audio'].tolist() == [list(range(20, 50))]


def test_window_of_part_of_a_second():
    audio = np.arange(100, dtype=np.float32)[None]
    assert cut(audio, 2, rate=10, seconds=0.46)['audio'].shape == (1, 5)


def test_long_clip_gives_its_last_second():
    audio = np.arange(600, dtype=np.float32)[None]
    assert cut(audio, 59, rate=10)['audio'][0].tolist() == list(
        range(590, 600)
    )


def test_window_has_a_length():
    with pytest.raises(ValueError, match='positive, got 0'):
        CutAudioToFrame(seconds=0)
    with pytest.raises(ValueError, match='step must be positive, got 0'):
        CutAudioToFrame(step=0)
    with pytest.raises(ValueError, match='at least seconds=3.*got 2'):
        CutAudioToFrame(seconds=3, clip_seconds=2)


def test_windows_may_drift_from_the_frames():
    audio = np.arange(160000, dtype=np.float32)[None]
    first = [int(cut(audio, i, step=0.96)['audio'][0, 0]) for i in (0, 1, 9)]
    # 0.36 s early at the tenth frame.
    assert first == [0, 15360, 138240]
    results = {'audio': audio, 'sample_rate': 16000, 'frame_index': 9}
    results = CutAudioToFrame(step=0.96, clip_seconds=5)(
        {**results, 'audio_start': 7.5}
    )
    assert results['audio'][0, 0] == 120000


def test_a_clip_is_repeated_or_cropped_at_its_center():
    audio = np.arange(25, dtype=np.float32)[None]
    assert fit_clip(audio, 60)[0].tolist() == [i % 25 for i in range(60)]
    assert fit_clip(audio, 10)[0].tolist() == list(range(7, 17))
    assert fit_clip(np.zeros((2, 0)), 4).tolist() == [[0] * 4] * 2
    # 2.5 s for ten frames: the third second is continued by the beginning.
    window = cut(audio, 2, rate=10, clip_seconds=10.0)
    assert window['audio'][0].tolist() == [20, 21, 22, 23, 24, 0, 1, 2, 3, 4]
    assert window['audio_valid_samples'] == 10
    # Twelve seconds for ten: the first is left out.
    audio = np.arange(120, dtype=np.float32)[None]
    assert cut(audio, 3, rate=10, clip_seconds=10.0)['audio'][0, 0] == 40


# Which classes sound


def record(label_map, **kwargs):
    results = {'gt_seg_map': np.array(label_map, np.uint8)}
    return RecordSoundingClasses(**kwargs)(results)['audio_labels']


@pytest.mark.parametrize(
    ('label_map', 'expected'),
    [
        ([[0, 0], [0, 0]], ()),
        ([[70, 0], [3, 70]], (3, 70)),
        ([[255, 1], [255, 0]], (1,)),
        ([[255, 255]], ()),
    ],
)
def test_classes_of_the_label_map_sound(label_map, expected):
    labels = record(label_map)
    assert labels == expected
    assert all(type(label) is int for label in labels)


def test_label_map_must_be_loaded_before():
    with pytest.raises(KeyError, match='place it after the transform'):
        RecordSoundingClasses()({'img': np.zeros((2, 2, 3))})


# Left and right

STEREO = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@pytest.mark.parametrize(
    ('flip', 'direction', 'swapped'),
    [
        (True, 'horizontal', True),
        (True, 'diagonal', True),
        (True, 'vertical', False),
        (False, None, False),
    ],
)
def test_channels_follow_a_mirrored_frame(flip, direction, swapped):
    results = SwapStereoOnFlip()(
        {'audio': STEREO.copy(), 'flip': flip, 'flip_direction': direction}
    )
    expected = STEREO[::-1] if swapped else STEREO
    assert (results['audio'] == expected).all()
    assert results['audio'].flags.c_contiguous
    assert results['stereo_swapped'] is swapped


def test_frame_without_flip_keeps_its_channels():
    results = SwapStereoOnFlip()({'audio': STEREO.copy()})
    assert (results['audio'] == STEREO).all()


def test_mono_is_left_alone():
    mono = STEREO[:1]
    results = SwapStereoOnFlip()(
        {'audio': mono, 'flip': True, 'flip_direction': 'horizontal'}
    )
    assert results['audio'] is mono


def test_second_use_does_not_swap_back():
    pipeline = Compose(
        [RandomFlip(prob=1.0), SwapStereoOnFlip(), SwapStereoOnFlip()]
    )
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    results = pipeline({'img': image, 'audio': STEREO.copy()})
    assert (results['img'] == image[:, ::-1]).all()
    assert (results['audio'] == STEREO[::-1]).all()


def test_branches_of_test_time_augmentation_are_independent():
    augment = TestTimeAug(
        transforms=[
            [RandomFlip(prob=1.0), RandomFlip(prob=0.0)],
            [SwapStereoOnFlip()],
        ]
    )
    image = np.zeros((2, 2, 3), np.uint8)
    results = augment({'img': image, 'audio': STEREO.copy()})
    assert results['flip'] == [True, False]
    assert (results['audio'][0] == STEREO[::-1]).all()
    assert (results['audio'][1] == STEREO).all()


def test_representations():
    assert repr(CutAudioToFrame(step=0.96)) == (
        'CutAudioToFrame(seconds=1.0, step=0.96, clip_seconds=None)'
    )
    assert repr(SwapStereoOnFlip()) == 'SwapStereoOnFlip()'
    assert repr(RecordSoundingClasses()) == 'RecordSoundingClasses()'
