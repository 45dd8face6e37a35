"""Frames and label maps that are there, but not what they should be."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

# The first sample of the training; 36 x 40 pixels.
CLIP = 'v1s/__GOGlHL23s_4000_9000'
SAMPLE = 'Sample __GOGlHL23s_4000_9000/0: '
SKIP = 'train_dataloader.dataset.skip_unreadable=N'


def png(image):
    return cv2.imencode('.png', image)[1].tobytes()


def half(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda content: b'', 'the file is empty (0 bytes)'),
        (lambda content: content[:-20], 'the file is truncated'),
        (lambda content: content[:100], 'the file is truncated'),
        (
            lambda content: b'<html>404</html>',
            '16 bytes arrived and could not be decoded',
        ),
    ],
    ids=['empty', 'truncated', 'header only', 'web page'],
)
def test_frame(tools, change, message, workers):
    """The second sample: a worker meets it, not the check before."""
    frame = tools.data_root / 'v1s/zVfLHhs9uv8_3000_8000/frames/0.jpg'
    frame.write_bytes(change(frame.read_bytes()))
    found = tools.refuses(
        'train', f'train_dataloader.num_workers={workers}', begun=True
    )
    assert 'Sample zVfLHhs9uv8_3000_8000/0: ' in found
    assert f'Cannot read the frame {frame}: ' in found and message in found
    assert 'Restore it' in found or 'restore it' in found
    assert SKIP in found


def test_frame_is_a_folder(tools):
    frame = tools.data_root / CLIP / 'frames/0.jpg'
    frame.unlink()
    frame.mkdir()
    message = tools.refuses('train')
    assert f'{SAMPLE}Cannot read the frame {frame}: is a directory' in message


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty (0 bytes)'),
        (b'hello', '5 bytes arrived and could not be decoded'),
        (png(np.full((36, 40), 71, np.uint8)), 'it holds the values 71'),
        (png(np.full((36, 40), 300, np.uint16)), 'it holds the values 300'),
        (
            png(np.zeros((36, 40, 3), np.uint8)),
            'shape (36, 40, 3), a color picture',
        ),
        (
            half(png(np.random.default_rng(0).integers(0, 9, (36, 40)))),
            'truncated',
        ),
    ],
    ids=['empty', 'text', 'above 70', '16 bits', 'labels_rgb', 'half'],
)
def test_label(tools, content, message):
    label = tools.data_root / CLIP / 'labels_semantic/0.png'
    label.write_bytes(content)
    found = tools.refuses('train')
    assert f'{SAMPLE}Cannot use the label file {label}: ' in found
    assert message in found
    assert 'values are class ids 0..70 (or 255)' in found
    assert 'labels_semantic, not of labels_rgb' in found


def test_label_of_another_size(tools):
    label = tools.data_root / CLIP / 'labels_semantic/0.png'
    label.write_bytes(png(np.zeros((10, 20), np.uint8)))
    message = tools.refuses('train')
    assert f'{label} is 10 x 20 (height x width), its frame' in message
    assert 'is 36 x 40. Take both from the same copy' in message


def test_label_met_while_testing(tools, weights):
    label = tools.data_root / 'v1s/test1s_0_5000/labels_semantic/1.png'
    label.write_bytes(png(np.full((48, 64), 99, np.uint8)))
    message = tools.refuses('test', weights, begun=True)
    assert f'Sample test1s_0_5000/1: Cannot use the label file {label}' in (
        message
    )


# What is no fault


@pytest.mark.parametrize('value', [0, 255])
def test_frames_without_any_object_can_be_trained_on(tools, value):
    for path in tools.data_root.glob('*/*/labels_semantic/*.png'):
        shape = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape
        path.write_bytes(png(np.full(shape, value, np.uint8)))
    tools.train('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')
    saved = torch.load('work/epoch_1.pth', weights_only=False)['state_dict']
    assert all(weight.isfinite().all() for weight in saved.values())
    log = next(Path('work').glob('*/*.log')).read_text()
    assert 'skipped' not in log and 'loss: nan' not in log


@pytest.mark.parametrize('shape', [(36, 40), (36, 40, 3), (36, 40, 4)])
def test_png_frames_under_the_name_jpg_are_read(tools, shape):
    frame = tools.data_root / CLIP / 'frames/0.jpg'
    frame.write_bytes(png(np.full(shape, 9, np.uint8)))
    tools.accepts('train')
