"""Transforms for protocols that work at another size than the files have."""

from mmcv.transforms.processing import Resize
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeAsOriginal(Resize):
    """Resizes frame and label map, and scores at that size.

    AVSBench-Semantic is scored at 224 x 224 in the first papers: predictions
    are then not brought back to the size of the files. The frame's sides may
    change their ratio, as they did there.

    Modified keys: those of mmcv's Resize, and ``ori_shape``. Added key:
    ``label_shape``, the size before, unless the label file has told it.

    Args:
        size (tuple[int, int]): Width and height in pixels.
        **kwargs: Arguments of mmcv's Resize.
    """

    def __init__(self, size: tuple[int, int], **kwargs) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(
                f'size must be (width, height) in pixels, but got {size}.'
            )
        super().__init__(scale=tuple(size), keep_ratio=False, **kwargs)

    def transform(self, results: dict) -> dict:
        """Resize.

        Args:
            results (dict): Results with ``img``, and ``gt_seg_map`` if it is
                loaded.

        Returns:
            dict: The same; ``ori_shape`` is the new (height, width).
        """
        results.setdefault('label_shape', results['img'].shape[:2])
        results = super().transform(results)
        results['ori_shape'] = results['img'].shape[:2]
        return results
