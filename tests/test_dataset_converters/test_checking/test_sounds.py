import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.dataset_converters.checking.sounds import check_sound


@pytest.fixture
def wav(tmp_path):
    """Write a sound; gives its path."""

    def write(seconds, rate=16000, channels=1, name='a.wav'):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, channels))
        samples = np.repeat(noise, round(seconds * rate), axis=0)
        # Channels of opposite sign would cancel each other.
        samples = np.abs(samples)
        soundfile.write(tmp_path / name, samples, rate)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize('deep', [False, True])
@pytest.mark.parametrize(
    ('seconds', 'rate', 'channels', 'kinds'),
    [
        (5, 16000, 1, []),
        (5, 16000, 2, []),
        (4.8, 16000, 1, []),
        (4.7, 16000, 1, ['short']),
        (5.2, 16000, 1, []),
        (5.3, 16000, 1, ['long']),
        (5, 8000, 1, ['rate']),
        (5, 96000, 6, ['rate', 'channels']),
    ],
)
def test_what_is_noted(deep, seconds, rate, channels, kinds, wav):
    found = check_sound(wav(seconds, rate, channels), 5, deep)
    assert [kind for kind, _ in found] == kinds


def test_longer_sounds_where_they_may_be(wav):
    assert check_sound(wav(10), 3, False, at_least=True) == []
    assert check_sound(wav(2), 3, False, at_least=True)[0][0] == 'short'


@pytest.mark.parametrize('name', ['a.flac', 'a.ogg', 'a.mp3'])
def test_other_formats(name, wav):
    assert check_sound(wav(5, name=name), 5, True) == []


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(322, 160_043))
def test_every_cut_is_noticed_from_the_header(cut, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / 'cut.wav'
    soundfile.write(path, np.zeros(80000), 16000)
    path.write_bytes(path.read_bytes()[:-cut])
    assert [kind for kind, _ in check_sound(str(path), 5, False)] == ['sound']


@pytest.mark.parametrize(
    ('data', 'told'),
    [
        (b'', 'empty'),
        (b'no sound' * 9, 'could not be decoded'),
        (b'RIFF', 'could not be decoded'),
    ],
)
def test_what_is_no_sound(data, told, tmp_path):
    (tmp_path / 'a.wav').write_bytes(data)
    ((kind, what),) = check_sound(str(tmp_path / 'a.wav'), 5, False)
    assert kind == 'sound'
    assert told in what


def test_a_sound_without_samples(wav):
    found = check_sound(wav(0), 5, False)
    assert found == [('sound', 'it holds no samples')]


def test_only_decoding_finds_samples_that_are_no_numbers(tmp_path):
    samples = np.zeros(80000)
    samples[7] = np.nan
    path = str(tmp_path / 'a.wav')
    soundfile.write(path, samples, 16000, subtype='FLOAT')
    assert check_sound(path, 5, False) == []
    assert 'NaN' in check_sound(path, 5, True)[0][1]


TONE = np.sin(np.arange(80000) / 5) / 2


@pytest.mark.parametrize('deep', [False, True])
@pytest.mark.parametrize(
    ('channels', 'found'),
    [
        ([TONE, -TONE], [('canceled', 'the mean is ')]),
        ([TONE, -0.9 * TONE], [('canceled', 'the mean is 26 dB quieter')]),
        # A tenth of both is left: 20 dB.
        ([TONE, -0.8 * TONE], []),
        ([TONE, TONE], []),
        ([TONE, np.roll(TONE, 8)], []),
        ([TONE], []),
    ],
)
def test_channels_that_cancel_each_other(channels, found, deep, tmp_path):
    path = str(tmp_path / 'a.wav')
    soundfile.write(path, np.stack(channels, 1), 16000, subtype='FLOAT')
    ((kind, told),) = check_sound(path, 5, deep) or [(None, None)]
    assert (kind, True) == (
        (found[0][0], told.startswith(found[0][1])) if found else (None, True)
    )


def test_silence_and_silent_channels(tmp_path):
    path = str(tmp_path / 'a.wav')
    soundfile.write(path, 0 * TONE, 16000)
    assert check_sound(path, 5, True) == [('silent', 'nothing is heard')]
    soundfile.write(path, np.stack([TONE, 0 * TONE], 1), 16000)
    assert check_sound(path, 5, True) == [
        ('silent', 'channel 2 of 2 is silent')
    ]
    assert check_sound(path, 5, False) == []


def test_an_open_length_is_noted(tmp_path):
    path = tmp_path / 'a.wav'
    soundfile.write(path, TONE, 16000)
    data = bytearray(path.read_bytes())
    data[40:44] = bytes(4)
    path.write_bytes(data)
    assert check_sound(str(path), 5, False) == [('open', '5.00 s are there')]


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_sound(str(tmp_path / 'a.wav'), 5, False)
