"""Hook that saves the predicted class of every pixel of a test."""

import io

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from PIL import Image

from mmcpm.utils.io import sample_file, write_whole


@HOOKS.register_module()
class PredictionWriterHook(Hook):
    """Save predictions of the test as index maps.

    ``<out_dir>/<clip>/<frame>.png`` has the size of the original frame; the
    value of a pixel is its class, as in the label files.

    Args:
        out_dir (str): Folder for the files.
    """

    def __init__(self, *, out_dir: str) -> None:
        self.out_dir = out_dir

    def after_test_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Save the predictions of a batch."""
        for output in outputs:
            if not output.get('frame_valid', True):
                continue  # It only fills up a clip.
            labels = output.pred_sem_seg.data.cpu().numpy()[0]
            expected = tuple(output.get('ori_shape', labels.shape))[:2]
            if labels.shape != expected:
                raise ValueError(
                    f'{output.sample_id}: the prediction has shape '
                    f'{labels.shape}, the original frame {expected} (height, '
                    'width). The model has to resize its predictions back.'
                )
            write_whole(
                sample_file(self.out_dir, output.sample_id, '.png'),
                encode_labels(labels),
            )


def encode_labels(labels: np.ndarray) -> bytes:
    """Encode class indices as a gray PNG, 16 bits deep where 8 do not do.

    Args:
        labels (np.ndarray): Class of each pixel, integers, shape (H, W).
    """
    depth = np.uint8 if labels.max(initial=0) < 256 else np.uint16
    file = io.BytesIO()
    Image.fromarray(labels.astype(depth)).save(file, format='PNG')
    return file.getvalue()
