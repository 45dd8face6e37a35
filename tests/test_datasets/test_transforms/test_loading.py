import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmcpm.datasets.errors import FrameReadError, LabelReadError
from mmcpm.datasets.transforms import LoadAVSAnnotations, LoadFrameFromFile

# Frames


@pytest.fixture
def frame(tmp_path, rng):
    path = tmp_path / '0.jpg'
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (64, 48)))
    return path


@pytest.mark.parametrize('to_float32', [False, True])
def test_frame_is_loaded_as_by_mmcv(frame, to_float32):
    ours = LoadFrameFromFile(to_float32=to_float32)({'img_path': str(frame)})
    mmcv = LoadImageFromFile(to_float32=to_float32)({'img_path': str(frame)})
    assert ours.keys() == mmcv.keys()
    assert (ours['img'] == mmcv['img']).all()
    assert ours['img'].dtype == mmcv['img'].dtype
    assert ours['img_shape'] == ours['ori_shape'] == (48, 64)


@pytest.mark.parametrize('share', [0.3, 0.6, 0.99])
def test_cut_jpeg_is_refused(frame, share):
    content = frame.read_bytes()
    frame.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FrameReadError) as error:
        LoadFrameFromFile()({'img_path': str(frame)})
    message = str(error.value)
    assert message.startswith(f'Cannot read the frame {frame}: ')
    assert "restore it from the dataset's archive" in message


@pytest.mark.parametrize(
    ('content', 'match'),
    [(b'', r'empty \(0 bytes\)'), (b'<html>', '6 bytes arrived and could')],
)
def test_other_contents_are_refused(frame, content, match):
    frame.write_bytes(content)
    with pytest.raises(FrameReadError, match=match):
        LoadFrameFromFile()({'img_path': str(frame)})


def test_missing_frame_is_refused_or_passed_over(tmp_path):
    results = {'img_path': str(tmp_path / 'absent.jpg')}
    with pytest.raises(FrameReadError, match='absent.jpg: no such file'):
        LoadFrameFromFile()(dict(results))
    assert LoadFrameFromFile(ignore_empty=True)(dict(results)) is None


# Label maps


def load(path, num_label_values=71, **results):
    return LoadAVSAnnotations()(
        dict(
            seg_map_path=str(path),
            num_label_values=num_label_values,
            **results,
        )
    )


def write(tmp_path, array, mode=None):
    path = tmp_path / '0.png'
    image = Image.fromarray(array)
    if mode == 'P':
        image.putpalette(list(range(256)) * 3)
    image.save(path)
    return path


LABEL_MAP = np.array([[0, 70, 3], [255, 0, 1]], np.uint8)


@pytest.mark.parametrize('mode', ['L', 'P'])
def test_values_are_class_ids_in_both_modes(tmp_path, mode):
    results = load(write(tmp_path, LABEL_MAP, mode))
    assert (results['gt_seg_map'] == LABEL_MAP).all()
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map']


def test_color_picture_is_refused(tmp_path):
    path = write(tmp_path, np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(LabelReadError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f'Cannot use the label file {path}: ')
    assert 'an array of shape (2, 3, 3), a color picture' in message
    assert 'folder labels_semantic, not of labels_rgb' in message


def test_values_above_the_classes_are_refused(tmp_path):
    label_map = LABEL_MAP.copy()
    label_map[0] = 71, 90, 200
    with pytest.raises(LabelReadError) as error:
        load(write(tmp_path, label_map))
    message = str(error.value)
    assert 'it holds the values 71, 90, 200. Expected' in message
    assert 'class ids 0..70 (or 255)' in message


def test_only_five_of_many_values_are_listed(tmp_path):
    label_map = np.arange(100, dtype=np.uint8).reshape(10, 10)
    with pytest.raises(LabelReadError, match='values 71, 72, 73, 74, 75, ...'):
        load(write(tmp_path, label_map))


def test_sixteen_bit_values_do_not_wrap(tmp_path):
    # 256 + 3 would be class 3 in eight bits.
    path = write(tmp_path, np.full((2, 2), 259, np.uint16))
    with pytest.raises(LabelReadError, match='the values 259'):
        load(path)


def test_number_of_classes_is_that_of_the_dataset(tmp_path):
    path = write(tmp_path, np.full((2, 2), 8, np.uint8))
    assert load(path, num_label_values=9)['gt_seg_map'].max() == 8
    with pytest.raises(LabelReadError, match=r'the values 8\. .* 0\.\.7 '):
        load(path, num_label_values=8)


def test_classes_of_the_model_may_differ(tmp_path):
    renaming = dict.fromkeys(range(71), 255) | {0: 0, 70: 1, 3: 2}
    results = load(write(tmp_path, LABEL_MAP), label_map=renaming)
    assert results['gt_seg_map'].tolist() == [[0, 1, 2], [255, 0, 255]]


def test_frame_and_label_map_have_one_size(tmp_path):
    path = write(tmp_path, LABEL_MAP)
    assert load(path, ori_shape=(2, 3))['gt_seg_map'].shape == (2, 3)
    with pytest.raises(LabelReadError) as error:
        load(path, ori_shape=(224, 224), img_path='frames/0.jpg')
    message = str(error.value)
    assert f'{path} is 2 x 3 (height x width)' in message
    assert 'its frame frames/0.jpg is 224 x 224' in message


def test_swapped_sizes_name_an_orientation(tmp_path):
    frame = Image.fromarray(np.zeros((2, 3, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    frame.save(tmp_path / '0.jpg', exif=exif)
    # Drawn on the frame as viewers show it: upright.
    path = write(tmp_path, LABEL_MAP.T)
    info = LoadFrameFromFile()({'img_path': str(tmp_path / '0.jpg')})
    assert info['ori_shape'] == (2, 3)
    with pytest.raises(LabelReadError) as error:
        load(path, **info)
    message = str(error.value)
    assert f'{path} is 3 x 2 (height x width), its frame' in message
    assert 'EXIF orientation 6 of the frame is ignored' in message


@pytest.mark.parametrize('share', [0, 0.1, 0.5, 0.99])
def test_cut_label_file_is_refused(tmp_path, rng, share):
    path = write(tmp_path, rng.integers(0, 71, (40, 40), dtype=np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LabelReadError, match=f'label file {path}: '):
        load(path)


def test_missing_label_file_is_refused(tmp_path):
    with pytest.raises(LabelReadError, match='absent.png: no such file'):
        load(tmp_path / 'absent.png')


def test_representation():
    assert repr(LoadAVSAnnotations()) == (
        "LoadAVSAnnotations(imdecode_backend='pillow', backend_args=None)"
    )
