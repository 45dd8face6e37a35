"""Loading and packing of a maskige, a picture of mask proposals (COMBO)."""

from collections.abc import Sequence

import mmengine.fileio as fileio
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ...structures.av_data_sample import META_KEYS
from ..errors import FrameReadError, why
from .formatting import PackAVSInputs
from .picture_files import decode_picture

CHANNELS = 3


@TRANSFORMS.register_module()
class LoadMaskige(BaseTransform):
    """Load the maskige of a frame as channels 3 to 5 of the image.

    There, resizing, crops and flips treat both alike. Transforms of color
    come after SplitMaskige.

    Required Keys:

    - img (np.ndarray): ``[H, W, 3]``, see LoadFrameFromFile.
    - sample_id (str): ``<clip>/<frame>``; the file is
      ``<folder>/<clip>/<frame><suffix>``, of the size of the frame.

    Modified Keys:

    - img (np.ndarray): ``[H, W, 6]``.

    Args:
        folder (str): Folder, local or behind an address.
        suffix (str): End of the file names.
        backend_args (dict, optional): Arguments of mmengine's file client.
    """

    def __init__(
        self,
        folder: str,
        suffix: str = '.png',
        backend_args: dict | None = None,
    ) -> None:
        self.folder = folder
        self.suffix = suffix
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load one maskige.

        Raises:
            FrameReadError: If the file is missing, is no whole picture or has
                another size than the frame.
        """
        path = fileio.join_path(
            self.folder,
            f'{results["sample_id"]}{self.suffix}',
            backend_args=self.backend_args,
        )
        remedy = (
            f'Expected a color picture of the size of the frame for every '
            f'sample_id in the folder of LoadMaskige, {self.folder}; or set '
            'model.maskige_backbone=None and leave LoadMaskige out.'
        )
        try:
            picture = decode_picture(
                fileio.get(path, backend_args=self.backend_args),
                'color',
                'cv2',
            )
        except (OSError, ValueError) as error:
            raise FrameReadError(
                f'Cannot read the maskige {path}: {why(error)}. {remedy}'
            ) from error
        frame = results['img']
        if picture.shape != frame.shape:
            raise FrameReadError(
                f'The maskige {path} has the shape {picture.shape}, but the '
                f'frame {frame.shape} (height, width, channels). {remedy}'
            )
        picture = picture.astype(frame.dtype)
        results['img'] = np.concatenate([frame, picture], -1)
        return results


def split_maskige(results: dict) -> dict:
    """Move channels 3 to 5 of the image to a key of their own.

    Args:
        results (dict): With ``img``, ``[H, W, 3 or 6]``.

    Returns:
        dict: With ``img`` and, if there were six channels, ``maskige``.
    """
    image = results['img']
    if image.shape[-1] == 2 * CHANNELS:
        results['img'] = np.ascontiguousarray(image[..., :CHANNELS])
        results['maskige'] = np.ascontiguousarray(image[..., CHANNELS:])
    return results


@TRANSFORMS.register_module()
class SplitMaskige(BaseTransform):
    """Separate frame and maskige, for transforms of color.

    Modified Keys: img, ``[H, W, 3]``. Added Keys: maskige, ``[H, W, 3]``.
    """

    def transform(self, results: dict) -> dict:
        """Separate them."""
        return split_maskige(results)


@TRANSFORMS.register_module()
class PackMaskigeInputs(PackAVSInputs):
    """PackAVSInputs, and the maskige becomes the data field ``maskige``.

    Args:
        meta_keys (Sequence[str]): See PackAVSInputs.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Raises:
            KeyError: If no maskige was loaded.
        """
        results = split_maskige(results)
        if 'maskige' not in results:
            raise KeyError(
                'PackMaskigeInputs found no maskige: the pipeline needs '
                'LoadMaskige after LoadFrameFromFile'
            )
        packed = super().transform(results)
        maskige = results['maskige'].transpose(2, 0, 1)  # [3, H, W]
        packed['data_samples'].set_field(
            torch.from_numpy(np.ascontiguousarray(maskige)), 'maskige'
        )
        return packed
