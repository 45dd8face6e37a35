"""Writer of a planned dataset in the layout of VPO.

Nothing appears under the final name before everything is written.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.logging import print_log
from tqdm import tqdm

from mmcpm.datasets.errors import FrameReadError
from mmcpm.datasets.metadata.class_file import format_class_file
from mmcpm.datasets.metadata.index_table import check_present
from mmcpm.datasets.transforms import LoadFrameFromFile
from mmcpm.datasets.transforms.loading import tell_orientation
from mmcpm.datasets.transforms.picture_files import read_orientation
from mmcpm.datasets.vpo import CLASS_LIST
from mmcpm.utils.errors import shorten

from ..common.files import write_image, write_sound
from ..common.folders import DatasetFolderError, write_once
from ..common.object_layout import make_folder
from ..common.vpo_layout import AUDIO_FOLDER, write_vpo_index
from .annotations import Picture
from .ingredients import Ingredients
from .plan import Plan, Sample
from .recordings import cut_clip
from .report import count_balance
from .segmentation import paint

MARKER = 'build_vpo.json'
VERSION = 1
JPEG_SUFFIXES = ('.jpg', '.jpeg')


def write_vpo(
    out_dir: str | Path,
    plan: Plan,
    parts: Ingredients,
    *,
    link: bool = False,
    overwrite: bool = False,
) -> tuple[dict, bool]:
    """Write a dataset, or find that it is already there.

    Args:
        out_dir (str | Path): Root of the dataset.
        plan (Plan): The dataset.
        parts (Ingredients): Sources and settings that it was planned from.
        link (bool): Whether pictures are symbolic links to those that are
            there, instead of copies. Those that are no JPEG files are always
            written anew, as the layout has none. Defaults to False.
        overwrite (bool): Whether to replace a dataset that this function
            wrote earlier. Defaults to False.

    Returns:
        tuple[dict, bool]: What the marker file says, and whether the dataset
        was written now (or else was there).

    Raises:
        DatasetFolderError: If ``out_dir`` holds something else or cannot be
            written.
        DatasetNotFoundError: If pictures are missing.
        FrameReadError: If pictures cannot be used.
    """
    marker = {
        'version': VERSION,
        'contents': plan.digest,
        'pictures_are': 'links' if link else 'copies',
        'made_of': parts.told(),
        'balance': count_balance(plan),
    }

    def write(folder: Path) -> dict:
        _write_samples(folder, plan.samples, parts.mask_values, link)
        _write_clips(folder, plan.samples, parts.seconds)
        _write_indices(folder, plan.samples, parts)
        if parts.classes:
            (folder / CLASS_LIST).write_text(
                format_class_file(parts.metainfo), encoding='utf-8'
            )
        return marker

    return write_once(
        out_dir,
        MARKER,
        overwrite,
        lambda root, found: _refuse_other(root, found, marker),
        write,
        lambda: _check_pictures(plan.samples),
    )


def _refuse_other(root: Path, found: dict, wanted: dict) -> None:
    """Refuse to leave another dataset than the wanted one as it is."""
    same = ('version', 'contents', 'pictures_are')
    if all(found.get(key) == wanted[key] for key in same):
        return
    made_of = found.get('made_of', {})
    differing = [
        f'{key} {made_of.get(key)} (wanted: {value})'
        for key, value in wanted['made_of'].items()
        if made_of.get(key) != value
    ]
    if found.get('pictures_are') != wanted['pictures_are']:
        differing.append(f'pictures that are {found.get("pictures_are")}')
    what = ', '.join(differing) or 'other files of the same names'
    raise DatasetFolderError(
        f'{root} holds a dataset made of {what}. Choose another folder, or '
        'replace it with --overwrite.'
    )


def _check_pictures(samples: Iterable[Sample]) -> None:
    """See that all pictures can be used, as a training would read them."""
    pictures = {s.picture.path: s.picture for s in samples}
    check_present(
        map(str, pictures),
        'pictures of the annotations',
        'Unpack them there, or name the folder that they lie in.',
    )
    load, faults, turned = LoadFrameFromFile(), [], []
    bar = tqdm(
        pictures.values(), 'Checking pictures', unit='picture', disable=None
    )
    for picture in bar:
        try:
            shape = load(dict(img_path=str(picture.path)))['img_shape']
        except FrameReadError as error:
            faults.append(str(error))
            continue
        orientation = read_orientation(picture.path.read_bytes())
        if orientation != 1:
            turned.append(f'{picture.path} ({orientation})')
        if shape != (picture.height, picture.width):
            faults.append(
                f'{picture.path} is {shape[0]} x {shape[1]} (height x width), '
                f'its entry (id {picture.number}) says {picture.height} x '
                f'{picture.width}.{tell_orientation(orientation, "the file")}'
            )
    if turned:
        print_log(
            f'{len(turned)} pictures carry an EXIF orientation, which is '
            'ignored: masks are painted on the pixels as they are stored. If '
            'the annotations were drawn on turned pictures, turn the pixels '
            f'of the files and remove the tag: {shorten(turned)}.',
            logger='current',
            level=logging.WARNING,
        )
    if faults:
        listed = '\n  '.join(faults[:5])
        more = f'\n  and {len(faults) - 5} more' if len(faults) > 5 else ''
        raise FrameReadError(
            f'{len(faults)} of {len(pictures)} pictures cannot be used:\n'
            f'  {listed}{more}\nTake pictures and annotations from the same '
            'copy, or remove their entries.'
        )


def _write_samples(
    root: Path,
    samples: list[Sample],
    mask_values: Mapping[str, int],
    link: bool,
) -> None:
    """Write pictures and masks."""
    for sample in tqdm(samples, 'Writing', unit='sample', disable=None):
        first, picture = sample.sounds[0][0], sample.picture
        folder = root / f'VPO-{sample.subset.upper()}'
        name, place = f'{picture.number:012}', Path()
        mask = name
        if sample.subset == 'ss':
            place, mask = Path(first.class_name), f'{name}_{first.number:012}'
        for part in ('data', 'mask'):
            make_folder(root, folder / part / place)
        _place_picture(picture, folder / 'data' / place / f'{name}.jpg', link)
        instances = [instance for instance, _ in sample.sounds]
        values = [0, *(mask_values[one.class_name] for one in instances)]
        painted = paint(
            [one.mask for one in instances], picture.height, picture.width
        )
        label = painted.copy()
        for index, value in enumerate(values):
            label[painted == index] = value
        write_image(folder / 'mask' / place / f'{mask}.png', label)


def _place_picture(picture: Picture, target: Path, link: bool) -> None:
    """Copy or link a picture; write it anew if it is no JPEG file."""
    if picture.path.suffix.lower() not in JPEG_SUFFIXES:
        loaded = LoadFrameFromFile()(dict(img_path=str(picture.path)))
        write_image(target, loaded['img'][..., ::-1])
    elif link:
        target.symlink_to(picture.path.resolve())
    else:
        shutil.copyfile(picture.path, target)


def _write_clips(root: Path, samples: list[Sample], seconds: float) -> None:
    """Write the clips that are heard, mono and at 16 kHz."""
    make_folder(root, root / AUDIO_FOLDER)
    clips = {clip.name: clip for s in samples for _, clip in s.sounds}
    for clip in tqdm(
        clips.values(), 'Cutting clips', unit='clip', disable=None
    ):
        write_sound(
            root / AUDIO_FOLDER / f'{clip.name}.wav', cut_clip(clip, seconds)
        )


def _write_indices(
    root: Path, samples: list[Sample], parts: Ingredients
) -> None:
    """Write the index files of the sets."""
    rows = {subset: [] for subset in parts.folders}
    for sample in samples:
        rows[sample.subset] += [
            (
                sample.picture.number,
                instance.number,
                instance.class_name,
                parts.mask_values[instance.class_name],
                clip.name,
                clip.label,
                instance.position,
                sample.split,
                int(sample.subset == 'msmi'),
            )
            for instance, clip in sample.sounds
        ]
    if 'ss' in rows:
        write_vpo_index(root, 'vpo_ss', rows.pop('ss'))
    if rows:
        layout = 'vpo_msmi' if 'msmi' in rows else 'vpo_ms'
        write_vpo_index(root, layout, [r for of in rows.values() for r in of])
