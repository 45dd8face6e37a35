"""Label files whose values are no class ids: grays, and ids of COCO."""

import numpy as np
from mmseg.registry import TRANSFORMS

from .loading import LoadAVSAnnotations, refuse_colors, refuse_values
from .picture_files import open_picture


def binary_mask(gray: np.ndarray, threshold: int) -> np.ndarray:
    """Tell foreground, 1, from background in a gray picture, uint8 ``[H, W]``.

    Raises:
        ValueError: If something is drawn, but nothing above the threshold:
            the mask would silently become empty.
    """
    mask = gray > threshold
    if (brightest := gray.max()) and not mask.any():
        raise ValueError(
            f'its brightest value is {brightest}, so that nothing would '
            'count as sounding'
        )
    return mask.astype(np.uint8)


def translate_labels(
    values: np.ndarray, classes_by_value: dict[int, int], ignore_index: int
) -> np.ndarray:
    """Turn the values of a label file into class ids, all at once.

    One value after another would do harm: where car is 3 in the file and 5
    among the classes, and airplane is 5 and 1, cars would end as airplanes.

    Args:
        values (np.ndarray): Integers ``[H, W]``.
        classes_by_value (dict[int, int]): Class id by value.
        ignore_index (int): A value that stays what it is.

    Returns:
        np.ndarray: Class ids, uint8 ``[H, W]``.

    Raises:
        ValueError: If it is not ``[H, W]``, or if it holds other values. The
            message tells what arrived.
    """
    refuse_colors(values)
    table = np.full(256, -1, np.int16)
    table[list(classes_by_value)] = list(classes_by_value.values())
    table[ignore_index] = ignore_index
    inside = (values >= 0) & (values < len(table))
    labels = table[np.where(inside, values, 0)]
    unknown = ~inside | (labels < 0)
    if unknown.any():
        refuse_values(np.unique(values[unknown]))
    return labels.astype(np.uint8)


@TRANSFORMS.register_module()
class LoadBinaryAnnotations(LoadAVSAnnotations):
    """Load a black and white mask: 1 where it is white, 255 included.

    The masks of AVSBench-Object. A value to ignore does not exist in them.
    Gray, black and white, and palette files are read as the gray they show.

    Keys are those of ``LoadAVSAnnotations``; ``gt_seg_map`` holds 0 and 1.

    Args:
        threshold (int): The highest gray of the background. Defaults to 127.
        kwargs: Arguments of ``LoadAVSAnnotations``.
    """

    def __init__(self, *, threshold: int = 127, **kwargs) -> None:
        if not 0 <= threshold < 255:
            raise ValueError(
                f'threshold must be a gray in 0..254, got {threshold}'
            )
        super().__init__(**kwargs)
        self.threshold = threshold

    def _read_labels(self, data: bytes, results: dict) -> np.ndarray:
        """Decode a file to 0 and 1."""
        image = open_picture(data)
        if image.mode not in ('1', 'L'):
            colors = np.asarray(image.convert('RGB'))
            if (colors != colors[..., :1]).any():
                raise ValueError(
                    f'it is a color picture (mode {image.mode}) with other '
                    'colors than grays'
                )
            image = image.convert('RGB')
        # A black and white picture becomes 0 and 255 here.
        return binary_mask(np.asarray(image.convert('L')), self.threshold)

    def _expected(self, results: dict) -> str:
        """Tell what the file should be."""
        return (
            'a whole black and white mask with 255 (any value above '
            f'{self.threshold}) where the object sounds: the files of the '
            "folder gt_masks. Restore it from the dataset's archive, or set "
            'threshold of LoadBinaryAnnotations if your masks are scaled '
            'otherwise.'
        )

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(threshold={self.threshold}, '
            f'backend_args={self.backend_args})'
        )


@TRANSFORMS.register_module()
class LoadTranslatedAnnotations(LoadAVSAnnotations):
    """Load a label map and translate its values to class ids.

    The masks of VPO hold ids of COCO's categories.

    Keys are those of ``LoadAVSAnnotations``, but in place of
    ``num_label_values`` there is ``label_values`` (dict[int, int]), the class
    id by value in the file.

    Args:
        kwargs: Arguments of ``LoadAVSAnnotations``.
    """

    def _read_labels(self, data: bytes, results: dict) -> np.ndarray:
        """Decode a file and translate its values."""
        return translate_labels(
            self._decode(data), results['label_values'], self.ignore_index
        )

    def _expected(self, results: dict) -> str:
        """Tell what the file should be."""
        values = ', '.join(map(str, sorted(results['label_values'])))
        return (
            'a whole single-channel image that holds only the values '
            f'{values} (or {self.ignore_index}). Restore it from the '
            "dataset's archive, or use the dataset class and layout that "
            'belong to these labels.'
        )
