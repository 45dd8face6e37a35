"""Sounding scenes in the layouts of VPO.

Class k of the scenes plays the part of class k of VPO, and its masks hold the
id that COCO has for it. Beside the files of that layout there are
``visible/`` (the class of every visible object, sounding or not) and
``scenes/`` (the truth of every image).
"""

from pathlib import Path

import numpy as np

from mmcpm.datasets.vpo import COCO_IDS, VPODataset

from ..sounding_scenes.image_scene import ImageScene, make_image
from ..sounding_scenes.presets import Preset
from .files import write_csv, write_image, write_json, write_sound
from .object_layout import make_folder

# What each layout writes: MSMI takes some of its images from VPO-MS.
VPO_LAYOUTS = {
    'vpo_ss': ('ss',),
    'vpo_ms': ('ms',),
    'vpo_msmi': ('ms', 'msmi'),
}
HEADER = (
    'img_Id', 'ann_Ids', 'cateName', 'cateId', 'vgg_file', 'vgg_label',
    'audio_pos', 'split',
)  # fmt: skip
# VPO knows two splits; the images for validation are a part of train.
CSV_SPLITS = {'train': 'train', 'val': 'train', 'test': 'val'}
FIRST_IMAGE = {'train': 1, 'val': 100_001, 'test': 200_001}
AUDIO_FOLDER = Path('vggsound_bench', 'VGGSound', 'audios')

CLASSES = VPODataset.METAINFO['classes']
COCO_ID_OF = {name: value for value, name in COCO_IDS.items()}
COCO_TABLE = np.array([COCO_ID_OF[name] for name in CLASSES], np.uint8)


def make_vpo_image(
    root: Path,
    layout: str,
    preset: Preset,
    split: str,
    index: int,
    *,
    seed: int,
    size: int,
) -> tuple[list[tuple], int]:
    """Make and write one image.

    Args:
        root (Path): Root of the dataset.
        layout (str): Key of :data:`VPO_LAYOUTS`.
        preset (Preset): The world, of 21 classes at most.
        split (str): 'train', 'val' or 'test'.
        index (int): Number of the image in its split.
        seed (int): Seed of the dataset.
        size (int): Height and width, pixels.

    Returns:
        tuple[list[tuple], int]: Its rows of the index file, followed by
        ``multi_instance``, and the number of its label maps, 1.
    """
    subset = layout.removeprefix('vpo_')
    image = make_image(preset, subset, split, index, seed=seed, size=size)
    return _write(root, subset, image, FIRST_IMAGE[split] + index, split), 1


def _write(
    root: Path, subset: str, image: ImageScene, number: int, split: str
) -> list[tuple]:
    """Write the files of an image; give its rows."""
    name, rows = f'{number:012}', []
    make_folder(root, root / AUDIO_FOLDER)
    for source in image.sources:
        category = CLASSES[source.class_id]
        recording = f'{name}_{source.index}'
        write_sound(root / AUDIO_FOLDER / f'{recording}.wav', source.recording)
        row = (
            number,
            10 * number + source.index,
            category,
            COCO_ID_OF[category],
            recording,
            image.preset.class_names[source.class_id],
            source.position,
            CSV_SPLITS[split],
            int(image.multi_instance),
        )
        rows.append(row)
    if subset == 'ss':
        folder, place = root / 'VPO-SS', Path(rows[0][2])
        mask = f'{name}_{rows[0][1]:012}.png'
    else:
        kind = 'VPO-MSMI' if image.multi_instance else 'VPO-MS'
        folder, place, mask = root / kind, Path(), f'{name}.png'
    for part in ('data', 'mask', 'visible', 'scenes'):
        make_folder(root, folder / part / place)
    write_image(folder / 'data' / place / f'{name}.jpg', image.world.frames[0])
    write_image(folder / 'mask' / place / mask, COCO_TABLE[image.label])
    write_image(
        folder / 'visible' / place / f'{name}.png', image.world.visible[0]
    )
    write_json(folder / 'scenes' / place / f'{name}.json', image.truth())
    return rows


def write_vpo_index(root: Path, layout: str, rows: list[tuple]) -> None:
    """Write ``vpo_<subset>_data_stereo.csv``; for MSMI, that of MS too."""
    for subset in VPO_LAYOUTS[layout]:
        folder = root / f'VPO-{subset.upper()}'
        folder.mkdir(exist_ok=True)
        flagged = subset == 'msmi'
        chosen = [row for row in rows if flagged or not row[-1]]
        header = (*HEADER, 'multi_instance') if flagged else HEADER
        write_csv(
            folder / f'vpo_{subset}_data_stereo.csv',
            [header, *(row[: len(header)] for row in chosen)],
        )
