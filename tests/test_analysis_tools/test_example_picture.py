import cv2
import numpy as np

from mmcpm.analysis_tools import example_picture
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)


def label(**pixels):
    """A 10 x 10 label in which class ``c<id>`` covers that many pixels."""
    flat = np.zeros(100, np.uint8)
    start = 0
    for name, count in pixels.items():
        flat[start : start + count] = int(name[1:])
        start += count
    return flat.reshape(10, 10)


def test_a_class_of_a_few_pixels_is_not_seen_at_a_glance():
    assert example_picture.sounding_classes(label(c2=4, c7=3)) == {2}
    assert example_picture.sounding_classes(label()) == set()


def test_first_clip_whose_sounding_classes_change():
    labels = {
        # One class in common; then none.
        'a/0': label(c1=10, c2=10),
        'a/1': label(c1=10),
        'a/2': label(c3=10),
        # Apart, but in two clips.
        'b/0': label(c4=10, c5=10),
        # Silent, then the first that qualifies.
        'c/0': label(),
        'c/1': label(c1=10),
        'c/2': label(c2=10, c3=5),
        'd/0': label(c1=10),
        'd/1': label(c2=10, c3=5),
    }
    assert example_picture.choose_frames(labels) == ('a/0', 'a/2')
    # Apart as well, but of two classes only.
    labels['a/0'] = label(c1=10)
    assert example_picture.choose_frames(labels) == ('c/1', 'c/2')
    del labels['c/2'], labels['d/1']
    assert example_picture.choose_frames(labels) is None


def test_pictures_of_the_chosen_frames_stand_below_each_other(tmp_path):
    write_sounding_scenes(tmp_path / 'data', 'demo', clips=(1, 1, 12))
    pictures = tmp_path / 'pictures'
    widths = {}
    for path in sorted((tmp_path / 'data').glob('*/test*/labels_semantic/*')):
        clip, number = path.parts[-3], int(path.stem)
        target = pictures / clip / f'{number}.png'
        target.parent.mkdir(parents=True, exist_ok=True)
        widths[f'{clip}/{number}'] = 40 + number
        picture = np.full((30, 40 + number, 3), 10 * number, np.uint8)
        assert cv2.imwrite(str(target), picture)
    example = tmp_path / 'example.png'
    first, second = example_picture.write_example(
        tmp_path / 'data', pictures, example
    )
    assert first.split('/')[0] == second.split('/')[0]
    sheet = cv2.imread(str(example))
    assert sheet.shape == (60, max(widths[first], widths[second]), 3)
    shades = [10 * int(frame.split('/')[1]) for frame in (first, second)]
    assert (sheet[:30] == shades[0]).all() and (sheet[30:] == shades[1]).all()
