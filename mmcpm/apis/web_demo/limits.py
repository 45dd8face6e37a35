"""What the web page takes from a visitor, and what it tells of a mistake."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcpm.utils.errors import UsageError
from mmcpm.video.pyav import import_av, open_container

# Boxes of the mp4 family, by their name at byte 4.
BOXES = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'pnot')
# What files begin with that are no playlists: those would have FFmpeg read
# other files, or fetch them.
BEGINNINGS = (
    b'\x1a\x45\xdf\xa3',  # mkv, webm
    b'OggS',
    b'FLV',
    b'\x30\x26\xb2\x75',  # wmv, wma
    b'\x00\x00\x01\xba',  # mpeg
    b'\x00\x00\x01\xb3',
    b'\x47',  # ts
    b'fLaC',
    b'ID3',
    b'\xff\xfb',  # mp3
    b'\xff\xf3',
    b'\xff\xf2',
)
RIFF_KINDS = (b'AVI ', b'WAVE')
TAKEN = 'mp4, mov, webm, mkv, avi, ogg, mpeg'
LONGEST_NAME = 60
ABSOLUTE_PATH = re.compile(r'(?<![\w./:])/(?:[^\s/\'",;:()]+/)+[^\s\'",;:()]*')


@dataclass(frozen=True)
class Limits:
    """Limits of a clip.

    Attributes:
        seconds (float): Longest clip.
        megabytes (float): Largest file.
        pixels (int): Most pixels of a frame.
        rate (float): Most frames per second, on average.
    """

    seconds: float = 30.0
    megabytes: float = 64.0
    pixels: int = 1920 * 1080
    rate: float = 120.0

    def check(self) -> None:
        """Refuse limits that let nothing pass.

        Raises:
            UsageError: If one is not positive.
        """
        for name in ('seconds', 'megabytes', 'pixels', 'rate'):
            if not 0 < getattr(self, name) < float('inf'):
                raise UsageError(
                    f'--max-{name} must be above 0, not {getattr(self, name)}'
                )

    def tell(self) -> str:
        """Describe the limits in a line."""
        return (
            f'up to {self.seconds:g} seconds, {self.megabytes:g} MB and '
            f'{self.pixels / 1e6:.1f} megapixels'
        )


def shown_name(path: str | Path) -> str:
    """Name an upload as its sender knows it.

    Args:
        path (str | Path): Path on the server, or whatever came as a name.

    Returns:
        str: Last part, printable, at most ``LONGEST_NAME`` characters.
    """
    name = re.split(r'[/\\]', str(path))[-1]
    name = ''.join(c for c in name if c.isprintable())
    if len(name) > LONGEST_NAME:
        name = f'{name[: LONGEST_NAME - 13]}...{name[-10:]}'
    return name if name.strip('.') else 'the file'


def without_paths(message: str, uploads: Mapping[str, str]) -> str:
    """Take the paths of the server out of a message.

    Args:
        message (str): Any message.
        uploads (Mapping[str, str]): Paths, and what stands in their place.

    Returns:
        str: The message with names in place of paths.
    """
    for path in sorted(uploads, key=len, reverse=True):
        for form in (os.path.abspath(path), str(path)):
            message = message.replace(form, uploads[path])
    return ABSOLUTE_PATH.sub('a file of the server', message)


def check_file(path: str | Path, limits: Limits) -> None:
    """Refuse a file that is missing, too large, or no film and no sound.

    Args:
        path (str | Path): Upload.
        limits (Limits): Limits.

    Raises:
        UsageError: Tells what was found and what is expected.
    """
    name = shown_name(path)
    if not os.path.isfile(path):
        raise UsageError(
            f'{name} is not here any more: uploads are deleted after a while. '
            'Upload it again'
        )
    size = os.path.getsize(path)
    if size > limits.megabytes * 1e6:
        raise UsageError(
            f'{name} has {size / 1e6:.1f} MB; this page takes '
            f'{limits.tell()}. Cut it, or save it smaller'
        )
    with open(path, 'rb') as file:
        begin = file.read(16)
    if not begin:
        raise UsageError(f'{name} is empty (0 bytes)')
    if not (
        begin[4:8] in BOXES
        or begin.startswith(BEGINNINGS)
        or begin[:4] == b'RIFF'
        and begin[8:12] in RIFF_KINDS
    ):
        raise UsageError(
            f'{name} is no video that this page takes ({TAKEN}): it begins '
            f'with {begin[:8]!r}'
        )


def check_clip(path: str | Path, limits: Limits) -> float:
    """Refuse a clip before anything of it is decoded.

    What the file tells of its length is not believed: packets are counted.

    Args:
        path (str | Path): Upload.
        limits (Limits): Limits.

    Returns:
        float: Seconds.

    Raises:
        UsageError: Tells what was found and what is expected.
    """
    check_file(path, limits)
    name = shown_name(path)
    with open_container(str(path)) as container:
        if not container.streams.video:
            raise UsageError(
                f'{name} has no picture. This page takes a video: {TAKEN}'
            )
        stream = container.streams.video[0]
        width, height = stream.width or 0, stream.height or 0
        if width * height > limits.pixels:
            raise UsageError(
                f'{name} has {width} x {height} pixels; this page takes '
                f'{limits.tell()}. Save it smaller'
            )
        seconds, packets = measure(container, stream, limits)
    if not packets:
        raise UsageError(f'{name} holds no picture (zero frames)')
    if seconds > limits.seconds + 0.5:
        raise UsageError(
            f'{name} is longer than {limits.seconds:g} s: this page takes '
            f'{limits.tell()}. Cut it'
        )
    if packets > limits.seconds * limits.rate:
        raise UsageError(
            f'{name} has more than {limits.rate:g} frames per second: this '
            'page does not take that. Save it with fewer'
        )
    return seconds


def measure(container: Any, stream: Any, limits: Limits) -> tuple[float, int]:
    """Count the packets of the picture, and the seconds they cover.

    Args:
        container (av.container.InputContainer): Open file.
        stream (av.VideoStream): Its picture.
        limits (Limits): Counting ends where they are passed.

    Returns:
        tuple[float, int]: Seconds and packets.
    """
    error = import_av().FFmpegError
    first = last = None
    packets = 0
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            packets += 1
            if packet.pts is not None:
                time = float(packet.pts * packet.time_base)
                first = time if first is None else min(first, time)
                last = time if last is None else max(last, time)
            if packets > limits.seconds * limits.rate or (
                last is not None and last - first > limits.seconds + 1
            ):
                break
    except error:
        pass  # A file that was cut: the rest of it is used.
    if last is None:
        rate = float(stream.average_rate or 25)
        return packets / rate, packets
    return last - first, packets
