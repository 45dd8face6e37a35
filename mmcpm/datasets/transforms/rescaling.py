"""Resizing frames of mixed sizes."""

from mmcv.transforms import RandomResize
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
        """Resize frame and label map.

        Args:
            results (dict): Result dict with ``img`` ``[H, W, 3]``.

        Returns:
            dict: The same, resized by one factor in both directions.
        """
        height, width = results['img'].shape[:2]
        self.scale = (width, height)
        return super().transform(results)
