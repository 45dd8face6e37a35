"""Sounding scenes in the layouts of AVSBench-Object: S4 and MS3.

Beside the files of that layout there are ``visible/`` (the class of every
visible object, sounding or not, laid out like ``gt_masks/``) and ``scenes/``
(the truth of every clip).
"""

from pathlib import Path

import numpy as np

from ..sounding_scenes.scene import Clip
from .files import write_csv, write_image, write_json, write_sound

HEADERS = {
    's4': ('video_id', 'start', 'category', 'split'),
    'ms3': ('video_id', 'split'),
}


def write_object_clip(
    root: Path, layout: str, clip: Clip
) -> tuple[list[tuple], int]:
    """Write the files of one clip.

    Args:
        root (Path): Root of the dataset.
        layout (str): 's4' or 'ms3'.
        clip (Clip): Clip of the subset 'v1s' or 'v1m'.

    Returns:
        tuple[list[tuple], int]: Its row of the index file and its number of
        labeled frames.
    """
    name, data = clip.uid, root / f'{layout}_data'
    if layout == 's4':
        place, stem = Path(clip.split, clip.a_obj), name
        frames = data / 'visual_frames' / place / name
        row = (name, 0, clip.a_obj, clip.split)
    else:
        place, stem = Path(clip.split), f'{name}.mp4'
        frames = data / 'visual_frames' / name
        row = (name, clip.split)
    folders = {
        part: data / part / place / name for part in ('gt_masks', 'visible')
    }
    sound, truth = (data / p / place for p in ('audio_wav', 'scenes'))
    for folder in (frames, *folders.values(), sound, truth):
        make_folder(root, folder)
    masks = np.uint8(255) * (clip.labels > 0)
    if (layout, clip.split) == ('s4', 'train'):
        masks = masks[:1]
    for number, frame in enumerate(clip.world.frames, start=1):
        write_image(frames / f'{stem}_{number}.png', frame)
        write_image(
            folders['visible'] / f'{name}_{number}.png',
            clip.world.visible[number - 1],
        )
    for number, mask in enumerate(masks, start=1):
        write_image(folders['gt_masks'] / f'{name}_{number}.png', mask)
    write_sound(sound / f'{name}.wav', clip.waveform)
    write_json(truth / f'{name}.json', clip.truth())
    return [row], len(masks)


def make_folder(root: Path, folder: Path) -> None:
    """Make a folder, but never the root, which a killed run has removed."""
    missing = []
    while folder != root:
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


def write_object_index(root: Path, layout: str, rows: list[tuple]) -> None:
    """Write ``s4_meta_data.csv`` or ``ms3_meta_data.csv``, a row a clip."""
    write_csv(root / f'{layout}_meta_data.csv', [HEADERS[layout], *rows])
