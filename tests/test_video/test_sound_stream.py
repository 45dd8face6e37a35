"""The sound of a video, aligned with its pictures."""

import numpy as np
import pytest

from mmcpm.datasets.transforms.audio_loading import read_sound
from mmcpm.video.pyav import VideoReadError
from mmcpm.video.sound_stream import SoundStream, WaveformSound
from mmcpm.video.video_reader import VideoReader

BLACK = np.zeros((32, 32, 3), np.uint8)


def noise(seconds, rate=16000, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return 0.5 * generator.uniform(-1, 1, (channels, int(seconds * rate)))


def test_samples_are_those_of_the_file(video_writer, tmp_path):
    sound = noise(3)
    path = video_writer(tmp_path / 'a.mov', [BLACK] * 30, sound=sound)
    stream = SoundStream(path)
    assert (stream.rate, stream.channels) == (16000, 1)
    for start, stop in ((0, 100), (50, 20000), (20000, 20001), (47000, 60000)):
        part = stream.read(start, stop)
        expected = sound[:, start:stop]
        assert part.dtype == np.float32 and part.shape == expected.shape
        np.testing.assert_allclose(part, expected, atol=1e-4)
    assert stream.frames == 48000


def test_going_back_decodes_anew(video_writer, tmp_path):
    sound = noise(2)
    path = video_writer(tmp_path / 'a.mov', [BLACK] * 20, sound=sound)
    stream = SoundStream(path)
    stream.read(30000, 31000)
    np.testing.assert_allclose(stream.read(10, 20), sound[:, 10:20], atol=1e-4)


def test_memory_holds_the_window_only(video_writer, tmp_path):
    path = video_writer(tmp_path / 'a.mov', [BLACK] * 200, sound=noise(20))
    stream = SoundStream(path)
    for second in range(18):
        stream.read(second * 16000, (second + 1) * 16000)
        kept = sum(samples.size for _, samples in stream._chunks)
        assert kept < 2 * 16000


@pytest.mark.parametrize('rate', [8000, 44100, 48000])
def test_window_is_that_of_the_whole_sound(video_writer, tmp_path, rate):
    # The datasets resample a file as a whole; so does a stream.
    sound = noise(3, rate).astype(np.float32)
    path = video_writer(
        tmp_path / 'a.mov', [BLACK] * 30, sound=sound, sound_rate=rate
    )
    stream = SoundStream(path)
    whole = np.float32((32767 * sound).astype(np.int16) / 32768)
    for start in (0, 7000, 16000, 40000):
        found = read_sound(stream, 16000, 'mono', start, 16000)
        expected = read_sound(
            WaveformSound(whole, rate), 16000, 'mono', start, 16000
        )
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_track_that_begins_late_begins_with_silence(video_writer, tmp_path):
    from fractions import Fraction

    path = video_writer(tmp_path / 'a.mov', [BLACK] * 10, sound=noise(1))
    late = SoundStream(path, start=Fraction(-1, 2))
    part = late.read(0, 16000)
    assert not part[:, :8000].any() and part[:, 8000:].any()
    early = SoundStream(path, start=Fraction(1, 4))
    plain = SoundStream(path).read(4000, 5000)
    np.testing.assert_array_equal(early.read(0, 1000), plain)


def test_gap_in_the_track_is_silence(video_writer, tmp_path):
    from fractions import Fraction

    import av

    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        for start in (0, 20000):
            frame = av.AudioFrame.from_ndarray(
                np.full((1, 4000), 9999, np.int16), 's16', 'mono'
            )
            frame.sample_rate, frame.pts = 8000, start
            frame.time_base = Fraction(1, 8000)
            container.mux(stream.encode(frame))
    part = SoundStream(path).read(0, 99999)[0]
    assert len(part) == 24000
    assert (part[:4000] > 0.3).all() and (part[20000:] > 0.3).all()
    assert not part[4000:20000].any()


def test_surround_keeps_its_channels_or_is_mixed_down(video_writer, tmp_path):
    sound = np.zeros((6, 16000))
    sound[0], sound[2] = 0.4, 0.2  # Front left, and the center.
    path = video_writer(
        tmp_path / 'a.mov', [BLACK] * 10, sound=sound, layout='5.1'
    )
    assert SoundStream(path).channels == 6
    mono = read_sound(SoundStream(path), 16000, 'mono', 0, 16000)
    assert mono[0, 8000] == pytest.approx(0.1, abs=1e-3)  # Their mean.
    stereo = SoundStream(path, max_channels=2)
    left, right = stereo.read(8000, 8001)[:, 0]
    # ITU-R BS.775: center at -3 dB on both sides; then scaled to full scale.
    scale = 1 / (1 + 2**0.5)
    assert left == pytest.approx((0.4 + 0.2 * 0.5**0.5) * scale, abs=1e-3)
    assert right == pytest.approx(0.2 * 0.5**0.5 * scale, abs=1e-3)


def test_tracks_are_chosen_by_number(video_writer, tmp_path):
    path = video_writer(
        tmp_path / 'a.mkv', [BLACK] * 10, sound=noise(1), tracks=2
    )
    first, second = (SoundStream(path, k).read(0, 99) for k in (0, 1))
    np.testing.assert_allclose(second, first / 2, atol=1e-4)
    with pytest.raises(VideoReadError, match='no sound track 2. There are 2'):
        SoundStream(path, 2)


def test_video_without_sound(video_writer, tmp_path):
    path = video_writer(tmp_path / 'a.mkv', [BLACK] * 10)
    with pytest.raises(VideoReadError, match='has no sound'):
        SoundStream(path)


@pytest.mark.parametrize(
    ('suffix', 'codec', 'sound_codec'),
    [
        ('mp4', 'mpeg4', 'aac'),
        ('mov', 'mpeg4', 'pcm_s16le'),
        ('mkv', 'mpeg4', 'aac'),
        ('webm', 'libvpx', 'libopus'),
        ('avi', 'mpeg4', 'mp3'),
        ('ts', 'mpeg2video', 'mp2'),
    ],
)
def test_flash_and_click_are_in_step(
    video_writer, tmp_path, suffix, codec, sound_codec
):
    # Both at 2.0 s: pictures 1/25 s apart, a click of 5 ms.
    images = [BLACK] * 50 + [BLACK + 255] + [BLACK] * 24
    sound = np.zeros((1, 3 * 48000))
    sound[:, 2 * 48000 : 2 * 48000 + 240] = 0.9
    path = video_writer(
        tmp_path / f'a.{suffix}',
        images,
        rate=25,
        sound=sound,
        sound_rate=48000,
        codec=codec,
        sound_codec=sound_codec,
    )
    with VideoReader(path) as reader:
        bright = [f.time for f in reader if f.image.mean() > 128]
    stream = SoundStream(path, start=reader.info.start)
    samples = np.abs(stream.read(0, 4 * stream.rate)[0])
    click = np.argmax(samples > 0.3) / stream.rate
    assert len(bright) == 1
    assert abs(click - bright[0]) < 1 / 25
