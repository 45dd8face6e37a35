"""Hook with a progress bar, for people who watch a short training."""

import sys
import time
from collections.abc import Callable

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from tqdm import tqdm


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows iterations done, loss and the time that is left on stderr.

    The estimate rests on the measured speed of this run. Not part of the
    default hooks; add ``--cfg-options default_hooks.progress.type=
    ProgressBarHook``.
    """

    # After the runtime information of the iteration is there.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.bar = None

    def before_train(self, runner) -> None:
        """Open the bar; a resumed run starts where it continues."""
        if not is_main_process():
            return
        # A file or a pipe gets fewer updates than a terminal.
        seconds = 0.5 if sys.stderr.isatty() else 5.0
        self.bar = tqdm(
            desc='Training',
            total=runner.max_iters,
            initial=runner.iter,
            unit='step',
            mininterval=seconds,
            maxinterval=10 * seconds,
            dynamic_ncols=True,
        )

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Advance by one."""
        if self.bar is None:
            return
        # Reading the loss waits for the device: not in every step.
        elapsed = time.time() - self.bar.last_print_t
        is_last = self.bar.n + 1 == self.bar.total
        is_due = is_last or elapsed >= self.bar.mininterval
        if is_due and outputs and 'loss' in outputs:
            self.bar.set_postfix(
                loss=f'{float(outputs["loss"]):.2f}', refresh=False
            )
        self._show(self.bar.update)

    def before_val(self, runner) -> None:
        """Say why the bar stands still."""
        if self.bar is not None:
            self._show(self.bar.set_description, 'Validating')

    def after_val(self, runner) -> None:
        """Back to training."""
        if self.bar is not None:
            self._show(self.bar.set_description, 'Training')

    def after_train(self, runner) -> None:
        """Close the bar."""
        if self.bar is not None:
            self._show(self.bar.close)
            self.bar = None

    def _show(self, show: Callable, *args: str) -> None:
        """Write to stderr; do without a bar once nobody listens there."""
        try:
            show(*args)
        except (OSError, ValueError):
            self.bar = None
