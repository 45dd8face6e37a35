"""Headers of pictures, read without decoding them."""

from typing import NamedTuple

from mmcpm.datasets.transforms.picture_files import (
    open_picture,
    read_orientation,
)


class Header(NamedTuple):
    """What the header of a picture tells.

    Attributes:
        height (int): Pixels, as they are stored.
        width (int): Pixels.
        mode (str): Pillow's name of the pixel format.
        orientation (int): EXIF orientation, by which viewers turn it; 1 for
            not at all.
    """

    height: int
    width: int
    mode: str
    orientation: int

    @property
    def findings(self) -> list[tuple[str, str]]:
        """list[tuple[str, str]]: Kind and text of what is to be noted."""
        if self.orientation == 1:
            return []
        return [('orientation', f'EXIF orientation {self.orientation}')]


def read_header(path: str) -> Header:
    """Read the header of a picture, and whether its file is whole.

    Args:
        path (str): The file.

    Returns:
        Header: Content of the header.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no picture or was cut short; tells why.
    """
    with open(path, 'rb') as file:
        data = file.read()
    try:
        with open_picture(data) as image:
            return Header(
                image.height, image.width, image.mode, read_orientation(data)
            )
    except OSError:
        # Pillow ran out of bytes in the header.
        raise ValueError(
            f'the file is truncated ({len(data)} bytes)'
        ) from None
