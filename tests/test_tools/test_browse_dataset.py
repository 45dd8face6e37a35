import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mmcpm.analysis_tools.browse_dataset import sheet_column
from mmcpm.analysis_tools.clip_sheet import choose_clips, draw_sheet

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/_base_/datasets/avs_folder.py'
CLASSES = ('background', 'dog', 'cell phone')
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0]]


@pytest.fixture
def browse(monkeypatch, folder_root, tmp_path):
    """Run the tool; returns the sheets by name."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'browse_dataset', raising=False)
    import browse_dataset as tool

    def run(*options, out='out', config=CONFIG):
        out = tmp_path / out
        arguments = (config, '--out', out, '--data-root', folder_root)
        tool.main([*map(str, arguments), *options])
        return {path.stem: path.read_bytes() for path in out.iterdir()}

    return run


def sample():
    """A frame that is blue, 4 x 6, with a dog in its left half."""
    inputs = torch.zeros(3, 4, 6, dtype=torch.uint8)
    inputs[0] = 200  # OpenCV's order: blue first.
    label = torch.zeros(1, 4, 6, dtype=torch.long)
    label[..., :3] = 1
    data_sample = SegDataSample(
        metainfo={
            'sample_id': 'clip/3',
            'img_shape': (4, 6),
            'flip': True,
            'flip_direction': 'horizontal',
            'audio_labels': (1, 2),
            'sample_rate': 8000,
        }
    )
    data_sample.gt_sem_seg = PixelData(data=label)
    data_sample.set_data({'audio': torch.full((1, 8000), 0.25)})
    return {'inputs': inputs, 'data_samples': data_sample}


@pytest.fixture
def preprocessor():
    return SegDataPreProcessor(
        mean=[120.0, 110.0, 100.0],
        std=[60.0, 50.0, 40.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(8, 8),
    )


def test_padding_is_shown_as_the_model_gets_it(preprocessor):
    column = sheet_column(sample(), preprocessor, True, CLASSES, PALETTE)
    frame, label = column.pictures['frame'], column.pictures['label']
    assert frame.shape == (8, 8, 3)
    assert (frame[:4, :6] == (0, 0, 200)).all()
    # 0 after normalizing is the mean.
    assert (frame[4:] == (120, 110, 100)).all()
    assert (frame[:, 6:] == (120, 110, 100)).all()
    # 24 of 64 pixels are the frame's.
    assert column.captions['label'] == 'hatched: 62 % ignored'
    assert (label[:4, 3:6] == frame[:4, 3:6]).all()
    assert (label[:4, :3] != frame[:4, :3]).any(axis=2).all()
    assert column.labels == {1}
    assert column.heading.split('\n') == [
        'frame 3',
        '4 x 6 px, flipped (horizontal)',
        'sounding: dog, cell phone',
    ]


def test_without_a_model_nothing_is_padded():
    column = sheet_column(sample(), None, True, CLASSES, PALETTE)
    assert column.pictures['frame'].shape == (4, 6, 3)
    assert (column.pictures['frame'] == (0, 0, 200)).all()
    assert column.captions == {}


def test_axes_have_names_and_units(preprocessor):
    column = sheet_column(sample(), preprocessor, True, CLASSES, PALETTE)
    figure = draw_sheet('clip', [column, column], CLASSES, PALETTE)
    assert figure.get_suptitle() == 'clip'
    axes = figure.axes
    # Two columns of frame, label, waveform and spectrogram.
    assert len(axes) == 8
    assert [panel.get_ylabel() for panel in axes[::2]] == [
        'frame',
        'label',
        'amplitude\n(full scale: 1)',
        'frequency\n(kHz)',
    ]
    wave, spectrogram = axes[4], axes[6]
    assert spectrogram.get_xlabel() == 'time (s)'
    assert spectrogram.get_xlim() == (0, 1) and wave.get_xlim() == (0, 1)
    assert spectrogram.get_ylim() == (0, 4)  # Half of 8 kHz.
    assert np.array_equal(wave.lines[0].get_ydata(), np.full(8000, 0.25))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ['dog']


def test_sheet_per_clip(browse):
    sheets = browse('--split', 'test', '--num', '2')
    # The first and the last clip of five.
    assert set(sheets) == {'c0', 'single'}
    picture = cv2.imdecode(np.frombuffer(sheets['c0'], np.uint8), 1)
    assert picture.shape[1] >= 800 and picture.std() > 10


def test_augmentation_depends_on_the_seed(browse):
    options = ('--clips', 'c1', '--views', '2', '--max-frames', '2')
    first = browse(*options, out='a')
    assert browse(*options, out='b') == first
    assert browse(*options, '--seed', '1', out='c') != first


def test_clips_at_even_distances():
    clips = ['a', 'a', 'b', 'c', 'd', 'e']
    assert choose_clips(clips, None, 3) == ['a', 'c', 'e']
    assert choose_clips(clips, None, 9) == ['a', 'b', 'c', 'd', 'e']
    assert choose_clips(clips, ['d', 'b', 'd'], 9) == ['d', 'b']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--num', '0'], '--num must be at least 1'),
        (['--views', '0'], '--views must be at least 1'),
        (['--clips', 'c0', 'c9'], "no clip 'c9'. It has 5, such as c0"),
        (
            ['--cfg-options', 'train_dataloader.dataset.split=none'],
            'none',
        ),
    ],
)
def test_bad_input_ends_with_a_message(
    browse, tmp_path, capsys, options, message
):
    with pytest.raises(SystemExit) as ended:
        browse(*options)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count('browse_dataset.py: error: ') == 1
    assert message in error and 'Traceback' not in error
    assert not list(tmp_path.glob('out/**/*.png'))
