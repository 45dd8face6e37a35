"""Pictures of a video: times, turns, damage."""

import numpy as np
import pytest

from mmcpm.utils.errors import UsageError
from mmcpm.video.pyav import VideoReadError
from mmcpm.video.video_reader import VideoReader

# Matrices of QuickTime's track header for pictures that are shown turned
# clockwise by so many degrees: a, b, u, c, d, v, x, y, w.
ONE, MINUS, W = 0x00010000, 0xFFFF0000, 0x40000000
MATRICES = {
    0: (ONE, 0, 0, 0, ONE, 0, 0, 0, W),
    90: (0, ONE, 0, MINUS, 0, 0, 0, 0, W),
    180: (MINUS, 0, 0, 0, MINUS, 0, 0, 0, W),
    270: (0, MINUS, 0, ONE, 0, 0, 0, 0, W),
}


def gray(value, size=(32, 48)):
    return np.full((*size, 3), value, np.uint8)


def pack(matrix):
    return b''.join(n.to_bytes(4, 'big') for n in matrix)


def read(path):
    with VideoReader(path) as reader:
        return reader.info, [(f.index, f.time, f.image) for f in reader]


def test_pictures_and_times(video_writer, tmp_path):
    images = [gray(20 * i) for i in range(8)]
    path = video_writer(tmp_path / 'a.mp4', images, rate=5)
    info, frames = read(path)
    assert (info.width, info.height, info.rate) == (48, 32, 5)
    assert info.duration == pytest.approx(1.6)
    assert info.audio_tracks == ()
    assert [index for index, _, _ in frames] == list(range(8))
    np.testing.assert_allclose(
        [time for _, time, _ in frames], np.arange(8) / 5, atol=1e-6
    )
    for (_, _, image), expected in zip(frames, images, strict=True):
        assert image.shape == (32, 48, 3)
        assert abs(float(image.mean()) - expected.mean()) < 6


def test_variable_rate_is_told_by_time_stamps(video_writer, tmp_path):
    times = [0.0, 0.1, 0.5, 0.52, 1.7]
    path = video_writer(
        tmp_path / 'a.mkv', [gray(50)] * 5, rate=50, times=times
    )
    _, frames = read(path)
    assert [time for _, time, _ in frames] == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize('degrees', sorted(MATRICES))
def test_turned_pictures_are_turned_back(video_writer, tmp_path, degrees):
    image = gray(0)
    image[:16, :24] = 250  # The upper left quarter is bright.
    path = video_writer(tmp_path / 'a.mp4', [image] * 3)
    data = path.read_bytes()
    place = data.index(pack(MATRICES[0]), data.index(b'tkhd'))
    matrix = pack(MATRICES[degrees])
    path.write_bytes(data[:place] + matrix + data[place + len(matrix) :])
    info, frames = read(path)
    expected = np.rot90(image, -degrees // 90)
    assert (info.height, info.width) == expected.shape[:2]
    for _, _, found in frames:
        assert np.abs(found.astype(int) - expected).mean() < 8


@pytest.mark.parametrize('size', [(33, 47), (2, 2), (16, 300)])
def test_odd_sizes(video_writer, tmp_path, size):
    path = video_writer(tmp_path / 'a.avi', [gray(90, size)] * 2, codec='png')
    info, frames = read(path)
    assert (info.height, info.width) == size
    assert frames[1][2].shape == (*size, 3)


def test_one_frame(video_writer, tmp_path):
    _, frames = read(video_writer(tmp_path / 'a.mp4', [gray(90)]))
    assert [(index, time) for index, time, _ in frames] == [(0, 0.0)]


def test_damaged_packets_are_passed_over_and_counted(video_writer, tmp_path):
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(30)]
    path = video_writer(tmp_path / 'a.avi', images, codec='png')
    data = bytearray(path.read_bytes())
    # PNG pictures stand alone: the tenth loses its beginning.
    places = [k for k in range(len(data)) if data[k : k + 4] == b'\x89PNG']
    data[places[10] : places[10] + 64] = bytes(64)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        number = len(list(reader))
    assert number in (28, 29)
    assert reader.num_broken == 1


def test_file_that_was_cut_short_gives_what_is_there(video_writer, tmp_path):
    images = [gray(8 * i, (64, 64)) for i in range(30)]
    path = video_writer(tmp_path / 'a.mkv', images)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 30
        assert not reader.is_cut
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with VideoReader(path) as reader:
        number = len(list(reader))
        assert reader.is_cut
    assert 5 < number < 30


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('notes.mp4', b'Dear diary,\ntoday', 'text file (it begins with'),
        ('empty.mp4', b'', 'is empty (0 bytes)'),
        ('bytes.mp4', bytes(range(256)) * 40, 'cannot be opened as a video'),
    ],
)
def test_files_that_are_no_video(
    video_writer, tmp_path, name, content, message
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoReadError) as caught:
        VideoReader(path)
    assert message in str(caught.value) and name in str(caught.value)


def test_mp4_without_its_index(video_writer, tmp_path):
    path = video_writer(tmp_path / 'a.mp4', [gray(9)] * 20)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b'moov') - 4])
    with pytest.raises(VideoReadError, match='its index is missing'):
        VideoReader(path)


def test_missing_file_and_folder(video_writer, tmp_path):
    with pytest.raises(VideoReadError, match='video not found'):
        VideoReader(tmp_path / 'no.mp4')
    with pytest.raises(VideoReadError, match='is a folder'):
        VideoReader(tmp_path)


def test_sound_without_picture(video_writer, tmp_path):
    import soundfile

    path = tmp_path / 'a.wav'
    soundfile.write(path, np.zeros(1600), 16000)
    with pytest.raises(VideoReadError, match='no picture, only sound'):
        VideoReader(path)


@pytest.mark.parametrize('suffix', ['avi', 'mp4'])
def test_video_with_zero_frames(video_writer, tmp_path, suffix):
    import av

    path = tmp_path / f'a.{suffix}'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, 'yuv420p'
        container.start_encoding()
    with pytest.raises(VideoReadError, match='n.* picture.*zero frames'):
        VideoReader(path)


def test_without_pyav_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__('sys').modules, 'av', None)
    with pytest.raises(UsageError) as caught:
        VideoReader(tmp_path / 'a.mp4')
    assert 'pip install av' in str(caught.value)
