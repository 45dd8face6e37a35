import copy
import io
import math

import numpy as np
import pytest
import soundfile
from mmengine.fileio import HTTPBackend

from mmcpm.datasets.errors import AudioReadError
from mmcpm.datasets.transforms import CutAudioToFrame, LoadAudioFromFile
from mmcpm.datasets.transforms import audio_loading as loading
from mmcpm.datasets.transforms.audio_loading import (
    convert_channels,
    open_sound,
    read_sound,
    resample_audio,
)

FORMATS = {
    'wav': ('WAV', 'PCM_16'),
    'flac': ('FLAC', 'PCM_16'),
    'ogg': ('OGG', 'VORBIS'),
    'mp3': ('MP3', 'MPEG_LAYER_III'),
}


def tone(frequency, rate, seconds=1.0, amplitude=0.5):
    time = np.arange(round(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype('f4')


def encode(samples, rate, file_format='WAV', subtype='PCM_16'):
    """Encode samples [samples] or [samples, channels]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, subtype, format=file_format)
    return buffer.getvalue()


def load(path, content, **kwargs):
    path.write_bytes(content)
    return LoadAudioFromFile(**kwargs)({'audio_path': str(path)})


def strongest_frequency(audio, rate):
    """The peak of the spectrum, in Hz."""
    spectrum = np.abs(np.fft.rfft(audio))
    return np.argmax(spectrum) * rate / len(audio)


# Formats


@pytest.mark.parametrize('suffix', FORMATS)
@pytest.mark.parametrize('rate', [16000, 44100])
def test_every_format_is_read(tmp_path, suffix, rate):
    content = encode(tone(1000, rate, 2.0), rate, *FORMATS[suffix])
    results = load(tmp_path / f'a.{suffix}', content)
    audio = results['audio']
    assert (audio.dtype, audio.shape) == (np.float32, (1, 32000))
    assert results['sample_rate'] == 16000
    assert strongest_frequency(audio[0], 16000) == 1000
    # Lossy codecs keep the level within a few percent.
    assert np.sqrt(np.mean(audio**2)) == pytest.approx(
        0.5 / math.sqrt(2), rel=0.05
    )


@pytest.mark.parametrize('subtype', ['PCM_U8', 'PCM_24', 'PCM_32', 'FLOAT'])
def test_every_sample_width_gives_the_same_scale(tmp_path, subtype):
    samples = tone(440, 16000)
    audio = load(tmp_path / 'a.wav', encode(samples, 16000, subtype=subtype))
    assert np.abs(audio['audio'][0] - samples).max() < 2 / 128


def test_name_of_the_file_does_not_matter(tmp_path):
    content = encode(tone(440, 16000), 16000, 'FLAC')
    assert load(tmp_path / 'audio.wav', content)['audio'].shape == (1, 16000)


def test_file_is_fetched_through_its_backend(monkeypatch):
    content = encode(tone(440, 16000), 16000)
    asked = []

    def get(self, address):
        asked.append(address)
        return content

    monkeypatch.setattr(HTTPBackend, 'get', get)
    load_audio = LoadAudioFromFile(backend_args={'backend': 'http'})
    results = load_audio({'audio_path': 'http://host/audio.wav'})
    assert asked == ['http://host/audio.wav']
    assert results['audio'].shape == (1, 16000)


# Sample rates


@pytest.mark.parametrize(
    'rate', [8000, 11025, 16000, 22050, 22051, 32000, 44056, 44099, 48000]
)
def test_any_rate_is_resampled(rate):
    audio = tone(1000, rate)[None]
    resampled = resample_audio(audio, rate, 16000)
    assert resampled.dtype == np.float32
    assert resampled.shape == (1, 16000)
    expected = tone(1000, 16000)
    # Away from the ends, where the signal is cut off.
    middle = slice(1600, -1600)
    assert np.abs(resampled[0, middle] - expected[middle]).max() < 0.01


@pytest.mark.parametrize('rate', [44100, 44099])
def test_what_the_new_rate_cannot_carry_is_removed(rate):
    resampled = resample_audio(tone(12000, rate)[None], rate, 16000)
    assert np.abs(resampled[0, 1600:-1600]).max() < 0.01


@pytest.mark.parametrize(
    ('rate', 'target'),
    [
        (8000, 16000),
        (22050, 16000),
        (44100, 16000),
        (48000, 16000),
        (16000, 8000),
    ],
)
def test_with_and_without_torchaudio_samples_are_the_same(
    monkeypatch, rate, target
):
    """Not every build of PyTorch has a torchaudio that can be imported."""
    pytest.importorskip('torchaudio.functional', exc_type=Exception)
    audio = np.random.default_rng(0).normal(size=(2, rate)).astype('f4')
    expected = resample_audio(audio, rate, target)
    monkeypatch.setattr(loading, 'torchaudio_resample', None)
    resampled = resample_audio(audio, rate, target)
    assert resampled.dtype == expected.dtype
    assert resampled.shape == expected.shape
    # torchaudio computes its filter in single precision.
    np.testing.assert_allclose(resampled, expected, atol=5e-4)


@pytest.mark.parametrize('rate', [8000, 44100, 48000])
def test_without_torchaudio_a_tone_keeps_its_shape(monkeypatch, rate):
    monkeypatch.setattr(loading, 'torchaudio_resample', None)
    resampled = resample_audio(tone(1000, rate)[None], rate, 16000)
    middle = slice(1600, -1600)
    expected = tone(1000, 16000)[middle]
    assert np.abs(resampled[0, middle] - expected).max() < 0.01
    if rate > 32000:
        too_high = resample_audio(tone(12000, rate)[None], rate, 16000)
        assert np.abs(too_high[0, middle]).max() < 0.01


def test_length_is_rounded_up():
    audio = np.zeros((2, 1001), np.float32)
    assert resample_audio(audio, 48000, 16000).shape == (2, 334)
    assert resample_audio(audio, 15999, 16000).shape == (2, 1002)


def test_equal_rate_leaves_every_sample():
    audio = tone(440, 16000)[None]
    assert resample_audio(audio, 16000, 16000) is audio


def test_other_target_rate(tmp_path):
    content = encode(tone(440, 16000), 16000)
    results = load(tmp_path / 'a.wav', content, sample_rate=8000)
    assert results['audio'].shape == (1, 8000)
    assert results['sample_rate'] == 8000


# Channels


@pytest.mark.parametrize('channels', [1, 2, 3, 6])
def test_mono_is_the_mean_of_all_channels(tmp_path, channels):
    levels = np.arange(1, channels + 1) / 16
    samples = np.tile(levels, (100, 1))
    audio = load(tmp_path / 'a.wav', encode(samples, 16000))['audio']
    assert audio.shape == (1, 100)
    assert audio[0] == pytest.approx(levels.mean(), abs=1e-4)


def test_stereo_keeps_left_and_right(tmp_path):
    samples = np.tile([0.25, -0.5], (100, 1))
    audio = load(
        tmp_path / 'a.wav', encode(samples, 16000), channels='stereo'
    )['audio']
    assert audio[:, 0].tolist() == [0.25, -0.5]
    assert audio.shape == (2, 100)


def test_stereo_duplicates_one_channel():
    audio = np.arange(6, dtype=np.float32)[None]
    stereo = convert_channels(audio, 'stereo')
    assert stereo.shape == (2, 6)
    assert (stereo == audio).all()


def test_stereo_refuses_more_than_two_channels(tmp_path):
    content = encode(np.zeros((100, 4)), 16000)
    with pytest.raises(AudioReadError) as error:
        load(tmp_path / 'a.wav', content, channels='stereo')
    message = str(error.value)
    assert str(tmp_path / 'a.wav') in message
    assert '4 channels where stereo takes one or two' in message


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'channels': 'left'}, "'mono' or 'stereo', got 'left'"),
        ({'sample_rate': 0}, 'positive number of Hz, got 0'),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        LoadAudioFromFile(**arguments)


# Files that cannot be used


def cut(content, share):
    return content[: int(len(content) * share)]


SOUND = encode(tone(440, 16000, 5.0), 16000)
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 80000)
BROKEN = tone(440, 16000)
BROKEN[[5, 6]] = np.nan, np.inf


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        (b'', r'the file is empty \(0 bytes\)'),
        (b'\x00' * 1000, '1000 bytes arrived and could not be decoded'),
        (b'<html>404</html>', '16 bytes arrived and could not be decoded'),
        (cut(SOUND, 0.5), r'truncated: 2\.50 s of 5\.00 s of sound are miss'),
        (SOUND[:-330], 'truncated: 0.01 s of 5.00 s of sound are missing'),
        (SOUND[:20], '20 bytes arrived and could not be decoded'),
        (cut(encode(NOISE, 16000, 'FLAC'), 0.5), 'could not be decoded'),
        (
            cut(encode(NOISE, 16000, 'MP3', 'MPEG_LAYER_III'), 0.5),
            r'truncated: 2\.\d\d s of 5\.00 s of sound are missing',
        ),
        (encode(np.zeros(0), 16000), 'it holds no samples'),
        (
            encode(BROKEN, 16000, subtype='FLOAT'),
            '2 of the 16000 samples read are NaN or infinite',
        ),
        (encode(tone(1, 100), 100), 'a sample rate of 100 Hz'),
        (encode(tone(1, 10**6), 10**6), 'a sample rate of 1000000 Hz'),
    ],
)
def test_bad_file_is_refused_with_its_name(tmp_path, content, match):
    path = tmp_path / 'audio.wav'
    with pytest.raises(AudioReadError, match=match) as error:
        load(path, content)
    message = str(error.value)
    assert message.startswith(f'Cannot read the audio file {path}: ')
    assert 'Expected a whole wav, flac, ogg or mp3 file; restore' in message


def test_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(AudioReadError, match=f'{tmp_path}/absent.wav'):
        LoadAudioFromFile()({'audio_path': str(tmp_path / 'absent.wav')})


# Parts


@pytest.mark.parametrize('channels', ['mono', 'stereo'])
@pytest.mark.parametrize(
    ('rate', 'target'),
    [
        (16000, 16000),
        (8000, 16000),
        (22050, 16000),
        (44100, 16000),
        (44099, 16000),
        (48000, 16000),
        (96000, 22050),
    ],
)
def test_a_part_equals_that_of_the_whole(tmp_path, rate, target, channels):
    rng = np.random.default_rng(0)
    number = rate * 3 + 7
    noise = rng.uniform(-0.5, 0.5, (number, 2)).astype('f4')
    path = tmp_path / 'a.wav'
    path.write_bytes(encode(noise, rate, subtype='FLOAT'))
    whole = resample_audio(
        convert_channels(np.ascontiguousarray(noise.T), channels), rate, target
    )
    total = math.ceil(number * target / rate)
    assert whole.shape[1] == total
    places = [(0, 100), (1, 5), (total - 3, 50), (total, 9), (total + 9, 9)]
    places += [(int(s), 777) for s in rng.integers(0, total, 12)]
    with open_sound(str(path)) as sound:
        for start, length in places:
            part = read_sound(sound, target, channels, start, length)
            expected = whole[:, start : start + length]
            assert part.shape == expected.shape
            np.testing.assert_allclose(part, expected, atol=1e-6)
        np.testing.assert_array_equal(
            read_sound(sound, target, channels), whole
        )


@pytest.mark.parametrize('frame_index', [0, 2, 0.5, 1.04, 4.75, 7])
def test_the_window_of_a_frame_is_all_that_is_decoded(
    tmp_path, monkeypatch, frame_index
):
    rate = 44100
    noise = np.random.default_rng(0).uniform(-1, 1, 5 * rate).astype('f4')
    path = tmp_path / 'a.wav'
    path.write_bytes(encode(noise, rate, subtype='FLOAT'))
    whole = resample_audio(noise[None], rate, 16000)
    decoded = []
    read = loading.SoundFile.read

    def count(self, start, stop):
        decoded.append(min(stop, self.frames) - start)
        return read(self, start, stop)

    monkeypatch.setattr(loading.SoundFile, 'read', count)
    results = LoadAudioFromFile()(
        {'audio_path': str(path), 'frame_index': frame_index}
    )
    results = CutAudioToFrame()(results)
    first = round(frame_index * 16000)
    expected = whole[:, first : first + 16000]
    assert type(results['audio']) is np.ndarray
    assert results['audio'].shape == (1, 16000)
    assert results['audio_valid_samples'] == expected.shape[1]
    np.testing.assert_allclose(
        results['audio'][:, : expected.shape[1]], expected, atol=1e-6
    )
    assert max(decoded) < 1.1 * rate


def test_what_is_not_cut_is_the_whole_waveform(tmp_path):
    samples = tone(440, 16000)
    (tmp_path / 'a.wav').write_bytes(encode(samples, 16000, subtype='FLOAT'))
    info = {'audio_path': str(tmp_path / 'a.wav'), 'frame_index': 0}
    audio = copy.deepcopy(LoadAudioFromFile()(info))['audio']
    assert audio.shape == (1, 16000) and len(audio) == 1
    np.testing.assert_array_equal(audio[0], samples)
    np.testing.assert_array_equal(audio * 2, [2 * samples])
    assert np.ascontiguousarray(audio).dtype == np.float32


def test_representation():
    assert repr(LoadAudioFromFile(channels='stereo')) == (
        "LoadAudioFromFile(sample_rate=16000, channels='stereo', "
        'backend_args=None)'
    )
