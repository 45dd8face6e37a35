"""Writing a copy of a dataset that is read faster: a prepared data root.

It has the layout of the source. Sounds are 16 kHz wav files; frames and label
maps are resized if asked for; what needs no change is linked or copied. Every
file appears whole or not at all, the index files last: an interrupted run is
continued by the same command, and a finished one has nothing to do.
"""

import functools
import os
import os.path as osp
import shutil
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import soundfile
from PIL import Image

from mmcpm.datasets.errors import why
from mmcpm.datasets.transforms.audio_loading import (
    open_sound,
    read_sound,
    resampled_length,
)
from mmcpm.datasets.transforms.picture_files import open_picture, read_picture
from mmcpm.datasets.transforms.sound_files import SoundFile
from mmcpm.utils.errors import UsageError

from ..common.destination import Destination, Options, write_whole
from ..common.parallel import map_clips
from .clip_files import ClipFiles
from .clips import check_clip
from .images import read_header
from .index_file import IndexFile, as_text
from .labels import (
    SINGLE_VALUE_MODES,
    LabelChecker,
    decode_colors,
    tell_colors,
)
from .report import Finding, Report
from .sounds import SAMPLE_RATE

# With these a clip is incomplete, or its labels would be wrong.
BLOCKING = ('missing', 'link', 'frame', 'label', 'sound', 'size', 'color')
BLOCKING += ('values', 'unknown color')
JPEG_QUALITY = 95


def prepare(
    root: str,
    folder: str,
    dataset: str,
    indexes: Sequence[IndexFile],
    clips: Sequence[ClipFiles],
    labels: LabelChecker,
    options: Options,
    *,
    others: Sequence[str] = (),
    leave_out: bool = False,
    workers: int | None = None,
) -> Report:
    """Write a prepared copy of a dataset.

    Args:
        root (str): The data root.
        folder (str): The folder to write.
        dataset (str): Name of the dataset.
        indexes (Sequence[IndexFile]): Index files of the dataset. The rows of
            all clips are in the first; others keep what they have of them.
        clips (Sequence[ClipFiles]): Clips of the dataset.
        labels (LabelChecker): Checks their label maps.
        options (Options): Options of the copy.
        others (Sequence[str]): Further files of the root, taken along as
            they are where they exist.
        leave_out (bool): Whether clips that cannot be prepared are left out
            of the index files. Otherwise none are written, and the copy
            cannot be used yet.
        workers (int, optional): See :func:`map_clips`.

    Returns:
        Report: The clips that could not be prepared.

    Raises:
        UsageError: If the folder cannot be used or an index file is at fault.
    """
    faults = [f for i in indexes for f in i.findings if f.is_fault]
    if faults:
        raise UsageError(
            f'{len(faults)} fault(s) in the index files, the first: '
            f'{faults[0]}. --check tells them all; {faults[0].remedy}'
        )
    destination = Destination(root, folder, dataset, options)
    destination.begin()
    work = functools.partial(
        _prepare_clip, root, str(destination.folder), labels, options
    )
    results = list(map_clips(work, clips, 'Preparing', workers))
    report = Report(f'{folder}: prepared copy of {root} ({dataset})')
    bad_rows = set()
    for clip, (_, findings) in zip(clips, results, strict=True):
        report.add(findings)
        if findings:
            bad_rows |= {clip.row, *clip.more_rows}
    bad = sum(bool(findings) for _, findings in results)
    report.summary = (
        f'{sum(number for number, _ in results)} files written, '
        f'{len(clips) - bad} of {len(clips)} clips ready'
    )
    if bad and not leave_out:
        report.summary += (
            '; no index file was written. Repair the clips above and run the '
            'command again, or leave them out with --leave-out'
        )
        return report
    texts = {
        index.name: as_text(
            [
                *([index.header] if index.header else []),
                *(r.cells for r in index.rows if r.line not in bad_rows),
            ]
        )
        for index in indexes
    }
    for name in others:
        if osp.isfile(osp.join(root, name)):
            with open(osp.join(root, name), encoding='utf-8-sig') as file:
                texts[name] = file.read()
    destination.finish(texts)
    return report


def _prepare_clip(
    root: str,
    folder: str,
    labels: LabelChecker,
    options: Options,
    clip: ClipFiles,
) -> tuple[int, list[Finding]]:
    """Prepare the files of one clip, unless something is wrong with them."""
    sources = {
        label: _label_source(root, label, options)
        for _, label in clip.frames
        if label
    }
    frames = tuple((f, sources.get(label)) for f, label in clip.frames)
    findings = check_clip(root, labels, False, clip._replace(frames=frames))[1]
    blocking = set(BLOCKING)
    # A color that stands for no class is found where it is decoded.
    if options.palette is not None:
        blocking.discard('color')
    findings = [f for f in findings if f.kind in blocking]
    if findings:
        return 0, findings
    jobs = [
        (frame, frame, functools.partial(_frame, size=options.resize))
        for frame, _ in clip.frames
    ]
    jobs += [
        (source, label, functools.partial(_label, options=options))
        for label, source in sources.items()
    ]
    jobs += [(sound, sound, _sound) for sound in clip.sounds]
    written = 0
    for source, target, make in jobs:
        origin = osp.abspath(osp.join(root, source))
        path = osp.join(folder, target)
        if _is_made(origin, path):
            continue
        try:
            write = make(origin)
        except (OSError, ValueError) as error:
            kind = getattr(error, 'kind', None) or _kind_of(make)
            findings.append(Finding(kind, source, why(error), clip.row))
            continue
        if write is None:
            # copyfile, not copy: a read-only source makes no read-only copy.
            put = shutil.copyfile if options.copy else os.symlink
            write = functools.partial(put, origin)
        write_whole(path, write)
        written += 1
    return written, findings


class ColorError(ValueError):
    """Colors of a label picture stand for no class."""

    kind = 'unknown color'


def _kind_of(make: Callable) -> str:
    """Name the kind of finding for what a function could not read."""
    function = getattr(make, 'func', make)
    return {_frame: 'frame', _label: 'label', _sound: 'sound'}[function]


def _label_source(root: str, label: str, options: Options) -> str:
    """Choose the file that a label map is made of."""
    colors = label.replace('labels_semantic', 'labels_rgb')
    if (
        options.palette is not None
        and not osp.lexists(osp.join(root, label))
        and osp.isfile(osp.join(root, colors))
    ):
        return colors
    return label


def _is_made(origin: str, path: str) -> bool:
    """Tell whether a file was made of what the source holds now."""
    if osp.islink(path):
        return os.readlink(path) == origin
    return osp.isfile(path) and osp.getmtime(path) >= osp.getmtime(origin)


def _frame(origin: str, size: tuple[int, int] | None) -> Callable | None:
    """Give a function that writes a frame, or None if it stays as it is."""
    if size is None or read_header(origin)[:2] == tuple(size):
        return None
    picture = Image.fromarray(read_picture(origin, 'color')[..., ::-1])
    # As the authors of AVSBench resized.
    picture = picture.resize(size[::-1], Image.BILINEAR)
    return functools.partial(_save, picture, quality=JPEG_QUALITY)


def _label(origin: str, options: Options) -> Callable | None:
    """Give a function that writes a label map, or None if it stays."""
    header, size = read_header(origin), options.resize
    in_color = header.mode not in SINGLE_VALUE_MODES
    decodes = in_color and options.palette is not None
    if not decodes and (size is None or header[:2] == tuple(size)):
        return None
    with open(origin, 'rb') as file:
        picture = open_picture(file.read())
    if decodes:
        labels, unknown = decode_colors(
            np.asarray(picture.convert('RGB')), options.palette
        )
        if unknown:
            raise ColorError(tell_colors(unknown))
        picture = Image.fromarray(labels)
    if size is not None:
        picture = picture.resize(size[::-1], Image.NEAREST)
    return functools.partial(_save, picture)


def _save(picture: Image.Image, path: str, **options) -> None:
    """Save a picture in the format that its name tells."""
    # Readers that obey an EXIF orientation shall not find one.
    picture.info.pop('exif', None)
    picture.save(path, **options)


def _sound(origin: str) -> Callable | None:
    """Give a function that writes a sound, or None if it stays as it is."""
    if not origin.lower().endswith('.wav'):
        # The index file names it with its suffix.
        return None
    with open_sound(origin) as sound:
        if (
            sound.is_plain_wav
            and sound.rate == SAMPLE_RATE
            and sound.channels <= 2
        ):
            return None
        peak = max(np.abs(part).max() for part in _sound_parts(sound))
    # Sixteen bits would cut what exceeds full scale.
    subtype = 'FLOAT' if peak > 1 else 'PCM_16'
    return functools.partial(_write_sound, origin, subtype)


def _sound_parts(sound: SoundFile) -> Iterator[np.ndarray]:
    """Read a sound at the new rate, one minute after another."""
    channels = 'stereo' if sound.channels == 2 else 'mono'
    whole, minute = resampled_length(sound, SAMPLE_RATE), 60 * SAMPLE_RATE
    for start in range(0, whole, minute):
        yield read_sound(sound, SAMPLE_RATE, channels, start, minute)


def _write_sound(origin: str, subtype: str, path: str) -> None:
    """Write a sound at the new rate."""
    with (
        open_sound(origin) as sound,
        soundfile.SoundFile(
            path,
            'w',
            SAMPLE_RATE,
            2 if sound.channels == 2 else 1,
            subtype,
            format='WAV',
        ) as file,
    ):
        for part in _sound_parts(sound):
            file.write(part.T)
