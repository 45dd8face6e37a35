from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.visualization import Visualizer
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from mmcpm.engine.hooks.visualization_hook import AVSVisualizationHook

RUNNER = SimpleNamespace(iter=12)


class Recorder:
    """Stands in for the visualizer."""

    def __init__(self):
        self.calls = []

    def add_datasample(self, name, image, **kwargs):
        self.calls.append({'name': name, 'image': image, **kwargs})


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(Visualizer, 'get_current_instance', lambda: recorder)
    return recorder


@pytest.fixture
def batch(tmp_path):
    path = str(tmp_path / '0.png')
    cv2.imwrite(path, np.full((4, 6, 3), (1, 2, 3), np.uint8))
    inputs, outputs = [], []
    for i, sample_id in enumerate(('-a_0_5000/0', '__b/0')):
        item = SegDataSample()
        item.set_data({'audio': torch.full((1, 4), i)})
        inputs.append(item)
        outputs.append(
            SegDataSample(metainfo={'sample_id': sample_id, 'img_path': path})
        )
    return {'data_samples': inputs}, outputs


def test_is_registered():
    assert HOOKS.get('AVSVisualizationHook') is AVSVisualizationHook


def test_draws_nothing_by_default(recorder, batch):
    AVSVisualizationHook().after_test_iter(RUNNER, 49, *batch)
    assert recorder.calls == []


def test_every_interval(recorder, batch):
    hook = AVSVisualizationHook(draw=True, interval=3)
    drawn = []
    for batch_idx in range(7):
        hook.after_val_iter(RUNNER, batch_idx, *batch)
        drawn.append(len(recorder.calls))
    assert drawn == [0, 0, 2, 2, 2, 4, 4]


def test_training_is_not_drawn(recorder, batch):
    AVSVisualizationHook(draw=True, interval=1).after_train_iter(
        RUNNER, 0, *batch
    )
    assert recorder.calls == []


def test_backends_get_names_that_are_file_names(recorder, batch):
    AVSVisualizationHook(draw=True, interval=1).after_val_iter(
        RUNNER, 0, *batch
    )
    first, second = recorder.calls
    assert (first['name'], second['name']) == ('val_-a_0_5000_0', 'val___b_0')
    assert first['out_file'] is None and first['step'] == 12
    # OpenCV wrote blue, green, red; frames are drawn as RGB.
    assert (first['image'] == (3, 2, 1)).all()
    assert first['image'].shape == (4, 6, 3)
    assert second['data_sample'] is batch[1][1]


def test_sound_comes_from_the_batch(recorder, batch):
    hook = AVSVisualizationHook(draw=True, interval=1)
    hook.after_test_iter(RUNNER, 0, *batch)
    assert [call['audio'][0, 0].item() for call in recorder.calls] == [0, 1]


def test_sound_of_augmented_batches(recorder, batch):
    data_batch, outputs = batch
    views = {'data_samples': [data_batch['data_samples'], [None, None]]}
    AVSVisualizationHook(draw=True, interval=1).after_test_iter(
        RUNNER, 0, views, outputs
    )
    assert [call['audio'][0, 0].item() for call in recorder.calls] == [0, 1]


def test_files_are_named_by_sample_id(recorder, batch, tmp_path):
    hook = AVSVisualizationHook(
        draw=True,
        interval=1,
        show_dir=str(tmp_path / 'out'),
        show=True,
        wait_time=2.0,
    )
    hook.after_test_iter(RUNNER, 0, *batch)
    assert [call['out_file'] for call in recorder.calls] == [
        str(tmp_path / 'out' / '-a_0_5000' / '0.png'),
        str(tmp_path / 'out' / '__b' / '0.png'),
    ]
    assert recorder.calls[0]['name'] == '-a_0_5000/0'
    assert recorder.calls[0]['show'] and recorder.calls[0]['wait_time'] == 2.0


def test_files_never_leave_the_folder(recorder, batch, tmp_path):
    batch[1][0].set_metainfo({'sample_id': '../../escaped'})
    hook = AVSVisualizationHook(
        draw=True, interval=1, show_dir=str(tmp_path / 'out')
    )
    with pytest.raises(ValueError, match='escaped.*cannot name a file'):
        hook.after_test_iter(RUNNER, 0, *batch)


def test_frame_is_drawn_as_it_is_stored(recorder, batch, tmp_path):
    exif, pixels = Image.Exif(), np.zeros((4, 6, 3), np.uint8)
    exif[0x0112] = 6
    pixels[0, 0] = (9, 8, 7)
    for output in batch[1]:
        Image.fromarray(pixels).save(output.img_path, exif=exif)
    hook = AVSVisualizationHook(draw=True, interval=1)
    hook.after_test_iter(RUNNER, 0, *batch)
    assert (recorder.calls[0]['image'] == pixels).all()


def test_broken_frame_is_named(recorder, batch, tmp_path):
    (tmp_path / '0.png').write_bytes(b'no image')
    hook = AVSVisualizationHook(draw=True, interval=1)
    with pytest.raises(ValueError, match=r'0\.png cannot be decoded: 8 bytes'):
        hook.after_test_iter(RUNNER, 0, *batch)
