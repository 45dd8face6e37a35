"""What the web page takes, and that it tells no path."""

import numpy as np
import pytest

from mmcpm.apis.web_demo.limits import (
    Limits,
    check_clip,
    check_file,
    shown_name,
    without_paths,
)
from mmcpm.utils.errors import UsageError

BEEP = np.full((1, 16000), 0.1)


@pytest.fixture
def clip(video_writer, tmp_path, half_bright):
    """A function that writes a clip of some frames, ten per second."""

    def write(frames=10, name='clip.mkv', **options):
        images = [half_bright] * frames
        return video_writer(tmp_path / name, images, **options)

    return write


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('/tmp/x/a.mp4', 'a.mp4'),
        ('../../../etc/passwd', 'passwd'),
        ('..\\..\\boot.ini', 'boot.ini'),
        ('a\n\x1b[31mb.mp4', 'a[31mb.mp4'),
        ('..', 'the file'),
        ('', 'the file'),
        ('/tmp/' + 'a' * 100 + '.mp4', 'a' * 47 + '...' + 'a' * 6 + '.mp4'),
    ],
)
def test_names_are_those_of_the_sender(path, name):
    assert shown_name(path) == name


def test_messages_have_no_path():
    message = (
        "/srv/up/1/a b.mp4 cannot be read: '/srv/lib/x.so' is missing, and "
        'so is (/home/me/y). See https://example.org/a/b. Either/or, 1/2'
    )
    assert without_paths(message, {'/srv/up/1/a b.mp4': 'a b.mp4'}) == (
        "a b.mp4 cannot be read: 'a file of the server' is missing, and so "
        'is (a file of the server). See https://example.org/a/b. Either/or, '
        '1/2'
    )


def test_longer_paths_are_replaced_first():
    names = {'/up/a': 'A', '/up/a.mp4': 'B'}
    assert without_paths('/up/a.mp4 and /up/a', names) == 'B and A'


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (b'', 'empty'),
        (b'hello, I am text', 'no video'),
        # Playlists: FFmpeg would read what they name.
        (b'#EXTM3U\nfile:///etc/passwd', 'no video'),
        (b'ffconcat version 1.0\nfile /etc/passwd', 'no video'),
        (b'RIFF\0\0\0\0WEBPVP8 ', 'no video'),
        (b'\x89PNG\r\n\x1a\n' + bytes(20), 'no video'),
    ],
)
def test_other_files_are_refused_unread(tmp_path, content, told):
    path = tmp_path / 'clip.mp4'
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f'^clip.mp4 is .*{told}'):
        check_file(path, Limits())


@pytest.mark.parametrize(
    'content',
    [
        b'\0\0\0\x18ftypmp42',
        b'\x1a\x45\xdf\xa3\x01\0\0\0',
        b'RIFF\0\0\0\0AVI LIST',
        b'RIFF\0\0\0\0WAVEfmt ',
        b'OggS\0\x02',
        b'ID3\x04\0',
    ],
)
def test_videos_and_sounds_pass(tmp_path, content):
    path = tmp_path / 'clip'
    path.write_bytes(content)
    check_file(path, Limits())


def test_a_large_file_is_refused(tmp_path):
    path = tmp_path / 'clip.mp4'
    path.write_bytes(b'\0\0\0\x18ftyp' + bytes(1_500_000))
    with pytest.raises(UsageError, match=r'clip.mp4 has 1.5 MB.*1 MB'):
        check_file(path, Limits(megabytes=1))
    check_file(path, Limits(megabytes=2))


def test_a_deleted_upload_is_said(tmp_path):
    with pytest.raises(UsageError, match=r'^a.mp4 is not here any more'):
        check_file(tmp_path / 'a.mp4', Limits())


@pytest.mark.parametrize('name', ['clip.mkv', 'clip.avi', 'clip.mov'])
def test_seconds_are_those_of_the_frames(clip, name):
    # The last of 10 frames is shown at 0.9 s.
    path = clip(name=name, sound=BEEP)
    assert check_clip(path, Limits()) == pytest.approx(0.9, abs=0.02)


def test_a_long_clip_is_refused(clip):
    path = clip(40)
    with pytest.raises(UsageError, match=r'clip.mkv is longer than 3 s'):
        check_clip(path, Limits(seconds=3))
    assert check_clip(path, Limits(seconds=4)) == pytest.approx(3.9)


def test_a_long_clip_that_says_it_is_short_is_refused(clip):
    """The length that a Matroska file tells is changed to 0.1 s."""
    path = clip(40)
    data = path.read_bytes()
    place = data.index(b'\x44\x89\x88') + 3
    lie = np.array(100.0, '>f8').tobytes()
    path.write_bytes(data[:place] + lie + data[place + 8 :])
    with pytest.raises(UsageError, match='longer than 3 s'):
        check_clip(path, Limits(seconds=3))


def test_many_frames_are_refused(clip):
    with pytest.raises(UsageError, match='more than 5 frames per second'):
        check_clip(clip(30), Limits(seconds=4, rate=5))


def test_large_frames_are_refused(clip):
    path = clip()
    # 32 x 24.
    with pytest.raises(UsageError, match='32 x 24 pixels'):
        check_clip(path, Limits(pixels=767))
    check_clip(path, Limits(pixels=768))


def test_a_sound_is_no_clip(tmp_path):
    pytest.importorskip('av', reason='PyAV is not installed')
    soundfile = pytest.importorskip('soundfile')
    path = tmp_path / 'sound.wav'
    soundfile.write(path, BEEP[0], 16000)
    check_file(path, Limits())
    with pytest.raises(UsageError, match='sound.wav has no picture'):
        check_clip(path, Limits())


@pytest.mark.parametrize('name', ['seconds', 'megabytes', 'pixels'])
@pytest.mark.parametrize('value', [0, -1, float('nan')])
def test_limits_must_let_something_pass(name, value):
    with pytest.raises(UsageError, match=f'--max-{name} must be above 0'):
        Limits(**{name: value}).check()
