import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.datasets.checking.sounds import check_sound, read_sound_header


@pytest.fixture
def wav(tmp_path):
    """Write a sound; gives its path."""

    def write(seconds, rate=16000, channels=1, name='a.wav'):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, channels))
        samples = np.repeat(noise, round(seconds * rate), axis=0)
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
@given(cut=st.integers(1, 160_043))
def test_every_cut_is_noticed_from_the_header(cut, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / 'cut.wav'
    soundfile.write(path, np.zeros(80000), 16000)
    path.write_bytes(path.read_bytes()[:-cut])
    assert [kind for kind, _ in check_sound(str(path), 5, False)] == ['sound']


@pytest.mark.parametrize(
    ('data', 'told'),
    [(b'', 'empty'), (b'no sound' * 9, 'no sound'), (b'RIFF', 'no sound')],
)
def test_what_is_no_sound(data, told, tmp_path):
    (tmp_path / 'a.wav').write_bytes(data)
    ((kind, what),) = check_sound(str(tmp_path / 'a.wav'), 5, False)
    assert kind == 'sound'
    assert told in what


def test_a_sound_without_samples(wav):
    with pytest.raises(ValueError, match='no samples'):
        read_sound_header(wav(0))


def test_only_decoding_finds_samples_that_are_no_numbers(tmp_path):
    samples = np.zeros(80000)
    samples[7] = np.nan
    path = str(tmp_path / 'a.wav')
    soundfile.write(path, samples, 16000, subtype='FLOAT')
    assert check_sound(path, 5, False) == []
    assert 'NaN' in check_sound(path, 5, True)[0][1]


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_sound(str(tmp_path / 'a.wav'), 5, False)
