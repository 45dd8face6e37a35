"""A plain folder of frames, labels and sounds."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

RATE = 16000


def write_folder(
    root: Path, splits=('train', 'val', 'test'), clips=4, size=(24, 32)
) -> Path:
    """Write clips of three frames with one sound, and a single frame.

    Second i of a clip's sound is the constant 0.1 (i + 1); a single frame's
    is 0.5. The left half of every label is class 1, the lower right class 2.
    """
    label = np.zeros(size, np.uint8)
    label[:, : size[1] // 2] = 1
    label[size[0] // 2 :, size[1] // 2 :] = 2
    for split in splits:
        names = [f'c{n}/{i}' for n in range(clips) for i in range(3)]
        for number, name in enumerate([*names, 'single']):
            for part in ('frames', 'labels', 'audio'):
                path = root / split / part / name
                path.parent.mkdir(parents=True, exist_ok=True)
            frame = np.full((*size, 3), 10 * number, np.uint8)
            folder = root / split
            cv2.imwrite(str(folder / f'frames/{name}.png'), frame)
            cv2.imwrite(str(folder / f'labels/{name}.png'), label)
        for n in range(clips):
            (folder / f'audio/c{n}').rmdir()
            wave = np.repeat([0.1, 0.2, 0.3], RATE)
            soundfile.write(folder / f'audio/c{n}.wav', wave, RATE)
        soundfile.write(
            folder / 'audio/single.wav', np.full(2 * RATE, 0.5), RATE
        )
    (root / 'classes.txt').write_text('dog 255 0 0\ncell phone 0 255 0\n')
    return root


@pytest.fixture
def folder_root(tmp_path):
    """A folder dataset that a test may damage."""
    return write_folder(tmp_path / 'mine')
