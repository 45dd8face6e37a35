"""Models that compare frames get clips from an inferencer, too."""

import cv2
import numpy as np
import pytest
import soundfile
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmcpm.apis import (
    AVSInferencer,
    Outputs,
    clip_predictor,
    inference_av_model,
    segment_video,
)
from mmcpm.apis.clip_batches import find_clip_length
from mmcpm.utils.errors import UsageError

TPAVI = 'configs/tpavi/tpavi_r18_scenes.py'
CLASSES = [f'thing{number} {number} 0 0' for number in range(1, 9)]


def write_clip(root, name, num_frames, rng):
    """Write noise of 48 x 64 as frames and sound."""
    for part in ('frames', 'labels'):
        (root / f'test/{part}/{name}').mkdir(parents=True)
    (root / 'test/audio').mkdir(exist_ok=True)
    for index in range(num_frames):
        frame = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        frame = cv2.resize(frame, (64, 48), interpolation=cv2.INTER_CUBIC)
        label = np.zeros((48, 64), np.uint8)
        for part, picture in (('frames', frame), ('labels', label)):
            cv2.imwrite(str(root / f'test/{part}/{name}/{index}.png'), picture)
    time = np.arange(16000) / 16000
    sound = [
        0.1 * (1 + index) * np.sin(2 * np.pi * 200 * (1 + index) * time)
        for index in range(num_frames)
    ]
    soundfile.write(
        root / f'test/audio/{name}.wav', np.concatenate(sound), 16000
    )


@pytest.fixture(scope='module')
def tpavi(request, tmp_path_factory):
    """A TPAVI model of random weights, and clips of five and seven frames."""
    root = tmp_path_factory.mktemp('mine')
    rng = np.random.default_rng(0)
    write_clip(root, 'five', 5, rng)
    write_clip(root, 'seven', 7, rng)
    (root / 'classes.txt').write_text('\n'.join(CLASSES))
    cfg = Config.fromfile(request.config.rootpath / TPAVI)
    settings = cfg.test_dataloader.dataset.dataset
    cfg.test_dataloader.dataset.dataset = ConfigDict(
        type='AVSFolderDataset',
        data_root=str(root),
        split='test',
        test_mode=True,
        pipeline=settings.pipeline,
    )
    cfg.test_dataloader.update(batch_size=1, num_workers=0)
    cfg.test_dataloader.pop('persistent_workers', None)
    torch.manual_seed(0)
    inferencer = AVSInferencer(cfg, show_progress=False, device='cpu')
    with torch.no_grad():
        for attention in inferencer.model.decode_head.attentions:
            # Begins as zero: the attention would change nothing.
            attention.bn.weight.fill_(100.0)
    return inferencer, root


def predictions_of_test(inferencer, **loader):
    """Predictions of the test loop, by name of the frame."""
    settings = {**inferencer.cfg.test_dataloader, **loader}
    found = {}
    with torch.no_grad():
        for batch in Runner.build_dataloader(ConfigDict(settings)):
            for sample in inferencer.model.test_step(batch):
                found[sample.sample_id] = sample
    return found


def folder(root, name):
    return dict(
        frames=root / f'test/frames/{name}',
        sound=root / f'test/audio/{name}.wav',
    )


@pytest.mark.parametrize(('name', 'count'), [('five', 5), ('seven', 7)])
def test_folder_is_predicted_as_by_the_test_loop(tpavi, name, count):
    inferencer, root = tpavi
    expected = predictions_of_test(inferencer)
    samples, arrays = (
        inferencer(folder(root, name), return_datasamples=form)['predictions']
        for form in (True, False)
    )
    assert [s.sample_id for s in samples] == [
        f'{name}/{index}' for index in range(count)
    ]
    for sample, frame in zip(samples, arrays, strict=True):
        other = expected[sample.sample_id]
        assert torch.equal(sample.seg_logits.data, other.seg_logits.data)
        labels = other.pred_sem_seg.data[0].numpy()
        np.testing.assert_array_equal(frame['sem_seg'], labels)
    assert len(np.unique([frame['sem_seg'] for frame in arrays])) > 1


def test_frames_of_a_clip_change_each_other(tpavi):
    inferencer, root = tpavi
    frames = [root / f'test/frames/seven/{index}.png' for index in range(7)]
    sound = root / 'test/audio/seven.wav'
    before, after = (
        inferencer(dict(frames=chosen, sound=sound), return_datasamples=True)[
            'predictions'
        ]
        for chosen in (frames, [frames[6], *frames[1:]])
    )
    changes = [
        float((a.seg_logits.data - b.seg_logits.data).abs().max())
        for a, b in zip(before, after, strict=True)
    ]
    # The second clip, of 5, 6 and three that are none, is not concerned.
    assert min(changes[:5]) > 1e-6 and changes[5:] == [0, 0]


@pytest.mark.parametrize('batch_size', [1, 7, 10])
def test_size_of_the_batch_changes_nothing(tpavi, batch_size):
    inferencer, root = tpavi
    expected = predictions_of_test(inferencer, batch_size=2)
    found = inferencer(
        folder(root, 'seven'), batch_size=batch_size, return_datasamples=True
    )
    for sample in found['predictions']:
        torch.testing.assert_close(
            sample.seg_logits.data,
            expected[sample.sample_id].seg_logits.data,
            rtol=1e-4,
            atol=1e-5,
        )


def test_function_predicts_clips(tpavi):
    inferencer, root = tpavi
    expected = predictions_of_test(inferencer)
    frames = [root / f'test/frames/seven/{index}.png' for index in range(7)]
    sound = root / 'test/audio/seven.wav'
    found = inference_av_model(inferencer.model, frames, sound)
    for index, sample in enumerate(found):
        other = expected[f'seven/{index}']
        assert torch.equal(sample.seg_logits.data, other.seg_logits.data)
    one = inference_av_model(inferencer.model, frames[0], sound)
    sample = inferencer(
        dict(frame=frames[0], sound=sound), return_datasamples=True
    )['predictions']
    assert torch.equal(one.seg_logits.data, sample.seg_logits.data)


@pytest.fixture
def of_four(bright_config):
    """An inferencer of a known model of clips of four, and its batches."""
    cfg = bright_config()
    cfg.test_dataloader.dataset = ConfigDict(
        type='ClipDataset', clip_length=4, dataset=cfg.test_dataloader.dataset
    )
    inferencer = AVSInferencer(cfg, show_progress=False, device='cpu')
    batches, step = [], inferencer.model.test_step

    def test_step(batch):
        batches.append(
            [
                (s.frame_index, s.frame_valid, bool(s.audio.any()))
                for s in batch['data_samples']
            ]
        )
        assert {s.clip_length for s in batch['data_samples']} == {4}
        return step(batch)

    inferencer.model.test_step = test_step
    return inferencer, batches


@pytest.mark.parametrize(
    ('batch_size', 'expected'), [(1, [4, 4]), (7, [4, 4]), (9, [8])]
)
def test_video_is_cut_into_clips(
    of_four, video_writer, half_bright, beeps, tmp_path, batch_size, expected
):
    inferencer, batches = of_four
    path = video_writer(
        tmp_path / 'a.mkv', [half_bright] * 30, sound=beeps(3, [1])
    )
    outputs = Outputs(tmp_path / 'o.mp4', tmp_path / 'o.json')
    summary = segment_video(
        inferencer, path, outputs, batch_size=batch_size, fps=2
    )
    assert (summary.frames, summary.predictions) == (30, 6)
    assert [len(batch) for batch in batches] == expected
    assert sum(batches, []) == [
        (0, True, False),
        (5, True, False),
        (10, True, True),
        (15, True, True),
        (20, True, False),
        (25, True, False),
        (26, False, False),
        (27, False, False),
    ]
    found = inferencer(path, fps=2)['predictions']
    assert [f['index'] for f in found] == [0, 5, 10, 15, 20, 25]
    assert [bool(f['classes']) for f in found] == [
        False, False, True, True, False, False
    ]  # fmt: skip


def test_picture_is_a_clip(of_four, half_bright, beeps):
    inferencer, batches = of_four
    inputs = dict(frame=half_bright, sound=beeps(1, [0]))
    assert inferencer(inputs)['predictions']['classes'][0]['name'] == 'loud'
    assert batches == [
        [(0, True, True)] + [(n, False, False) for n in (1, 2, 3)]
    ]


def test_another_size_begins_a_clip(of_four, beeps):
    inferencer, batches = of_four
    frames = [
        np.full((h, w, 3), 255, np.uint8)
        for h, w in ((9, 8), (9, 8), (5, 7), (9, 8))
    ]
    inputs = dict(frames=frames, sound=beeps(4, [0, 1, 2, 3]))
    results = inferencer(inputs)['predictions']
    assert [f['sem_seg'].shape for f in results] == [
        frame.shape[:2] for frame in frames
    ]
    assert all((f['sem_seg'] == 2).all() for f in results)
    assert [[valid for _, valid, _ in batch] for batch in batches] == [
        [True, True, False, False],
        [True, False, False, False],
        [True, False, False, False],
    ]


def test_frames_wait_for_their_clip(
    of_four, video_writer, half_bright, tmp_path, monkeypatch
):
    inferencer, batches = of_four
    path = video_writer(tmp_path / 'a.mkv', [half_bright] * 30)
    # No clip is cut where the memory of a batch ends...
    monkeypatch.setattr(clip_predictor, 'MOST_BYTES', 1)
    inferencer(path, fps=2, batch_size=100)
    assert [len(batch) for batch in batches] == [4, 4]
    # ... but there is a limit.
    monkeypatch.setattr(clip_predictor, 'MOST_BYTES_OF_CLIP', 5000)
    with pytest.raises(UsageError, match='compares 4 predictions'):
        inferencer(path, fps=2)


def test_one_length_is_expected(bright_config):
    cfg = bright_config()
    inner = cfg.test_dataloader.dataset
    assert find_clip_length(cfg) == 1
    cfg.test_dataloader.dataset = ConfigDict(
        type='ConcatDataset',
        datasets=[
            dict(type='ClipDataset', clip_length=length, dataset=inner)
            for length in (4, 5)
        ],
    )
    with pytest.raises(UsageError, match=r'clip_length \[4, 5\]'):
        find_clip_length(cfg)
