"""Checks of the label maps of every dataset, with or without decoding them.

What is decoded is decoded by the transforms that load it in training.
"""

import os.path as osp
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mmcpm.datasets.errors import LabelReadError, why
from mmcpm.datasets.transforms import (
    LoadAVSAnnotations,
    LoadBinaryAnnotations,
    LoadTranslatedAnnotations,
)
from mmcpm.datasets.transforms.picture_files import open_picture

from .clip_files import ClipFiles
from .images import Header, read_header
from .report import Finding

# Names in the index file that are no class of their own.
NO_CLASSES = ('', 'background', 'off-the-screen')
# Pillow's names of pixel formats with one value per pixel.
SINGLE_VALUE_MODES = ('1', 'L', 'P', 'I', 'I;16', 'F')
FOUND = tuple[Header | None, list[tuple[str, str]]]


def decode_colors(
    picture: np.ndarray, palette: Sequence[Sequence[int]]
) -> tuple[np.ndarray, dict[tuple[int, int, int], int]]:
    """Turn the colors of a label picture into class ids.

    Args:
        picture (np.ndarray): RGB, uint8 ``[H, W, 3]``.
        palette (Sequence[Sequence[int]]): Red, green, blue by class id.

    Returns:
        tuple[np.ndarray, dict]: Class ids, uint8 ``[H, W]``, 255 where the
        color stands for no class; and those colors with their numbers of
        pixels, most frequent first.
    """
    codes = _color_codes(picture)
    colors, where, numbers = np.unique(
        codes, return_inverse=True, return_counts=True
    )
    class_of = {
        int(code): label
        for label, code in enumerate(_color_codes(np.array(palette)))
    }
    labels = np.array(
        [class_of.get(int(code), 255) for code in colors], np.uint8
    )
    unknown = sorted(
        (-int(number), int(code))
        for code, number in zip(colors, numbers, strict=True)
        if int(code) not in class_of
    )
    return labels[where].reshape(codes.shape), {
        (code >> 16, code >> 8 & 255, code & 255): -number
        for number, code in unknown
    }


def _color_codes(colors: np.ndarray) -> np.ndarray:
    """Join red, green and blue to one number."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def tell_colors(unknown: dict[tuple[int, int, int], int]) -> str:
    """List the first five colors by their pixels, and how many there are."""
    listed = ', '.join(
        f'{color} on {number} pixels'
        for color, number in list(unknown.items())[:5]
    )
    return listed + (f', ... ({len(unknown)})' if len(unknown) > 5 else '')


class LabelChecker:
    """Checks a label map; subclasses know what it should hold."""

    # Whether the values are looked at even if headers are all that is read.
    always_deep = False

    def __call__(self, path: str, deep: bool) -> FOUND:
        """Check a label map.

        Args:
            path (str): The file.
            deep (bool): Whether to decode it.

        Returns:
            tuple[Header | None, list[tuple[str, str]]]: Its header if it is
            readable, and kind and text of each finding.

        Raises:
            FileNotFoundError: If there is none.
        """
        try:
            header = read_header(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            return None, [('label', why(error))]
        return header, header.findings + self.check_content(
            path, header, deep or self.always_deep
        )

    def check_content(
        self, path: str, header: Header, deep: bool
    ) -> list[tuple[str, str]]:
        """Check what a readable file holds.

        Args:
            path (str): The file.
            header (Header): Header of the file.
            deep (bool): Whether to decode it.

        Returns:
            list[tuple[str, str]]: Kind and text of each finding.
        """
        if header.mode not in SINGLE_VALUE_MODES:
            return [('color', f'pixels of mode {header.mode}')]
        return self.load(path) if deep else []

    def check_sources(self, root: str, clip: ClipFiles) -> list[Finding]:
        """Compare the label maps of a clip with what its row says."""
        return []

    def load(self, path: str) -> list[tuple[str, str]]:
        """Load the file as in training and tell what was refused."""
        try:
            self.transform({'img_path': '', **self.keys, 'seg_map_path': path})
        except LabelReadError as error:
            cause = error.__cause__
            kind = 'values' if type(cause) is ValueError else 'label'
            return [(kind, why(cause))]
        return []


class ClassIdChecker(LabelChecker):
    """Checks the label maps of AVSBench-Semantic.

    Args:
        num_classes (int): Class ids are below it.
        palette (Sequence[Sequence[int]]): The colors of ``labels_rgb``.
        classes (Sequence[str]): Names of the classes, to compare with the
            index file. Defaults to none.
    """

    def __init__(
        self,
        num_classes: int,
        palette: Sequence[Sequence[int]],
        classes: Sequence[str] = (),
    ) -> None:
        self.palette, self.classes = palette, tuple(classes)
        self.transform = LoadAVSAnnotations().transform
        self.keys = {'num_label_values': num_classes, 'label_map': None}

    def check_content(
        self, path: str, header: Header, deep: bool
    ) -> list[tuple[str, str]]:
        """Check what a readable file holds, and what colors say of it.

        A map that is decoded is compared with its twin in ``labels_rgb``, if
        there is one.
        """
        found = super().check_content(path, header, deep)
        if not deep or found and found[0][0] != 'color':
            return found
        if not found:
            return self._compare_colors(path)
        try:
            unknown = decode_colors(_read_colors(path), self.palette)[1]
        except (OSError, SyntaxError, ValueError) as error:
            return [('label', why(error))]
        if unknown:
            found.append(('unknown color', tell_colors(unknown)))
        return found

    def check_sources(self, root: str, clip: ClipFiles) -> list[Finding]:
        """Look for labels of classes that the row of a clip does not name."""
        names = set(clip.sources)
        known = names and self.classes
        if not known or not names <= {*self.classes, *NO_CLASSES}:
            return []
        strays = defaultdict(list)
        for _, label in clip.frames:
            path = osp.join(root, label) if label else ''
            if not osp.isfile(path):
                continue
            with open(path, 'rb') as file:
                values = np.asarray(open_picture(file.read()))
            if values.ndim > 2:
                continue
            for value, number in zip(
                *np.unique(values, return_counts=True), strict=True
            ):
                if (
                    0 < value < len(self.classes)
                    and self.classes[value] not in names
                ):
                    strays[self.classes[value]].append((label, int(number)))
        return [
            Finding(
                'stray',
                found[0][0],
                f'{name} on {sum(n for _, n in found)} pixels in '
                f'{len(found)} frame(s), but a_obj names '
                f'{", ".join(clip.sources)}',
                clip.row,
            )
            for name, found in strays.items()
        ]

    def _compare_colors(self, path: str) -> list[tuple[str, str]]:
        """Compare class ids with the same labels as colors."""
        folder, name = osp.split(path)
        twin = osp.join(osp.dirname(folder), 'labels_rgb', name)
        if osp.basename(folder) != 'labels_semantic' or not osp.isfile(twin):
            return []
        place = f'labels_rgb/{name}'
        try:
            colors = _read_colors(twin)
        except (OSError, SyntaxError, ValueError) as error:
            return [('colors disagree', f'{place}: {why(error)}')]
        with open(path, 'rb') as file:
            labels = np.asarray(open_picture(file.read()))
        if colors.shape[:2] != labels.shape:
            size = '{1} x {0}'.format(*colors.shape)
            return [('colors disagree', f'{place} is {size}')]
        decoded, _ = decode_colors(colors, self.palette)
        number = int(np.count_nonzero(decoded != labels))
        if not number:
            return []
        return [
            (
                'colors disagree',
                f'{place} says otherwise on {number} of {labels.size} pixels',
            )
        ]


def _read_colors(path: str) -> np.ndarray:
    """Read a picture as RGB, uint8 ``[H, W, 3]``."""
    with open(path, 'rb') as file:
        return np.asarray(open_picture(file.read()).convert('RGB'))


class BinaryChecker(LabelChecker):
    """Checks the masks of AVSBench-Object: small, hence always decoded."""

    always_deep = True

    def __init__(self) -> None:
        self.transform = LoadBinaryAnnotations().transform
        self.keys = {'num_label_values': 2, 'label_map': None}

    def check_content(
        self, path: str, header: Header, deep: bool
    ) -> list[tuple[str, str]]:
        """Check what a readable file holds; grays may be stored as RGB."""
        return self.load(path)


class TranslatedChecker(LabelChecker):
    """Checks the masks of VPO.

    Args:
        label_values (dict[int, int]): Class id by value in the file.
    """

    def __init__(self, label_values: dict[int, int]) -> None:
        self.transform = LoadTranslatedAnnotations().transform
        self.keys = {'label_values': label_values, 'label_map': None}
