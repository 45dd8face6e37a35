"""An inferencer finds what a known model has to find."""

import json

import cv2
import numpy as np
import pytest
import soundfile
import torch

from mmcpm.apis import AVSInferencer
from mmcpm.utils.errors import UsageError


def classes_of(results):
    """Names of the classes of each frame."""
    return [
        [found['name'] for found in frame['classes']]
        for frame in results['predictions']
    ]


def test_frame_and_waveform(inferencer, half_bright, beeps):
    result = inferencer(
        dict(frame=half_bright, sound=beeps(1, [0]), name='mine')
    )['predictions']
    expected = np.zeros((24, 32), np.uint8)
    expected[:, 16:] = 2
    np.testing.assert_array_equal(result['sem_seg'], expected)
    assert result['sem_seg'].dtype == np.uint8
    assert result['sample_id'] == 'mine/0'
    # 0.75 of 1.0 in every pixel of the class.
    assert result['classes'] == [
        {'id': 2, 'name': 'loud', 'score': 0.75, 'area': 0.5}
    ]


@pytest.mark.parametrize('form', ['int16', 'tensor', 'flat', 'file', '8 kHz'])
def test_sounds_of_all_forms(inferencer, half_bright, beeps, tmp_path, form):
    sound = beeps(3, [1])
    inputs = dict(frame=half_bright, sound=sound)
    if form == 'int16':
        inputs['sound'] = (sound * 32767).astype(np.int16)
    elif form == 'tensor':
        inputs['sound'] = torch.from_numpy(sound)
    elif form == 'flat':
        inputs['sound'] = sound[0]
    elif form == 'file':
        inputs['sound'] = tmp_path / 'a.wav'
        soundfile.write(inputs['sound'], sound[0], 16000)
    else:
        inputs |= dict(sound=beeps(3, [1], 8000), sample_rate=8000)
    found = [
        inferencer(dict(inputs, time=time))['predictions']['classes']
        for time in (0, 0.9, 1, 1.9, 2.5, 99)
    ]
    assert [bool(one) for one in found] == [
        False, False, True, True, False, False
    ]  # fmt: skip


@pytest.mark.parametrize('sound', [None, 'silence'])
def test_silence(inferencer, half_bright, sound):
    result = inferencer(dict(frame=half_bright, sound=sound))
    assert result['predictions']['classes'] == []


def test_folder_of_frames(inferencer, half_bright, beeps, tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for index in range(12):
        cv2.imwrite(str(folder / f'{index}.png'), half_bright)
    sound = tmp_path / 'a.wav'
    soundfile.write(sound, beeps(12, [2, 10])[0], 16000)
    results = inferencer(dict(frames=folder, sound=sound), batch_size=5)
    assert classes_of(results) == [
        ['loud'] if index in (2, 10) else [] for index in range(12)
    ]
    assert results['predictions'][10]['sample_id'] == 'frames/10'
    results = inferencer(dict(frames=folder, sound=sound, rate=2))
    assert [f['time'] for f in results['predictions']] == [
        index / 2 for index in range(12)
    ]
    assert [bool(c) for c in classes_of(results)] == [
        index in (4, 5) for index in range(12)
    ]


def test_frames_of_several_sizes(inferencer, beeps):
    frames = [
        np.full((h, w, 3), 255, np.uint8)
        for h, w in ((9, 8), (9, 8), (5, 7), (9, 8))
    ]
    results = inferencer(
        dict(frames=frames, sound=beeps(4, [0, 1, 2, 3])), batch_size=4
    )
    assert [f['sem_seg'].shape for f in results['predictions']] == [
        frame.shape[:2] for frame in frames
    ]
    assert all((f['sem_seg'] == 2).all() for f in results['predictions'])


@pytest.mark.parametrize('batch_size', [1, 3, 100])
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'mov', 'avi'])
def test_video(
    inferencer, video_writer, half_bright, beeps, tmp_path, suffix, batch_size
):
    path = video_writer(
        tmp_path / f'a.{suffix}',
        [half_bright] * 30,
        sound=beeps(3, [1]),
        sound_codec='aac' if suffix == 'mp4' else 'pcm_s16le',
    )
    results = inferencer(path, batch_size=batch_size)
    times = [frame['time'] for frame in results['predictions']]
    assert times == pytest.approx(np.arange(30) / 10, abs=1e-3)
    found = [bool(classes) for classes in classes_of(results)]
    # The codec smears the sound over some milliseconds.
    assert found[:9] == [False] * 9 and found[10:20] == [True] * 10
    assert found[21:29] == [False] * 8
    if suffix != 'mp4':
        assert found == [False] * 10 + [True] * 10 + [False] * 10


@pytest.mark.parametrize(
    ('fps', 'indices'),
    [
        (None, range(30)),
        (1, [0, 10, 20]),
        (4, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]),
        (99, range(30)),
    ],
)
def test_predictions_per_second(
    inferencer, video_writer, half_bright, tmp_path, fps, indices
):
    # At 10 pictures per second; the ticks of 4 are 0, 0.25, 0.5, 0.75 s.
    path = video_writer(tmp_path / 'a.mkv', [half_bright] * 30)
    results = inferencer(path, fps=fps)
    assert [f['index'] for f in results['predictions']] == list(indices)


def test_smaller_step_of_the_sound(bright_config, half_bright, beeps):
    # The middle of a window is that of the step of 0.2 s: from 0.5 s on, it
    # holds what begins at 1.0 s.
    inferencer = AVSInferencer(
        bright_config(), audio_step=0.2, show_progress=False, device='cpu'
    )
    assert inferencer.pipeline.window_start(0.0) == 0
    assert inferencer.pipeline.window_start(1.1) == pytest.approx(0.6)
    found = [
        inferencer(dict(frame=half_bright, sound=beeps(3, [1]), time=t))
        for t in (0.35, 0.65, 1.5, 2.3, 2.65)
    ]
    assert [bool(f['predictions']['classes']) for f in found] == [
        False, True, True, True, False
    ]  # fmt: skip


def test_prediction_has_the_size_of_the_frame(bright_config, beeps):
    # As in the protocol that scores at 224 x 224.
    step = dict(type='ResizeAsOriginal', size=(8, 8))
    inferencer = AVSInferencer(
        bright_config(step=step), show_progress=False, device='cpu'
    )
    frame = np.full((30, 50, 3), 255, np.uint8)
    result = inferencer(dict(frame=frame, sound=beeps(1, [0])))
    assert result['predictions']['sem_seg'].shape == (30, 50)
    assert (result['predictions']['sem_seg'] == 2).all()


def test_files_pictures_and_data_samples(
    inferencer, half_bright, beeps, tmp_path
):
    results = inferencer(
        [dict(frame=half_bright, sound=beeps(1, [0]), name='x')],
        out_dir=tmp_path / 'out',
        return_vis=True,
        return_datasamples=True,
    )
    (sample,) = results['predictions']
    assert sample.pred_sem_seg.data.shape == (1, 24, 32)
    (picture,) = results['visualization']
    saved = cv2.imread(str(tmp_path / 'out/vis/x/0.png'))[..., ::-1]
    np.testing.assert_array_equal(saved, picture)
    labels = cv2.imread(str(tmp_path / 'out/pred/x/0.png'), -1)
    np.testing.assert_array_equal(labels, sample.pred_sem_seg.data[0])
    told = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert told['classes'] == ['background', 'quiet', 'loud']
    assert told['frames'][0]['classes'][0]['name'] == 'loud'


def test_stereo_model_gets_two_channels(bright_config, half_bright, beeps):
    inferencer = AVSInferencer(
        bright_config('stereo'), show_progress=False, device='cpu'
    )
    heard = []
    inferencer.model.audio_frontend.register_forward_pre_hook(
        lambda module, inputs: heard.append(inputs[0])
    )
    sound = np.concatenate([beeps(1, [0]), np.zeros((1, 16000), np.float32)])
    inferencer(dict(frame=half_bright, sound=sound))
    inferencer(dict(frame=half_bright, sound=sound[:1]))
    assert heard[0].shape == heard[1].shape == (1, 2, 16000)
    assert heard[0][0, 0].any() and not heard[0][0, 1].any()
    assert torch.equal(heard[1][0, 0], heard[1][0, 1])


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        (dict(frame='no.png', sound=None), 'no.png'),
        (dict(frames='nowhere'), 'folder of frames not found'),
        (dict(frames=[]), 'list of frames is empty'),
        (dict(frame='a.png', frames='b'), 'exactly one of the keys'),
        (dict(frame='a.png', rate=2), 'no rate: its keys are'),
        (7, 'path of a video, or a dict'),
        ('nothing.mp4', 'video not found'),
    ],
)
def test_inputs_that_are_refused(inferencer, video_writer, inputs, message):
    with pytest.raises(UsageError) as caught:
        inferencer(inputs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ('frame', 'sound', 'message'),
    [
        (np.zeros((4, 4, 4), np.uint8), None, '(height, width, 3)'),
        (np.zeros((4, 4, 3)), None, 'uint8'),
        (None, np.zeros((16000, 2)), '(channels, samples)'),
        (None, np.full(100, np.nan), 'finite'),
        (None, np.zeros(0), '(channels, samples)'),
    ],
)
def test_arrays_that_are_refused(
    inferencer, half_bright, frame, sound, message
):
    frame = half_bright if frame is None else frame
    with pytest.raises(ValueError) as caught:
        inferencer(dict(frame=frame, sound=sound))
    assert message in str(caught.value)


def test_rates_that_are_refused(inferencer, half_bright):
    for options in (dict(batch_size=0), dict(fps=0), dict(fps=-1.0)):
        with pytest.raises(UsageError, match=next(iter(options))):
            inferencer(dict(frame=half_bright), **options)


def test_folder_without_pictures(inferencer, tmp_path):
    (tmp_path / 'notes.txt').write_text('x')
    with pytest.raises(UsageError, match='holds no picture'):
        inferencer(dict(frames=tmp_path))


def test_masks_of_queries_need_a_head_with_queries(inferencer, half_bright):
    with pytest.raises(UsageError, match='BrightAndLoudHead has no queries'):
        inferencer(dict(frame=half_bright), return_queries=True)
