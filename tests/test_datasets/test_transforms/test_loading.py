import io
import math

import numpy as np
import pytest
import soundfile
from mmengine.fileio import HTTPBackend

from mmcpm.datasets.errors import AudioReadError
from mmcpm.datasets.transforms import LoadAudioFromFile, loading
from mmcpm.datasets.transforms.loading import (
    convert_channels,
    decode_audio,
    missing_wav_bytes,
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
        (cut(SOUND, 0.5), r'truncated: 80022 bytes of samples are missing'),
        (SOUND[:-2], 'truncated: 2 bytes of samples are missing'),
        (SOUND[:20], '20 bytes arrived and could not be decoded'),
        (cut(encode(NOISE, 16000, 'FLAC'), 0.5), 'could not be decoded'),
        (
            cut(encode(NOISE, 16000, 'MP3', 'MPEG_LAYER_III'), 0.5),
            r'truncated: \d+ of \d+ samples could be decoded',
        ),
        (encode(np.zeros(0), 16000), 'it holds no samples'),
        (
            encode(BROKEN, 16000, subtype='FLOAT'),
            '2 of its 16000 samples are NaN or infinite',
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


def test_wav_of_open_length_is_no_truncated_file():
    # What a program writes that cannot go back to fill in the length.
    place = SOUND.index(b'data') + 4
    content = SOUND[:place] + b'\xff\xff\xff\xff' + SOUND[place + 4 :]
    assert missing_wav_bytes(content) == 0
    assert decode_audio(content)[0].shape == (1, 80000)


def test_chunks_around_the_samples_are_stepped_over():
    place = SOUND.index(b'data')
    # An odd chunk is followed by one byte of padding.
    extra = b'LIST' + (5).to_bytes(4, 'little') + b'data!' + b'\x00'
    content = SOUND[:place] + extra + SOUND[place:]
    assert missing_wav_bytes(content) == 0
    assert missing_wav_bytes(content[:-7]) == 7
    assert missing_wav_bytes(SOUND[:place]) == 0


def test_representation():
    assert repr(LoadAudioFromFile(channels='stereo')) == (
        "LoadAudioFromFile(sample_rate=16000, channels='stereo', "
        'backend_args=None)'
    )
