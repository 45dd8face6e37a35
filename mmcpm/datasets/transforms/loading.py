"""Loading of a video frame and its label map; refusing what is not whole."""

import contextlib

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from ..errors import FrameReadError, LabelReadError, why
from .picture_files import decode_picture, read_orientation


def refuse_colors(label_map: np.ndarray) -> None:
    """Raise ValueError if an array is not ``[H, W]``."""
    if label_map.ndim != 2:
        raise ValueError(
            f'it holds an array of shape {label_map.shape}, a color picture'
        )


def refuse_values(strange: np.ndarray) -> None:
    """Raise ValueError if there are values that a label file may not hold."""
    if len(strange):
        listed = ', '.join(map(str, strange[:5]))
        more = ', ...' if len(strange) > 5 else ''
        raise ValueError(f'it holds the values {listed}{more}')


def _check_label_map(
    label_map: np.ndarray, num_classes: int, ignore_index: int
) -> None:
    """Refuse an array that is no map of class ids."""
    refuse_colors(label_map)
    if label_map.min() >= 0 and label_map.max() < num_classes:
        return
    values = np.unique(label_map)
    refuse_values(
        values[
            (values < 0) | (values >= num_classes) & (values != ignore_index)
        ]
    )


def tell_orientation(orientation: int, what: str) -> str:
    """Put in words what is done about an EXIF orientation.

    Args:
        orientation (int): 1 to 8.
        what (str): The picture, for example 'the frame'.

    Returns:
        str: Sentences that go on with a message; '' for 1.
    """
    if orientation == 1:
        return ''
    return (
        f' The EXIF orientation {orientation} of {what} is ignored: pixels '
        'are used as they are stored. If the other file goes with the turned '
        'picture, turn the pixels of this one and remove the tag.'
    )


@TRANSFORMS.register_module()
class LoadFrameFromFile(LoadImageFromFile):
    """Load an image as it is stored, and refuse one that was cut short.

    As mmcv's ``LoadImageFromFile``, with the same keys and arguments, but an
    EXIF orientation does not turn the image: label maps are not turned
    either. An error names the file.
    """

    def transform(self, results: dict) -> dict | None:
        """Load the image of ``results['img_path']``.

        Raises:
            FrameReadError: If the file is missing, empty or truncated.
        """
        path = results['img_path']
        try:
            image = decode_picture(
                fileio.get(path, backend_args=self.backend_args),
                self.color_type,
                self.imdecode_backend,
            )
        except (OSError, ValueError) as error:
            if self.ignore_empty:
                return None
            raise FrameReadError(
                f'Cannot read the frame {path}: {why(error)}. Expected a '
                "whole image file; restore it from the dataset's archive."
            ) from error
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadAVSAnnotations(LoadAnnotations):
    """Load a label map of class ids and check what it holds.

    As mmseg's ``LoadAnnotations``, which would wrap values above 255, pass a
    color picture on and train on class ids that do not exist.

    Required Keys:

    - seg_map_path (optional where ``labeled`` is False)
    - labeled (bool, optional): False of a frame without a label, whose map is
      ignored everywhere; see ClipDataset.
    - num_label_values (int): How many class ids the label files use.
    - label_map (dict, optional): From class ids of the files to those of the
      model, where the dataset uses other classes.
    - ori_shape (optional): The label map must have this size.

    Added Keys:

    - seg_fields (list)
    - gt_seg_map (np.ndarray): uint8 ``[H, W]``.
    - label_shape (tuple[int, int]): Height and width of the file, whatever
      becomes of the map: metrics ask for it.

    Args:
        backend_args (dict, optional): Arguments of the
            ``mmengine.fileio`` backend. Defaults to None.
    """

    # Label value that is no class.
    ignore_index = 255

    def __init__(self, *, backend_args: dict | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def _load_seg_map(self, results: dict) -> None:
        """Add the label map of ``results['seg_map_path']``.

        Raises:
            LabelReadError: If the file is missing, truncated, no map of
                class ids, or of another size than the frame.
        """
        if not results.get('labeled', True):
            self._ignore_everything(results)
            return
        path = results['seg_map_path']
        try:
            data = fileio.get(path, backend_args=self.backend_args)
            labels = self._read_labels(data, results)
        # Pillow tells of a broken PNG file with a SyntaxError.
        except (OSError, ValueError, SyntaxError) as error:
            raise LabelReadError(
                f'Cannot use the label file {path}: {why(error)}. Expected '
                f'{self._expected(results)}'
            ) from error
        # The frame may have been resized already.
        shape = tuple(results.get('ori_shape', labels.shape))
        if labels.shape != shape:
            raise LabelReadError(
                f'The label file {path} is {labels.shape[0]} x '
                f'{labels.shape[1]} (height x width), its frame '
                f'{results.get("img_path")} is {shape[0]} x {shape[1]}. Take '
                'both from the same copy of the dataset.'
                + self._turned(results, data, labels.shape, shape)
            )
        results['label_shape'] = labels.shape
        results['gt_seg_map'] = self._rename(labels, results.get('label_map'))
        results.setdefault('seg_fields', []).append('gt_seg_map')

    def _ignore_everything(self, results: dict) -> None:
        """Add the label map of a frame that has none."""
        results['label_shape'] = tuple(results['ori_shape'])
        results['gt_seg_map'] = np.full(
            results['label_shape'], self.ignore_index, np.uint8
        )
        results.setdefault('seg_fields', []).append('gt_seg_map')

    def _turned(
        self, results: dict, data: bytes, size: tuple, frame_size: tuple
    ) -> str:
        """Tell of an EXIF orientation where height and width are swapped."""
        if size != frame_size[::-1]:
            return ''
        told = tell_orientation(read_orientation(data), 'the label file')
        with contextlib.suppress(OSError):
            frame = fileio.get(
                results.get('img_path', ''), backend_args=self.backend_args
            )
            told += tell_orientation(read_orientation(frame), 'the frame')
        return told

    def _read_labels(self, data: bytes, results: dict) -> np.ndarray:
        """Decode a file to class ids, uint8 ``[H, W]``; ValueError if bad."""
        label_map = self._decode(data)
        _check_label_map(
            label_map, results['num_label_values'], self.ignore_index
        )
        return label_map.astype(np.uint8)

    def _expected(self, results: dict) -> str:
        """Tell what the file should be."""
        expected = (
            'a whole single-channel image whose values are class ids '
            f'0..{results["num_label_values"] - 1} (or {self.ignore_index}): '
        )
        if listed := results.get('class_file'):
            return (
                f'{expected}the classes that {listed} lists, background '
                'first. Correct the label, or add the missing names there.'
            )
        return (
            f'{expected}the files of the folder labels_semantic, not of '
            'labels_rgb, and the dataset class they belong to.'
        )

    def _decode(self, data: bytes) -> np.ndarray:
        """Decode an image as it is stored."""
        return decode_picture(data, 'unchanged', self.imdecode_backend)

    @staticmethod
    def _rename(label_map: np.ndarray, renaming: dict | None) -> np.ndarray:
        """Map class ids of the files to those of the model by a table."""
        if renaming is None:
            return label_map
        table = np.arange(256, dtype=np.uint8)
        table[list(renaming)] = list(renaming.values())
        return table[label_map]

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}('
            f"imdecode_backend='{self.imdecode_backend}', "
            f'backend_args={self.backend_args})'
        )
