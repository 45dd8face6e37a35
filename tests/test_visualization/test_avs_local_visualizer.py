import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

from mmcpm.visualization import AVSLocalVisualizer

CLASSES = ('background', 'dog', 'missile-rocket', 'violin')
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.fixture
def visualizer():
    visualizer = AVSLocalVisualizer()
    visualizer.dataset_meta = {'classes': CLASSES, 'palette': PALETTE}
    return visualizer


def frame(height=96, width=96):
    return np.full((height, width, 3), 77, np.uint8)


def sample(truth=None, prediction=None, audio=None, **metainfo):
    data_sample = SegDataSample(metainfo=metainfo)
    if truth is not None:
        data_sample.gt_sem_seg = PixelData(data=truth[None])
    if prediction is not None:
        data_sample.pred_sem_seg = PixelData(data=prediction[None])
    if audio is not None:
        data_sample.set_data({'audio': audio})
    return data_sample


def labels(value, height=96, width=96):
    result = torch.zeros((height, width), dtype=torch.int64)
    result[height // 4 : height // 2, width // 4 : width // 2] = value
    return result


@pytest.fixture
def words(monkeypatch):
    """Lines of text that were set, without their squares."""
    lines = []

    def text_block(entries, width, size):
        lines.append(' '.join(text for text, _ in entries))
        return np.full((size, width, 3), 255, np.uint8)

    monkeypatch.setattr(
        'mmcpm.visualization.avs_local_visualizer.text_block', text_block
    )
    return lines


def test_is_registered():
    assert VISUALIZERS.get('AVSLocalVisualizer') is AVSLocalVisualizer


@pytest.mark.parametrize(
    'height, width', [(96, 96), (720, 1280), (640, 360), (1, 1), (50, 2000)]
)
def test_sizes(visualizer, height, width):
    picture = visualizer.draw_clip(
        frame(height, width),
        sample(
            labels(1, height, width),
            labels(2, height, width),
            torch.zeros(1, 16000),
        ),
        title='clip/0',
    )
    assert picture.dtype == np.uint8
    assert 900 <= picture.shape[1] <= 2000
    assert picture.shape[0] <= 1100


def test_picture_tells_everything(visualizer, words):
    visualizer.draw_clip(
        frame(),
        sample(labels(1), labels(2), torch.rand(1, 16000)),
        title='clip/0',
    )
    assert sorted(words) == sorted(
        [
            'clip/0',
            'frame',
            'labeled',
            'predicted',
            'labeled as sounding: dog (6 %)',
            'predicted: missile-rocket (6 %)',
            'sound: 1 s, up to 8 kHz',
        ]
    )


def test_sounding_class_out_of_view(visualizer, words):
    visualizer.draw_clip(
        frame(), sample(labels(0), labels(0), audio_labels=(3,))
    )
    assert 'labeled as sounding: violin (not in view)' in words
    assert 'predicted: nothing' in words


def test_ignored_pixels_are_no_class(visualizer, words):
    visualizer.draw_clip(frame(), sample(labels(255)))
    assert 'labeled as sounding: nothing' in words


def test_tiny_object(visualizer, words):
    prediction = torch.zeros((96, 96), dtype=torch.int64)
    prediction[0, 0] = 1
    visualizer.draw_clip(frame(), sample(prediction=prediction))
    assert 'predicted: dog (< 1 %)' in words


def test_silence_and_stereo(visualizer, words):
    audio = torch.zeros(2, 32000)
    audio[1] = 1
    visualizer.draw_clip(frame(), sample(audio=audio))
    assert 'sound, left: silence' in words
    assert 'sound, right: 2 s, up to 8 kHz' in words


def test_sample_rate_of_the_data_sample(visualizer, words):
    visualizer.draw_clip(
        frame(), sample(audio=torch.ones(1, 8000), sample_rate=8000)
    )
    assert 'sound: 1 s, up to 4 kHz' in words


def test_audio_beside_the_data_sample(visualizer, words):
    visualizer.draw_clip(frame(), sample(), audio=torch.ones(1, 16000))
    assert 'sound: 1 s, up to 8 kHz' in words


def test_parts_can_be_left_out(visualizer, words):
    visualizer.draw_clip(
        frame(), sample(labels(1), labels(1)), draw_gt=False, draw_pred=False
    )
    assert words == ['frame']
    assert visualizer.draw_clip(frame()).shape[1] >= 900


def test_panels_stand_side_by_side(visualizer):
    picture = visualizer.draw_clip(frame(), sample(labels(1), labels(2)))
    plain = (picture == 77).all(2)  # And some pixels of the letters.
    assert plain[:, :312].sum() == pytest.approx(300 * 300, abs=20)
    # Paint: 0.4 * 77 + 0.6 * 255 in the class's channel.
    for start, color in ((312, [183, 30, 30]), (624, [30, 183, 30])):
        panel = picture[:, start : start + 312]
        painted = (panel == color).all(2)
        assert painted.sum() == pytest.approx((300 / 4) ** 2, rel=0.1)
        background = (panel == 77).all(2)
        assert background.sum() == pytest.approx(300 * 300 * 15 / 16, abs=20)


def test_labels_of_another_size_are_scaled(visualizer):
    small = visualizer.draw_clip(frame(192, 192), sample(labels(1)))
    large = visualizer.draw_clip(frame(192, 192), sample(labels(1, 192, 192)))
    assert (small == large).all()


def test_saved_file_is_the_picture(visualizer, tmp_path):
    path = tmp_path / '-clip' / '0.png'
    data_sample = sample(labels(1), labels(2), torch.rand(1, 16000))
    visualizer.add_datasample(
        'clip/0', frame(), data_sample, out_file=str(path)
    )
    saved = cv2.imread(str(path))[..., ::-1]
    expected = visualizer.draw_clip(frame(), data_sample, title='clip/0')
    assert (saved == expected).all()


def test_jpeg(visualizer, tmp_path):
    path = tmp_path / '0.jpg'
    visualizer.add_datasample('a', frame(), out_file=str(path))
    assert path.read_bytes()[:2] == b'\xff\xd8'


def test_backends_get_the_picture(tmp_path):
    visualizer = AVSLocalVisualizer(
        vis_backends=[{'type': 'LocalVisBackend'}],
        save_dir=str(tmp_path),
        classes=CLASSES,
        palette=PALETTE,
    )
    visualizer.add_datasample('val_clip_0', frame(), sample(labels(1)), step=3)
    assert (tmp_path / 'vis_data/vis_image/val_clip_0_3.png').is_file()


def test_window_only(visualizer, monkeypatch):
    shown, added = [], []
    monkeypatch.setattr(
        visualizer, 'show', lambda picture, **kwargs: shown.append(kwargs)
    )
    monkeypatch.setattr(visualizer, 'add_image', added.append)
    visualizer.add_datasample('a', frame(), show=True, wait_time=3)
    assert shown == [{'win_name': 'a', 'wait_time': 3}] and not added


def test_every_rank_knows_the_dataset(monkeypatch, words):
    monkeypatch.setattr('mmengine.dist.utils.is_main_process', lambda: False)
    visualizer = AVSLocalVisualizer()
    visualizer.dataset_meta = {'classes': CLASSES, 'palette': PALETTE}
    visualizer.draw_clip(frame(), sample(labels(1)))
    assert 'labeled as sounding: dog (6 %)' in words


def test_no_dataset_is_assumed():
    with pytest.raises(ValueError, match='visualizer.dataset_meta'):
        AVSLocalVisualizer().draw_clip(frame(), sample(labels(1)))
