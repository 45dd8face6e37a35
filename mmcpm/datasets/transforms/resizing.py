"""Resizing by a factor of a frame's own size, or to the size of a protocol."""

from mmcv.transforms import RandomResize, Resize
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomRescale(RandomResize):
    """Resize by a random factor of the frame's own size.

    ``RandomResize`` draws a factor of one fixed ``scale``, and so brings
    every frame to about the same size. AVSBench-Semantic holds frames of many
    sizes and is tested at each frame's own, so the CPM paper's random scale
    in 0.5-2.0 (appendix A) is taken relative to that size.

    Required Keys, Modified Keys and Added Keys are those of ``RandomResize``.

    Args:
        ratio_range (tuple[float, float]): Smallest and largest factor.
            Defaults to (0.5, 2.0).
        resize_kwargs: Further arguments of ``Resize``. The aspect ratio is
            kept.
    """

    def __init__(
        self, ratio_range: tuple[float, float] = (0.5, 2.0), **resize_kwargs
    ) -> None:
        super().__init__(
            scale=(1, 1),
            ratio_range=ratio_range,
            keep_ratio=True,
            **resize_kwargs,
        )

    def transform(self, results: dict) -> dict:
        """Resize frame and label map."""
        height, width = results['img'].shape[:2]
        self.scale = (width, height)
        return super().transform(results)


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
        """Resize."""
        results.setdefault('label_shape', results['img'].shape[:2])
        results = super().transform(results)
        results['ori_shape'] = results['img'].shape[:2]
        return results
