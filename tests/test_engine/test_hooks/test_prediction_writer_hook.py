import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from mmcpm.engine.hooks.prediction_writer_hook import encode_labels


def output(labels, sample_id='clip/0', **metainfo):
    sample = SegDataSample(metainfo={'sample_id': sample_id, **metainfo})
    sample.pred_sem_seg = PixelData(data=torch.as_tensor(labels)[None])
    return sample


def write(tmp_path, *outputs):
    hook = HOOKS.build(
        {'type': 'PredictionWriterHook', 'out_dir': str(tmp_path / 'out')}
    )
    hook.after_test_iter(None, 0, None, outputs)


def read(path):
    with Image.open(path) as file:
        return np.asarray(file)


def test_files_hold_the_classes(tmp_path):
    labels = np.arange(12).reshape(3, 4)
    write(
        tmp_path,
        output(labels, '-a_0_5000/9', ori_shape=(3, 4)),
        output(labels + 59, '__b/9', ori_shape=(3, 4)),
    )
    assert (read(tmp_path / 'out/-a_0_5000/9.png') == labels).all()
    assert (read(tmp_path / 'out/__b/9.png') == labels + 59).all()
    assert len([*tmp_path.rglob('*')]) == 5  # No temporary file is left.


def test_many_classes_need_16_bits():
    import io

    labels = np.array([[0, 255], [256, 1000]])
    assert (read(io.BytesIO(encode_labels(labels))) == labels).all()


def test_predictions_must_have_the_original_size(tmp_path):
    with pytest.raises(ValueError, match=r'clip/0: .*\(3, 4\).*\(720, 1280\)'):
        write(tmp_path, output(np.zeros((3, 4), int), ori_shape=(720, 1280)))


def test_files_never_leave_the_folder(tmp_path):
    with pytest.raises(ValueError, match='cannot name a file'):
        write(tmp_path, output(np.zeros((3, 4), int), '../escaped'))
    assert not list(tmp_path.iterdir())
