"""Pictures, sounds and tables; always through ``Path``, never silently."""

import csv
import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import soundfile

from ..sounding_scenes.voices import SAMPLE_RATE

JPEG_QUALITY = 95


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a .jpg or .png file of an RGB picture or index map, uint8.

    Unlike ``cv2.imwrite``, it never fails silently.
    """
    if image.ndim == 3:
        image = image[..., ::-1]
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    options = quality if path.suffix == '.jpg' else []
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())


def write_sound(path: Path, waveform: np.ndarray) -> None:
    """Write a mono waveform in [-1, 1] at 16 kHz to a WAV file of 16 bits."""
    wav = BytesIO()
    soundfile.write(wav, waveform, SAMPLE_RATE, subtype='PCM_16', format='WAV')
    path.write_bytes(wav.getvalue())


def write_json(path: Path, content: dict) -> None:
    """Write plain types to a JSON file."""
    path.write_text(json.dumps(content, indent=1) + '\n')


def write_csv(path: Path, rows: Iterable[Sequence]) -> None:
    """Write a table, with the line ends of this program on every system."""
    with open(path, 'w', newline='') as file:
        csv.writer(file, lineterminator='\n').writerows(rows)
