import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.datasets.errors import SampleReadError
from mmcpm.datasets.transforms import LoadSoundSources, SwapStereoOnFlip
from mmcpm.datasets.transforms.audio_loading import open_sound
from mmcpm.datasets.transforms.sound_sources import mix_sources, read_center

RATE = 16000


def write(path, samples, rate=RATE):
    soundfile.write(path, np.asarray(samples).T, rate, subtype='FLOAT')
    return str(path)


@pytest.mark.parametrize(
    ('samples', 'first', 'valid'),
    # The figures of VGGSound's ten seconds and of what is too short.
    [(160_000, 56_000, 48_000), (48_001, 0, 48_000), (47_000, 0, 47_000)],
)
def test_center_is_read_and_short_sounds_keep_their_start(
    samples, first, valid, tmp_path
):
    ramp = np.arange(1, samples + 1) / 2**18
    path = write(tmp_path / 'a.wav', ramp)
    with open_sound(path) as sound:
        window = read_center(sound, RATE, 'mono', 48_000)
    assert window.shape == (1, valid)
    assert window[0, 0] * 2**18 == first + 1
    assert window[0, -1] * 2**18 == first + valid
    results = LoadSoundSources(channels='mono')({'audio_path': path})
    assert results['audio'].shape == (1, 48_000)
    assert results['audio_valid_samples'] == valid
    assert not results['audio'][0, valid:].any()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.lists(st.floats(-1, 1, width=32), min_size=5, max_size=5),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_sources_are_panned_and_added(sources):
    mixed = mix_sources(
        [np.float32([wave]) for _, wave in sources], [p for p, _ in sources]
    )
    for i in range(5):
        left = sum(wave[i] * (1 - p) for p, wave in sources)
        right = sum(wave[i] * p for p, wave in sources)
        np.testing.assert_allclose(mixed[:, i], [left, right], atol=1e-5)
    assert mixed.dtype == np.float32


@pytest.fixture
def recordings(tmp_path, rng):
    """Two recordings: five seconds at 16 kHz, and two seconds in stereo."""
    waves = (
        rng.uniform(-0.5, 0.5, 5 * RATE).astype(np.float32),
        rng.uniform(-0.5, 0.5, (2, 2 * RATE)).astype(np.float32),
    )
    paths = [write(tmp_path / f'{i}.wav', w) for i, w in enumerate(waves)]
    return paths, waves


def expected_windows(waves):
    long = waves[0][RATE : 4 * RATE]
    short = np.pad((waves[1][0] + waves[1][1]) / 2, (0, RATE))
    return long, short


def test_stereo_places_every_recording(recordings):
    paths, waves = recordings
    results = LoadSoundSources()(
        {'audio_sources': [(paths[0], 0.25), (paths[1], 1.0)]}
    )
    long, short = expected_windows(waves)
    assert results['audio'].shape == (2, 48_000)
    assert results['audio'].dtype == np.float32
    np.testing.assert_allclose(results['audio'][0], 0.75 * long, atol=1e-6)
    np.testing.assert_allclose(
        results['audio'][1], 0.25 * long + short, atol=1e-6
    )
    assert results['sample_rate'] == RATE
    assert results['audio_valid_samples'] == 48_000


def test_mono_is_the_sum_and_needs_no_positions(recordings):
    paths, waves = recordings
    load = LoadSoundSources(channels='mono')
    mono = load({'audio_sources': [(path, None) for path in paths]})['audio']
    assert mono.shape == (1, 48_000)
    np.testing.assert_allclose(
        mono[0], sum(expected_windows(waves)), atol=1e-6
    )
    stereo = LoadSoundSources()(
        {'audio_sources': [(paths[0], 0.3), (paths[1], 0.9)]}
    )['audio']
    np.testing.assert_allclose(stereo.sum(0), mono[0], atol=1e-6)


def test_a_flip_mirrors_the_positions(recordings):
    paths, _ = recordings

    def heard(positions, flip):
        sources = list(zip(paths, positions, strict=True))
        results = LoadSoundSources()({'audio_sources': sources})
        results.update(flip=flip, flip_direction='horizontal')
        return SwapStereoOnFlip()(results)['audio']

    np.testing.assert_allclose(
        heard((0.2, 0.7), True), heard((0.8, 0.3), False), atol=1e-6
    )


@pytest.mark.parametrize('rate', [8000, 44100, 96000])
def test_other_rates_are_resampled_before_the_cut(tmp_path, rate):
    time = np.arange(5 * rate) / rate
    wave = 0.5 * np.sin(2 * np.pi * (500 + 200 * np.floor(time)) * time)
    path = write(tmp_path / 'a.wav', wave, rate)
    audio = LoadSoundSources(channels='mono')({'audio_sources': [(path, 0)]})
    for second in range(3):
        part = audio['audio'][0, second * RATE : (second + 1) * RATE]
        peak = np.argmax(np.abs(np.fft.rfft(part)))
        assert peak == 500 + 200 * (second + 1)


def test_finished_mixtures_are_read(tmp_path, rng):
    stereo = rng.uniform(-0.5, 0.5, (2, 3 * RATE)).astype(np.float32)
    mono = rng.uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    info = {
        'audio_path': write(tmp_path / 's.wav', stereo),
        'mono_audio_path': write(tmp_path / 'm.wav', mono),
    }
    heard = LoadSoundSources()(dict(info))['audio']
    np.testing.assert_array_equal(heard, stereo)
    heard = LoadSoundSources(channels='mono')(dict(info))['audio']
    np.testing.assert_array_equal(heard[0], mono)


def test_stereo_without_positions_is_refused(recordings):
    with pytest.raises(SampleReadError, match='audio_pos') as error:
        LoadSoundSources()({'audio_sources': [(recordings[0][0], None)]})
    assert "channels='mono'" in str(error.value)


def test_the_recording_at_fault_is_named(recordings, tmp_path):
    bad = tmp_path / 'lost.wav'
    with pytest.raises(SampleReadError, match='lost.wav: no such') as error:
        LoadSoundSources()(
            {'audio_sources': [(recordings[0][0], 0.5), (str(bad), 0.5)]}
        )
    assert error.value.path == str(bad)
    six = write(tmp_path / 'six.wav', np.zeros((6, 100)))
    with pytest.raises(SampleReadError, match='has 6 channels'):
        LoadSoundSources()({'audio_path': six})
    # A recording is made mono, of however many channels.
    LoadSoundSources()({'audio_sources': [(six, 0.5)]})


def test_no_duration_is_refused():
    with pytest.raises(ValueError, match='got 0'):
        LoadSoundSources(seconds=0)


def test_a_short_recording_may_be_repeated(tmp_path, rng):
    short = rng.uniform(-1, 1, RATE).astype(np.float32)
    write(tmp_path / 'short.wav', short)
    results = LoadSoundSources(channels='mono', repeat_short=True)(
        {'audio_sources': [(str(tmp_path / 'short.wav'), None)]}
    )
    np.testing.assert_allclose(
        results['audio'][0], np.tile(short, 3), atol=1e-4
    )
    assert results['audio_valid_samples'] == 3 * RATE
