"""Writer of sounding scenes, in the layout of a dataset.

The layout of AVSBench-Semantic is here, the others are in
:mod:`mmcpm.dataset_converters.common`. Beside the files of that layout, a clip
holds ``visible/<t>.png`` (the class of every visible object, sounding or not)
and ``scene.json`` (the truth).
Nothing appears under the final name before everything is written.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np

from mmcpm.datasets.metadata.index_table import SPLITS

from ..common.files import write_csv, write_image, write_json, write_sound
from ..common.folders import DatasetFolderError, write_once
from ..common.object_layout import write_object_clip, write_object_index
from ..common.parallel import map_clips
from ..common.vpo_layout import VPO_LAYOUTS, make_vpo_image, write_vpo_index
from .presets import (
    GENERATOR_VERSION,
    Preset,
    count_labeled_frames,
    get_preset,
)
from .scene import Clip, make_clip

MARKER = 'sounding_scenes.json'
LAYOUTS = ('avss', 's4', 'ms3', *VPO_LAYOUTS)
METADATA_HEADER = ('vid', 'uid', 's_min', 's_sec', 'a_obj', 'split', 'label')
MIN_SIZE = 32


def write_sounding_scenes(
    out_dir: str | Path,
    preset: str = 'demo',
    *,
    layout: str = 'avss',
    seed: int = 0,
    size: int = 96,
    clips: tuple[int, int, int] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> tuple[dict, bool]:
    """Write a dataset, or find that it is already there.

    Args:
        out_dir (str | Path): Root of the dataset.
        preset (str): Key of :data:`PRESETS`.
        layout (str): One of :data:`LAYOUTS`: the dataset whose files they
            shall look like. In those of VPO a clip is an image, and the
            images for training and validation are one split.
        seed (int): Seed; the same seed gives the same files.
        size (int): Height and width of the frames, pixels.
        clips (tuple[int, int, int], optional): Clips for training,
            validation and test. Defaults to the preset's numbers.
        workers (int, optional): Number of processes, see
            :func:`.map_clips`.
        overwrite (bool): Whether to replace a dataset that this function
            wrote earlier.

    Returns:
        tuple[dict, bool]: What the marker file says, and whether the
        dataset was written now (or else was there).

    Raises:
        DatasetFolderError: If ``out_dir`` holds something else or cannot be
            written.
        ValueError: If an argument is out of range.
    """
    world = get_preset(preset)
    counts = dict(zip(SPLITS, clips or world.clips, strict=True))
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(
            'clips must be three numbers of clips (train, val, '
            f'test), none negative and one positive: {clips}'
        )
    if size < MIN_SIZE or seed < 0:
        raise ValueError(
            f'size must be at least {MIN_SIZE} pixels and seed '
            f'at least 0, got size={size} and seed={seed}.'
        )
    if layout not in LAYOUTS:
        raise ValueError(
            f'layout must be one of {LAYOUTS}, but got {layout!r}.'
        )
    wanted = {
        'preset': preset,
        'seed': seed,
        'size': size,
        'clips': counts,
        'version': GENERATOR_VERSION,
    }
    if layout != 'avss':
        wanted['layout'] = layout
    return write_once(
        out_dir,
        MARKER,
        overwrite,
        lambda root, found: _refuse_other(root, found, wanted),
        lambda folder: _write(folder, world, wanted, workers),
    )


def read_marker(data_root: str | Path) -> dict:
    """Read what a written dataset says about itself.

    Args:
        data_root (str | Path): Root of a dataset of sounding scenes.

    Returns:
        dict: ``preset``, ``seed``, ``size``, ``clips`` (by split),
        ``version``, ``labelled_frames`` (by split), ``files`` and, unless it
        is 'avss', ``layout``.

    Raises:
        DatasetFolderError: If there is no marker file.
    """
    path = Path(data_root) / MARKER
    if not path.is_file():
        raise DatasetFolderError(
            f'{data_root} is no finished dataset of sounding scenes: it has '
            f'no {MARKER}. Write one with '
            f'tools/dataset_converters/make_sounding_scenes.py {data_root}'
        )
    return json.loads(path.read_text())


def _refuse_other(root: Path, found: dict, wanted: dict) -> None:
    """Refuse to leave another dataset than the wanted one as it is."""
    # Markers of the first layout do not name it.
    found = {'layout': 'avss', **found}
    differing = [
        f'{key} {found.get(key)} (wanted: {value})'
        for key, value in {'layout': 'avss', **wanted}.items()
        if found.get(key) != value
    ]
    if differing:
        raise DatasetFolderError(
            f'{root} holds other sounding scenes: {", ".join(differing)}. '
            'Choose another folder, or replace them with --overwrite.'
        )


def _write(
    folder: Path, preset: Preset, wanted: dict, workers: int | None
) -> dict:
    """Write all clips; give the content of the marker."""
    layout = wanted.get('layout', 'avss')
    tasks = [
        (folder, layout, preset, split, index, wanted['seed'], wanted['size'])
        for split, count in wanted['clips'].items()
        for index in range(count)
    ]
    rows, labeled = [], dict.fromkeys(SPLITS, 0)
    clips = map_clips(_make_and_write, tasks, 'Making scenes', workers)
    for task, (of_clip, labels) in zip(tasks, clips, strict=True):
        rows += of_clip
        labeled[task[3]] += labels
    if layout == 'avss':
        _write_index(folder, preset, rows)
    elif layout in VPO_LAYOUTS:
        write_vpo_index(folder, layout, rows)
    else:
        write_object_index(folder, layout, rows)
    return {**wanted, 'labelled_frames': labeled}


def _make_and_write(task: tuple) -> tuple[list[tuple], int]:
    """Make and write one clip; a pool runs this."""
    folder, layout, preset, split, index, seed, size = task
    place = dict(seed=seed, size=size)
    if layout in VPO_LAYOUTS:
        return make_vpo_image(folder, layout, preset, split, index, **place)
    if layout == 'avss':
        row, labels = write_clip(
            folder, make_clip(preset, split, index, **place)
        )
        return [row], labels
    # S4 and MS3 are what became the subsets v1s and v1m.
    subset = {'s4': 'v1s', 'ms3': 'v1m'}[layout]
    preset = dataclasses.replace(preset, subset_cycle=(subset,))
    clip = make_clip(preset, split, index, **place)
    return write_object_clip(folder, layout, clip)


def _write_index(folder: Path, preset: Preset, rows: list[tuple]) -> None:
    """Write the index files of AVSBench-Semantic."""
    write_csv(folder / 'metadata.csv', [METADATA_HEADER, *rows])
    write_json(
        folder / 'label2idx.json',
        {
            name: index
            for index, name in enumerate(preset.class_names, start=1)
        },
    )


def write_clip(root: Path, clip: Clip) -> tuple[tuple, int]:
    """Write the files of one clip.

    Args:
        root (Path): Root of the dataset.
        clip (Clip): The clip.

    Returns:
        tuple[tuple, int]: Its row of ``metadata.csv`` and its number of
        labeled frames.
    """
    folder = root / clip.subset / clip.uid
    parts = ('frames', 'labels_semantic', 'labels_rgb', 'visible')
    # Not the root: a killed run's last process must not bring it back.
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir()
    for part in parts:
        (folder / part).mkdir()
    labels = clip.labels[: count_labeled_frames(clip.subset, clip.split)]
    palette = np.array(clip.preset.palette, np.uint8)
    for t, frame in enumerate(clip.world.frames):
        write_image(folder / 'frames' / f'{t}.jpg', frame)
        write_image(folder / 'visible' / f'{t}.png', clip.world.visible[t])
    for t, label in enumerate(labels):
        write_image(folder / 'labels_semantic' / f'{t}.png', label)
        write_image(folder / 'labels_rgb' / f'{t}.png', palette[label])
    write_sound(folder / 'audio.wav', clip.waveform)
    write_json(folder / 'scene.json', clip.truth())
    row = (clip.vid, clip.uid, 0, 0, clip.a_obj, clip.split, clip.subset)
    return row, len(labels)
