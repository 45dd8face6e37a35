import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmcpm.dataset_converters.checking.images import read_header


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """A JPEG and a PNG file of 20 x 30 pixels of noise."""
    folder = tmp_path_factory.mktemp('pictures')
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for suffix in ('jpg', 'png'):
        Image.fromarray(noise).save(folder / f'a.{suffix}')
    return folder


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_a_whole_picture(suffix, pictures):
    assert read_header(str(pictures / f'a.{suffix}')) == (20, 30, 'RGB', 1)


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGBA'])
def test_modes(mode, tmp_path):
    Image.new(mode, (3, 2)).save(tmp_path / 'a.png')
    assert read_header(str(tmp_path / 'a.png')) == (2, 3, mode, 1)


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_noticed(suffix, share, pictures):
    data = (pictures / f'a.{suffix}').read_bytes()
    cut = pictures / f'cut.{suffix}'
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match='empty|truncated|not be decoded'):
        read_header(str(cut))


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_bytes_after_the_picture_do_no_harm(suffix, pictures):
    longer = pictures / f'longer.{suffix}'
    data = (pictures / f'a.{suffix}').read_bytes()
    longer.write_bytes(data + bytes(1000))
    assert read_header(str(longer)) == (20, 30, 'RGB', 1)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
@pytest.mark.parametrize('orientation', [3, 6])
def test_orientation_is_told_and_changes_no_size(
    suffix, orientation, tmp_path
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f'a.{suffix}'
    Image.new('RGB', (30, 20)).save(path, exif=exif)
    header = read_header(str(path))
    assert header == (20, 30, 'RGB', orientation)
    assert header.findings == [
        ('orientation', f'EXIF orientation {orientation}')
    ]


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_header(str(tmp_path / 'a.png'))
