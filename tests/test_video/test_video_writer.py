"""Videos that are written: times, sound, and what is left of a broken one."""

from fractions import Fraction

import numpy as np
import pytest

from mmcpm.utils.errors import UsageError
from mmcpm.video.sound_stream import SoundStream, WaveformSound
from mmcpm.video.video_reader import VideoReader
from mmcpm.video.video_writer import VideoWriter, is_playable


def picture(value, size=(48, 64)):
    return np.full((*size, 3), value, np.uint8)


def tone(seconds, rate, channels=1):
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 500 * time)
    return WaveformSound(
        np.repeat(wave[None], channels, 0).astype(np.float32), rate
    )


@pytest.fixture(autouse=True)
def needs_av(video_writer):
    """Skip without PyAV."""


@pytest.mark.parametrize('suffix', ['mp4', 'mov', 'mkv', 'webm'])
def test_flash_and_click_stay_in_step(tmp_path, suffix):
    # The flash is the 26th picture of 25 per second, the click at 1.0 s.
    wave = np.zeros((2, 2 * 44100), np.float32)
    wave[:, 44100:44300] = 0.9
    writer = VideoWriter(
        tmp_path / f'a.{suffix}',
        (64, 48),
        Fraction(25),
        WaveformSound(wave, 44100),
    )
    for index in range(50):
        writer.write(picture(250 if index == 25 else 5), index / 25)
    path = writer.close()
    with VideoReader(path) as reader:
        assert reader.info.start == 0
        frames = [(f.time, f.image.mean()) for f in reader]
    np.testing.assert_allclose(
        [time for time, _ in frames], np.arange(50) / 25, atol=1.1e-3
    )
    (flash,) = [time for time, light in frames if light > 128]
    sound = SoundStream(path)
    samples = np.abs(sound.read(0, 3 * sound.rate)[0])
    click = np.argmax(samples > 0.3) / sound.rate
    assert flash == pytest.approx(1.0, abs=2e-3)
    assert abs(click - flash) < 0.01


def test_times_are_kept(tmp_path):
    times = [0.0, 0.04, 0.5, 0.51, 2.0]
    writer = VideoWriter(tmp_path / 'a.mp4', (64, 48), Fraction(30))
    for time in times:
        writer.write(picture(90), time)
    with VideoReader(writer.close()) as reader:
        assert [f.time for f in reader] == pytest.approx(times, abs=1e-4)


def test_odd_size_gets_one_more_pixel(tmp_path):
    writer = VideoWriter(tmp_path / 'a.mp4', (33, 21), Fraction(5))
    writer.write(picture(200, (21, 33)), 0.0)
    with VideoReader(writer.close()) as reader:
        (frame,) = [f.image for f in reader]
    assert frame.shape == (22, 34, 3)
    assert frame[-1].mean() == pytest.approx(200, abs=5)


@pytest.mark.parametrize(
    ('rate', 'channels', 'kept'),
    [
        (8000, 1, 1),
        (44100, 2, 2),
        (48000, 6, 6),
        (96100, 1, 1),
        (16000, 3, 2),
    ],
)
def test_sounds_of_all_kinds(tmp_path, rate, channels, kept):
    writer = VideoWriter(
        tmp_path / 'a.mp4', (64, 48), Fraction(5), tone(2, rate, channels)
    )
    for index in range(10):
        writer.write(picture(9), index / 5)
    sound = SoundStream(writer.close())
    assert sound.channels == kept
    samples = sound.read(0, 3 * sound.rate)
    assert samples.shape[1] / sound.rate == pytest.approx(2, abs=0.1)
    # 500 Hz: the strongest of the whole hertz.
    strength = np.abs(np.fft.rfft(samples[0, sound.rate // 2 :][: sound.rate]))
    assert np.argmax(strength) == 500


def test_sound_goes_on_behind_a_single_picture(tmp_path):
    writer = VideoWriter(
        tmp_path / 'a.mp4', (64, 48), Fraction(5), tone(3, 16000)
    )
    writer.write(picture(9), 0.0)
    sound = SoundStream(writer.close())
    assert sound.read(0, 99999).shape[1] >= 3 * 16000


def test_file_has_its_name_when_it_is_whole(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'earlier')
    writer = VideoWriter(tmp_path / 'a.mp4', (64, 48), Fraction(5))
    for index in range(20):
        writer.write(picture(9), index / 5)
    assert (tmp_path / 'a.mp4').read_bytes() == b'earlier'
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ['a.mp4']
    assert is_playable(tmp_path / 'a.mp4')


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'webm'])
def test_what_was_interrupted_is_playable_and_named_so(tmp_path, suffix):
    writer = VideoWriter(
        tmp_path / f'a.{suffix}', (64, 48), Fraction(5), tone(9, 16000)
    )
    for index in range(20):
        writer.write(picture(9), index / 5)
    path = writer.abort()
    assert path == tmp_path / f'a.partial.{suffix}'
    assert list(tmp_path.iterdir()) == [path]
    with VideoReader(path) as reader:
        assert len(list(reader)) == 20
    sound = SoundStream(path)
    assert 3.5 < sound.read(0, 16 * 48000).shape[1] / sound.rate < 4.5


def test_nothing_is_left_if_nothing_was_written(tmp_path):
    writer = VideoWriter(tmp_path / 'a.mp4', (64, 48), Fraction(5))
    assert writer.abort() is None
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_leaves_what_can_be_played(tmp_path, small_disk):
    noise = np.random.default_rng(0)
    with small_disk(tmp_path / 'disk', 1) as disk:
        writer = VideoWriter(disk / 'a.mp4', (256, 256), Fraction(5))
        with pytest.raises(OSError, match='No space left'):
            for index in range(1000):
                image = noise.integers(0, 255, (256, 256, 3), np.uint8)
                writer.write(image, index / 5)
        path = writer.abort()
        assert path == disk / 'a.partial.mp4'
        assert list(disk.iterdir()) == [path]
        with VideoReader(path) as reader:
            assert len(list(reader)) > 5


def test_unknown_container_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r'ends with .mp4, .mov'):
        VideoWriter(tmp_path / 'a.gif', (64, 48), Fraction(5))
