"""Hook that draws inputs and predictions while the model is evaluated."""

from collections.abc import Sequence

import numpy as np
from mmengine import fileio
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample

from mmcpm.datasets.transforms.picture_files import decode_picture
from mmcpm.utils.io import sample_file


@HOOKS.register_module()
class AVSVisualizationHook(Hook):
    """Draw frames of the validation and the test with AVSLocalVisualizer.

    Pictures are named by ``sample_id``: frames of different clips have the
    same file name.

    Args:
        draw (bool): Whether to draw at all.
        interval (int): Draw every so many batches.
        show (bool): Whether to open a window.
        wait_time (float): Seconds it stays; 0 waits for a key.
        show_dir (str, optional): Save the pictures as
            ``<show_dir>/<clip>/<frame>.png``. Without it, and without
            ``show``, they go to the visualizer's backends.
        backend_args (dict, optional): File backend to read the frames with.
    """

    def __init__(
        self,
        *,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        show_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.show_dir = show_dir
        self.backend_args = backend_args

    def _after_iter(
        self, runner, batch_idx, data_batch=None, outputs=None, mode='train'
    ) -> None:
        """Draw the frames of a batch.

        Raises:
            Exception: If a picture of a test cannot be drawn or saved.
        """
        if not self.draw or mode == 'train':
            return
        if not self.every_n_inner_iters(batch_idx, self.interval):
            return
        try:
            self._draw(runner, data_batch, outputs, mode)
        except Exception as error:
            # Of a test, the pictures are what was asked for.
            if mode == 'test':
                raise
            self.draw = False
            runner.logger.warning(
                'Nothing more is drawn, the training goes on: '
                f'{type(error).__name__}: {error}'
            )

    def _draw(
        self,
        runner: Runner,
        data_batch: dict,
        outputs: Sequence[SegDataSample],
        mode: str,
    ) -> None:
        """Draw the frames of a batch."""
        visualizer = Visualizer.get_current_instance()
        inputs = data_batch['data_samples']
        if isinstance(inputs[0], list | tuple):
            inputs = inputs[0]  # Test-time augmentation: the first view.
        for item, output in zip(inputs, outputs, strict=True):
            if not output.get('frame_valid', True):
                continue  # It only fills up a clip.
            sample_id = output.sample_id
            # Backends make file names of it and do not make folders.
            name, out_file = f'{mode}_{sample_id.replace("/", "_")}', None
            if self.show_dir is not None:
                name = sample_id
                out_file = str(sample_file(self.show_dir, sample_id, '.png'))
            visualizer.add_datasample(
                name,
                self._read_frame(output.img_path),
                data_sample=output,
                audio=item.get('audio'),
                show=self.show,
                wait_time=self.wait_time,
                out_file=out_file,
                step=runner.iter,
            )

    def _read_frame(self, path: str) -> np.ndarray:
        """Read a frame as RGB, uint8, shape (H, W, 3)."""
        content = fileio.get(path, backend_args=self.backend_args)
        try:
            frame = decode_picture(content)
        except ValueError as error:
            raise ValueError(f'{path} cannot be decoded: {error}') from error
        return np.ascontiguousarray(frame[..., ::-1])
