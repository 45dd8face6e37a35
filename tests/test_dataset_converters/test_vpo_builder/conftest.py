"""A tiny set of COCO-format annotations with pictures and recordings."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import soundfile
from pycocotools import mask as coco_mask

from mmcpm.dataset_converters.vpo_builder.ingredients import Ingredients

HEIGHT, WIDTH = 40, 80
# None of these ids is VPO's; 'moped' has no class of that name.
CATEGORIES = {1: 'person', 2: 'Dog', 3: 'cat', 9: 'moped'}
RATE = 16000
SECONDS = 5


def boxes_of_pictures():
    """Category and box (left, top, width, height) by picture."""
    boxes = {}
    for i in range(1, 13):  # VPO-MS: a dog and a cat beside a person.
        boxes[i] = [
            ('Dog', (2 * i, 4, 10, 12)),
            ('cat', (40 + i, 20, 14, 16)),
            ('person', (70, 0, 8, 30)),
        ]
    for i in range(21, 33):  # VPO-MSMI: dogs left and right, and a cat.
        boxes[i] = [
            ('Dog', (i - 20, 5, 12, 12)),
            ('Dog', (60, 5, i - 12, 12)),
            ('cat', (30, 25, 12, 12)),
        ]
    boxes[41] = [('crowd', (0, 0, 30, 30)), ('Dog', (40, 0, 20, 20))]
    boxes[42] = [('Dog', (0, 0, 30, 30)), ('Dog', (70, 0, 2, 2))]
    boxes[43] = [('Dog', (0, 0, 30, 15)), ('Dog', (3, 20, 30, 15))]
    boxes[44] = [('person', (0, 0, 30, 15)), ('cat', (50, 0, 2, 2))]
    return boxes


def segment(box, form):
    """Write a box as polygon, run lengths or their string."""
    x, y, w, h = box
    if form == 0:
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    if form == 1:
        counts = coco_mask.encode(mask)['counts'].decode()
        return {'size': [HEIGHT, WIDTH], 'counts': counts}
    flat = np.concatenate(([0], mask.ravel('F'), [0]))
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate(([0], edges, [HEIGHT * WIDTH])))
    return {'size': [HEIGHT, WIDTH], 'counts': [int(n) for n in runs]}


def make_annotations():
    """Make the content of the JSON file."""
    images, annotations = [], []
    ids = {name: number for number, name in CATEGORIES.items()}
    for number, boxes in boxes_of_pictures().items():
        images.append(
            dict(
                id=number,
                file_name=f'part/{number}.jpg',
                height=HEIGHT,
                width=WIDTH,
            )
        )
        for index, (name, box) in enumerate(boxes):
            crowd = name == 'crowd'
            annotations.append(
                dict(
                    id=100 * number + index,
                    image_id=number,
                    category_id=ids['Dog' if crowd else name],
                    iscrowd=int(crowd),
                    bbox=list(box),
                    segmentation=segment(box, 2 if crowd else number % 3),
                )
            )
    return dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=i, name=n) for i, n in CATEGORIES.items()],
    )


def write_recordings(folder: Path):
    """Write recordings: every one a frequency of its own."""
    rows = ['file,class,start']
    time = np.arange(SECONDS * RATE) / RATE
    for number, label in enumerate(
        ['dog barking'] * 4 + ['dog howling'] + ['cat'] * 4 + ['thunder']
    ):
        # The second half is louder: the start can be told.
        wave = 0.2 * np.sin(2 * np.pi * (200 + 50 * number) * time)
        wave[len(wave) // 2 :] *= 2
        soundfile.write(folder / f'r{number}.wav', wave, RATE)
        start = '' if number % 2 else 1.5
        rows.append(f'r{number}.wav,{label},{start}')
    return rows


@pytest.fixture(scope='session')
def built_from(tmp_path_factory):
    """Folder with coco.json, images/, sounds.csv and sounds/."""
    root = tmp_path_factory.mktemp('ingredients')
    (root / 'images/part').mkdir(parents=True)
    (root / 'sounds').mkdir()
    (root / 'coco.json').write_text(json.dumps(make_annotations()))
    for number, boxes in boxes_of_pictures().items():
        picture = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
        for index, (_, (x, y, w, h)) in enumerate(boxes, start=1):
            picture[y : y + h, x : x + w] = 60 * index
        cv2.imwrite(str(root / f'images/part/{number}.jpg'), picture)
    rows = write_recordings(root / 'sounds')
    (root / 'sounds.csv').write_text('\n'.join(rows) + '\n')
    return root


@pytest.fixture
def ingredients(built_from, tmp_path):
    """Make ``Ingredients`` of a copy that a test may damage."""
    root = shutil.copytree(built_from, tmp_path / 'in')

    def make(**options):
        paths = dict(
            annotations=root / 'coco.json',
            images=root / 'images',
            recordings=root / 'sounds.csv',
            audio=root / 'sounds',
        )
        return Ingredients(**{**paths, 'test_share': 0.3, **options})

    return SimpleNamespace(root=root, make=make)


@pytest.fixture
def edit(ingredients):
    """Change the annotations by a function."""

    def change(function, name='coco.json'):
        path = ingredients.root / name
        content = json.loads(path.read_text())
        function(content)
        path.write_text(json.dumps(content))

    return change


@pytest.fixture(scope='session')
def boxes():
    """Category and box by picture, as ``built_from`` was drawn."""
    return boxes_of_pictures()
