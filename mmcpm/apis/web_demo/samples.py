"""Clips of sounding scenes as videos, for a visitor who brings none."""

from fractions import Fraction
from pathlib import Path

import cv2

from mmcpm.datasets import SoundingScenesDataset
from mmcpm.datasets.transforms.audio_loading import open_sound
from mmcpm.utils.io import ensure_writable
from mmcpm.video.video_writer import VideoWriter

# Scenes have a frame per second; players stumble over so few.
REPEATS = 8


def write_samples(
    data_root: str | Path, folder: str | Path, number: int = 3
) -> list[Path]:
    """Write test clips, which no training saw, as mp4 files.

    Args:
        data_root (str | Path): Root of a dataset of sounding scenes.
        folder (str | Path): Receives the files; those that are there stay.
        number (int): Clips: those in which most classes are named first.

    Returns:
        list[Path]: Files.
    """
    ensure_writable(folder, 'another folder')
    dataset = SoundingScenesDataset(
        data_root=str(data_root), split='test', test_mode=True
    )
    clips: dict[str, list[dict]] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        clips.setdefault(info['sample_id'].split('/')[0], []).append(info)
    classes = dataset.metainfo['classes']
    names = {
        clip: [k for k in infos[0]['sound_sources'] if k in classes]
        for clip, infos in clips.items()
    }
    # Files are called by what sounds: one clip of each kind.
    kinds = {'_'.join(names[clip]) or 'silence': clip for clip in clips}
    chosen = sorted(kinds, key=lambda kind: -len(names[kinds[kind]]))
    return [
        write_sample(clips[kinds[kind]], Path(folder, f'{kind}.mp4'))
        for kind in chosen[:number]
    ]


def write_sample(frames: list[dict], path: Path) -> Path:
    """Write a clip as a video.

    Args:
        frames (list[dict]): Data infos of its frames, one per second.
        path (Path): File to write, unless it is there.

    Returns:
        Path: The file.
    """
    if path.is_file():
        return path
    sound = open_sound(frames[0]['audio_path'])
    writer = None
    try:
        for second, info in enumerate(frames):
            image = cv2.imread(info['img_path'])
            if writer is None:
                size = image.shape[1::-1]
                writer = VideoWriter(path, size, Fraction(REPEATS), sound)
            for repeat in range(REPEATS):
                writer.write(image, second + repeat / REPEATS)
        writer.close()
    except BaseException:
        if writer is not None:
            writer.abort()
        raise
    finally:
        sound.close()
    return path
