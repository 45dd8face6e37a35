"""Whole videos: overlay, sound, JSON, and what an interruption leaves."""

import json
import threading

import cv2
import numpy as np
import pytest

from mmcpm.apis import Outputs, segment_video
from mmcpm.utils.errors import UsageError
from mmcpm.video.sound_stream import SoundStream
from mmcpm.video.video_reader import VideoReader


@pytest.fixture
def video(video_writer, half_bright, beeps, tmp_path):
    """Three seconds of ten pictures each, of which the second sounds."""
    big = cv2.resize(half_bright, (320, 240), interpolation=0)
    return video_writer(tmp_path / 'clip.mkv', [big] * 30, sound=beeps(3, [1]))


def read_frames(path):
    with VideoReader(path) as reader:
        return [(frame.time, frame.image) for frame in reader]


def test_overlay_sound_json_masks_and_pictures(inferencer, video, tmp_path):
    outputs = Outputs(
        tmp_path / 'out/o.mp4',
        tmp_path / 'out/o.json',
        tmp_path / 'masks',
        tmp_path / 'pictures',
    )
    summary = segment_video(inferencer, video, outputs, batch_size=4, fps=5)
    assert (summary.frames, summary.predictions) == (30, 15)
    assert summary.files == [outputs.video, outputs.json]
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
        'o.json',
        'o.mp4',
    ]
    frames = read_frames(outputs.video)
    assert [time for time, _ in frames] == pytest.approx(
        np.arange(30) / 10, abs=1e-3
    )
    for index, (_, image) in enumerate(frames):
        assert image.shape[1] == 320 and image.shape[0] > 240
        blue, _, red = image[60:180, 200:280].reshape(-1, 3).mean(0)
        # Class 2 is blue; the picture is white where nothing sounds.
        is_painted = blue - red > 60
        assert is_painted == (10 <= index < 20)
        assert image[60:180, 40:120].mean() < 30
    sound = SoundStream(outputs.video)
    samples = np.abs(sound.read(0, 4 * sound.rate)[0])
    loud = np.flatnonzero(samples > 0.25) / sound.rate
    assert loud.min() == pytest.approx(1, abs=0.01)
    assert loud.max() == pytest.approx(2, abs=0.01)
    told = json.loads(outputs.json.read_text())
    assert told['complete'] and told['notes'] == []
    assert [f['index'] for f in told['frames']] == list(range(0, 30, 2))
    assert [bool(f['classes']) for f in told['frames']] == [
        5 <= k < 10 for k in range(15)
    ]
    masks = sorted((tmp_path / 'masks/clip').iterdir())
    assert (
        len(masks) == len(list((tmp_path / 'pictures/clip').iterdir())) == 15
    )
    mask = cv2.imread(str(tmp_path / 'masks/clip/12.png'), -1)
    assert (mask[:, 165:] == 2).all() and not mask[:, :155].any()


def test_other_sound_and_silence(inferencer, video, beeps, tmp_path):
    import soundfile

    other = tmp_path / 'other.wav'
    soundfile.write(other, beeps(3, [0])[0], 16000)
    told = {}
    for name, sound in (('silence', 'silence'), ('other', other)):
        outputs = Outputs(tmp_path / f'{name}.mp4', tmp_path / f'{name}.json')
        segment_video(
            inferencer, dict(video=video, sound=sound), outputs, fps=1
        )
        told[name] = [
            bool(f['classes'])
            for f in json.loads(outputs.json.read_text())['frames']
        ]
    assert told == {
        'silence': [False, False, False],
        'other': [True, False, False],
    }
    with VideoReader(tmp_path / 'silence.mp4') as reader:
        assert reader.info.audio_tracks == ()
    sound = SoundStream(tmp_path / 'other.mp4')
    samples = np.abs(sound.read(0, 3 * sound.rate)[0])
    assert samples[: sound.rate].max() > 0.3
    assert samples[int(1.1 * sound.rate) :].max() < 0.01


def test_video_without_sound(inferencer, video_writer, half_bright, tmp_path):
    path = video_writer(tmp_path / 'mute.mp4', [half_bright] * 5)
    outputs = Outputs(tmp_path / 'o.mp4', tmp_path / 'o.json')
    summary = segment_video(inferencer, path, outputs)
    (note,) = summary.notes
    assert 'mute.mp4 has no sound: the model gets silence' in note
    assert json.loads(outputs.json.read_text())['notes'] == [note]
    # Small pictures are enlarged, so that names can be read.
    assert read_frames(outputs.video)[0][1].shape[1] == 320


def test_sound_that_ends_early(
    inferencer, video_writer, half_bright, beeps, tmp_path
):
    path = video_writer(
        tmp_path / 'a.mkv', [half_bright] * 40, sound=beeps(2, [0, 1])
    )
    outputs = Outputs(json=tmp_path / 'o.json')
    summary = segment_video(inferencer, path, outputs)
    assert summary.notes == [
        'the sound ends at 2.0 s, the picture at 3.9 s: the rest is silence'
    ]
    told = json.loads(outputs.json.read_text())
    assert [bool(f['classes']) for f in told['frames']] == [
        k < 20 for k in range(40)
    ]


def test_several_tracks(
    inferencer, video_writer, half_bright, beeps, tmp_path
):
    path = video_writer(
        tmp_path / 'a.mkv', [half_bright] * 10, sound=beeps(1, [0]), tracks=2
    )
    outputs = Outputs(json=tmp_path / 'o.json')
    inputs = dict(video=path, audio_track=1)
    (note,) = segment_video(inferencer, inputs, outputs).notes
    assert 'has 2 sound tracks; track 1 is taken (pcm_s16le' in note
    with pytest.raises(UsageError, match='no sound track 5. There are 2'):
        segment_video(inferencer, dict(video=path, audio_track=5), outputs)


class Stop:
    """Raises an error when the fifteenth frame is predicted."""

    def __init__(self, inferencer, error):
        self.count, self.error = 0, error
        self.predict = inferencer.predictor.predict_batch
        inferencer.predictor.predict_batch = self

    def __call__(self, batch, return_queries):
        self.count += len(batch)
        if self.count > 15:
            raise self.error
        return self.predict(batch, return_queries)


def test_interruption_keeps_what_was_done(inferencer, video, tmp_path):
    outputs = Outputs(tmp_path / 'o.mp4', tmp_path / 'o.json')
    outputs.video.write_bytes(b'earlier')
    Stop(inferencer, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as caught:
        segment_video(inferencer, video, outputs)
    assert str(caught.value) == (
        'what was done is kept, and ends early: '
        f'{tmp_path}/o.partial.mp4, {tmp_path}/o.partial.json'
    )
    assert outputs.video.read_bytes() == b'earlier'
    assert not outputs.json.exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]
    assert len(read_frames(tmp_path / 'o.partial.mp4')) == 15
    told = json.loads((tmp_path / 'o.partial.json').read_text())
    assert told['complete'] is False and len(told['frames']) == 15


def test_whole_result_replaces_the_partial_one(inferencer, video, tmp_path):
    (tmp_path / 'o.partial.mp4').write_bytes(b'x')
    segment_video(inferencer, video, Outputs(tmp_path / 'o.mp4'), fps=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['clip.mkv', 'o.mp4']


def test_disk_that_fills(inferencer, video_writer, tmp_path, small_disk):
    noise = np.random.default_rng(0)
    images = [
        noise.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(80)
    ]
    path = video_writer(tmp_path / 'a.mkv', images)
    with small_disk(tmp_path / 'disk', 1) as disk:
        outputs = Outputs(disk / 'o.mp4', disk / 'o.json')
        with pytest.raises(UsageError) as caught:
            segment_video(inferencer, path, outputs)
        message = str(caught.value)
        assert message.startswith(f'{disk}/o.mp4 could not be written: no sp')
        assert 'Make room' in message
        assert 'What was done is kept, and ends early' in message
        names = {p.name for p in disk.iterdir()}
        assert names <= {'o.partial.mp4', 'o.partial.json'}
        assert f'{disk}/o.partial.mp4' in message
        assert len(read_frames(disk / 'o.partial.mp4')) > 3
        if 'o.partial.json' in names:
            told = json.loads((disk / 'o.partial.json').read_text())
            assert told['complete'] is False


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('o.gif', 'ends with .mp4'),
        ('file/o.mp4', 'cannot write to'),
        ('folder.mp4', 'is a folder'),
    ],
)
def test_outputs_are_refused_before_any_work(
    inferencer, video, tmp_path, name, message
):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'folder.mp4').mkdir()
    Stop(inferencer, AssertionError())
    with pytest.raises(UsageError) as caught:
        segment_video(inferencer, video, Outputs(tmp_path / name))
    assert message in str(caught.value)


def test_no_thread_is_left(inferencer, video, tmp_path):
    before = threading.active_count()
    segment_video(inferencer, video, Outputs(tmp_path / 'o.mp4'), fps=1)
    assert threading.active_count() == before
