import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from mmcpm.datasets.transforms import (
    LoadAVSAnnotations,
    LoadBinaryAnnotations,
    LoadFrameFromFile,
    LoadTranslatedAnnotations,
)
from mmcpm.datasets.transforms.picture_files import (
    decode_picture,
    is_cut_jpeg,
    open_picture,
    read_orientation,
)

# Dark with a bright corner: every turn moves it or swaps height and width.
CORNER = np.full((24, 32), 40, np.uint8)
CORNER[2:10, 2:14] = 220
COLORS = np.stack([CORNER, CORNER // 2, CORNER // 4], -1)


def encode(pixels, file_format, orientation=None, **options):
    image, file = Image.fromarray(pixels), io.BytesIO()
    if orientation and file_format == 'TIFF':
        options['tiffinfo'] = {0x0112: orientation}
    elif orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options['exif'] = exif.tobytes()
    image.save(file, file_format, **options)
    return file.getvalue()


CONTAINERS = {
    'jpeg': ('JPEG', {'quality': 95}),
    'png': ('PNG', {}),
    'webp': ('WEBP', {'lossless': True}),
    'tiff': ('TIFF', {}),
    'tiff deflate': ('TIFF', {'compression': 'tiff_adobe_deflate'}),
    'big tiff': ('TIFF', {'big_tiff': True}),
    'big-endian tiff': ('TIFF', {}),
}
if features.check('avif'):
    CONTAINERS['avif'] = ('AVIF', {'quality': 95})


def turned(container, pixels, orientation):
    """A file with an EXIF orientation."""
    file_format, options = CONTAINERS[container]
    if container != 'big-endian tiff':
        return encode(pixels, file_format, orientation, **options)
    height, width = pixels.shape
    entries = [
        (256, 3, width << 16),
        (257, 3, height << 16),
        (258, 3, 8 << 16),
        (259, 3, 1 << 16),
        (262, 3, 1 << 16),
        (273, 4, 8),
        # Some writers store it in four bytes.
        (274, 4, orientation),
        (277, 3, 1 << 16),
        (278, 3, height << 16),
        (279, 4, pixels.size),
    ]
    head = struct.pack('>2sHI', b'MM', 42, 8 + pixels.size)
    table = struct.pack('>H', len(entries)) + b''.join(
        struct.pack('>HHII', tag, kind, 1, value)
        for tag, kind, value in entries
    )
    return head + pixels.tobytes() + table + bytes(4)


# Orientation


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('container', CONTAINERS)
def test_pixels_are_read_as_they_are_stored(container, orientation):
    data = turned(container, CORNER, orientation)
    assert read_orientation(data) == orientation
    for backend in ('cv2', 'pillow'):
        for flag in ('color', 'grayscale', 'unchanged'):
            found = decode_picture(data, flag, backend).astype(int)
            assert found.shape[:2] == (24, 32)
            gray = found[..., 0] if found.ndim == 3 else found
            assert np.abs(gray - CORNER).max() < 12, (backend, flag)
    found = decode_picture(data, cv2.IMREAD_COLOR, 'cv2')[..., 0].astype(int)
    assert np.abs(found - CORNER).max() < 12
    picture = np.asarray(open_picture(data).convert('L')).astype(int)
    assert np.abs(picture - CORNER).max() < 12


@pytest.mark.parametrize('data', [b'', b'II*\x00', b'hello', b'MM\x00*' * 9])
def test_what_tells_no_orientation(data):
    assert read_orientation(data) == 1


def test_orientation_behind_the_pixels_of_a_png():
    before, after = turned('png', CORNER, 6), encode(CORNER, 'PNG')
    place = before.index(b'eXIf') - 4
    size = int.from_bytes(before[place : place + 4], 'big')
    chunk = before[place : place + 12 + size]
    data = after[:-12] + chunk + after[-12:]
    assert read_orientation(data) == 6
    assert read_orientation(after) == 1
    assert decode_picture(data).shape == (24, 32, 3)


def test_global_backend_of_mmcv_is_followed(monkeypatch):
    data = turned('tiff', CORNER, 3)
    for backend in ('cv2', 'pillow'):
        monkeypatch.setattr('mmcv.image.io.imread_backend', backend)
        assert (decode_picture(data, backend=None)[..., 0] == CORNER).all()


@pytest.mark.parametrize('container', ['png', 'tiff', 'webp'])
@pytest.mark.parametrize('orientation', [3, 6])
def test_frames_and_label_maps_are_not_turned(
    tmp_path, container, orientation
):
    path = tmp_path / 'a.any'
    path.write_bytes(turned(container, COLORS, orientation))
    frame = LoadFrameFromFile()({'img_path': str(path)})
    assert (frame['img'][..., ::-1] == COLORS).all()
    if container == 'webp':
        return
    labels = (CORNER > 100).astype(np.uint8)
    info = {
        'seg_map_path': str(path),
        'img_path': str(path),
        'ori_shape': (24, 32),
        'num_label_values': 2,
        'label_values': {0: 0, 1: 1},
    }
    for load, scale in (
        (LoadAVSAnnotations(), 1),
        (LoadTranslatedAnnotations(), 1),
        (LoadBinaryAnnotations(), 255),
    ):
        path.write_bytes(turned(container, labels * scale, orientation))
        assert (load(dict(info))['gt_seg_map'] == labels).all()


# Wholeness


def noisy(file_format='JPEG', size=(40, 56), **options):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return encode(noise, file_format, **options)


def with_thumbnail(jpeg):
    """Insert a segment that holds a whole JPEG file."""
    thumbnail = noisy(size=(8, 8))
    size = (len(thumbnail) + 2).to_bytes(2, 'big')
    return jpeg[:2] + b'\xff\xe1' + size + thumbnail + jpeg[2:]


JPEGS = {
    'baseline': noisy(),
    'progressive': noisy(progressive=True),
    'restart markers': noisy(restart_marker_blocks=2),
    'gray': encode(CORNER, 'JPEG'),
    'thumbnail': with_thumbnail(noisy()),
    'bytes before the end': noisy()[:-2] + b'\xff\xff\xff\xff\xd9',
}


@pytest.mark.parametrize('name', JPEGS)
@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), tail=st.binary())
def test_jpeg_is_whole_up_to_its_own_end(name, share, tail):
    data = JPEGS[name]
    assert not is_cut_jpeg(data + tail)
    half = data[: max(2, int(share * len(data)))]
    assert is_cut_jpeg(half)
    # Neither zeros nor another picture make up for what is missing.
    assert is_cut_jpeg(half + bytes(5000))


@pytest.mark.parametrize('name', JPEGS)
@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
def test_another_picture_does_not_make_up(name, share):
    data = JPEGS[name]
    cut = data[: int(share * len(data))]
    scan = data.rindex(b'\xff\xda')
    if len(cut) > scan + 20:
        assert is_cut_jpeg(cut + noisy())
    assert not is_cut_jpeg(data + noisy())


@pytest.mark.parametrize('seed', range(100))
def test_random_bytes_of_a_telephone_do_no_harm(seed):
    data = JPEGS['baseline']
    tail = np.random.default_rng(seed).bytes(20_000)
    found = decode_picture(data + b'\0\0\0\x18ftypmp42' + tail)
    assert (found == decode_picture(data)).all()


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize(
    ('file_format', 'options'),
    [
        ('JPEG', {}),
        ('JPEG', {'progressive': True}),
        ('PNG', {}),
        ('WEBP', {}),
        ('WEBP', {'lossless': True}),
        ('BMP', {}),
        ('GIF', {}),
        ('TIFF', {}),
        ('TIFF', {'compression': 'tiff_lzw'}),
        ('PPM', {}),
    ],
)
def test_no_pixel_may_be_missing(file_format, options, backend):
    data = noisy(file_format, **options)
    whole = decode_picture(data, 'unchanged', backend)
    for share in (0.02, 0.3, 0.5, 0.95):
        with pytest.raises((ValueError, OSError)):
            decode_picture(data[: int(share * len(data))], 'color', backend)
    after = decode_picture(data + bytes(100), 'unchanged', backend)
    assert (after == whole).all()


def test_checksum_of_a_png_is_checked():
    # Pillow decodes other labels from one wrong bit, without a word.
    data = bytearray(encode(CORNER, 'PNG'))
    place = data.index(b'IDAT') + 30
    data[place] ^= 4
    for backend in ('cv2', 'pillow'):
        with pytest.raises(ValueError, match="checksum of its part 'IDAT'"):
            decode_picture(bytes(data), 'unchanged', backend)
    # A comment does not make the picture.
    whole = encode(CORNER, 'PNG')
    text = b'tEXtComment\x00hello'
    comment = struct.pack('>I', len(text) - 4) + text
    wrong = struct.pack('>I', zlib.crc32(text) ^ 1)
    commented = whole[:33] + comment + wrong + whole[33:]
    assert (decode_picture(commented, 'unchanged') == CORNER).all()


@pytest.mark.parametrize('size', [(240, 320), (61, 83)])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize(
    'options', [{}, {'quality': 30}, {'restart_marker_blocks': 3}]
)
def test_a_jpeg_file_that_was_cut_and_closed_again(
    size, backend, options, capfd
):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    picture = Image.fromarray(pixels).resize(size[::-1])
    file = io.BytesIO()
    picture.save(file, 'JPEG', **options)
    data = file.getvalue()
    for share in (0.6, 0.8, 0.95):
        cut = data[: int(share * len(data))].rstrip(b'\xff') + b'\xff\xd9'
        with pytest.raises(ValueError, match='a part of the picture is missi'):
            decode_picture(cut, 'color', backend)
    # Grey in its last corner is no fault, and not worth a line of libjpeg.
    capfd.readouterr()
    grey = Image.fromarray(np.full((*size, 3), 128, np.uint8))
    file = io.BytesIO()
    grey.save(file, 'JPEG', **options)
    assert (decode_picture(file.getvalue(), 'color', backend) == 128).all()
    assert capfd.readouterr().err == ''
