import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.registry import TRANSFORMS

from mmcpm.datasets import AudioReadError, LoadOffscreenAudio


def frame(channels=1, samples=16000):
    return {
        'audio': np.zeros((channels, samples), np.float32),
        'sample_rate': 16000,
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'street').mkdir()
    ramp = np.linspace(-0.5, 0.5, 40000)
    soundfile.write(tmp_path / 'street' / 'a.wav', ramp, 16000, 'FLOAT')
    (tmp_path / 'notes.txt').write_text('no sound')
    return tmp_path


def test_window_of_a_recording(folder):
    transform = TRANSFORMS.build(
        dict(type='LoadOffscreenAudio', folder=str(folder))
    )
    assert [file.endswith('a.wav') for file in transform.files] == [True]
    np.random.seed(0)
    starts = set()
    for _ in range(4):
        window = transform(frame())['offscreen_audio']
        assert window.shape == (1, 16000)
        # A piece of the ramp, as it is.
        np.testing.assert_allclose(np.diff(window[0]), 1 / 39999, atol=1e-6)
        starts.add(float(window[0, 0]))
    assert len(starts) == 4


@given(st.integers(1, 3), st.integers(100, 30000), st.integers(1, 2))
@settings(max_examples=12, deadline=None)
def test_shape_is_that_of_the_frame(channels, samples, wanted):
    import tempfile

    if channels == 3 and wanted == 2:
        return
    with tempfile.TemporaryDirectory() as folder:
        sound = np.full((samples, channels), 0.25)
        soundfile.write(f'{folder}/a.wav', sound, 8000)
        transform = LoadOffscreenAudio(folder=folder)
        window = transform(frame(wanted, 20000))['offscreen_audio']
    assert window.shape == (wanted, 20000)
    # Resampled to twice the samples; silence where the recording ends.
    assert np.all(window[:, 2 * samples :] == 0)
    assert abs(window[0, min(samples, 10000)] - 0.25) < 0.05


def test_unreadable_recording_is_named(folder):
    (folder / 'street' / 'a.wav').write_bytes(b'RIFF')
    with pytest.raises(AudioReadError, match='a.wav.*Remove or replace'):
        LoadOffscreenAudio(folder=str(folder))(frame())


def test_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='no .wav.*leave the transf'):
        LoadOffscreenAudio(folder=str(tmp_path))
