"""Hook that keeps one set of running statistics on all ranks.

Every rank of a run with plain BatchNorm gathers statistics of its own frames.
Without this hook the ranks validate with different ones, and only those of
the first reach the checkpoint: its score would not be that of the validation.
"""

import torch.nn as nn
from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmseg.registry import HOOKS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..buffers import averaged_models


def running_statistics(model: nn.Module) -> list[Tensor]:
    """List the running means and variances that ranks gather on their own.

    Returns:
        list[Tensor]: Two per normalization. SyncBatchNorm has the same on
        all ranks and is left out, and so are frozen ones: a mean of equal
        numbers may be rounded.
    """
    return [
        statistic
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and not isinstance(module, nn.SyncBatchNorm)
        and module.training
        for statistic in (module.running_mean, module.running_var)
        if statistic is not None
    ]


def saves_now(hook: Hook, runner) -> bool:
    """Tell whether a hook saves a checkpoint after this very iteration.

    Returns:
        bool: Always False of hooks that save after epochs.
    """
    return (
        isinstance(hook, CheckpointHook)
        and not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
    )


@HOOKS.register_module()
class BatchNormSyncHook(Hook):
    """Averages the running statistics of BatchNorm over the ranks.

    After every epoch, and before a validation or a checkpoint within one.
    Averaged models (EMAHook) have statistics as well. All other buffers are
    left alone, unlike by mmengine's SyncBuffersHook.
    """

    # Before the checkpoint is written.
    priority = 'NORMAL'

    def __init__(self) -> None:
        # Averaging twice would round twice: not what the checkpoint holds.
        self._differ = False

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Note that the ranks have gone different ways."""
        self._differ = True
        if get_world_size() > 1 and any(
            saves_now(hook, runner) for hook in runner.hooks
        ):
            self._average(runner)

    def after_train_epoch(self, runner) -> None:
        """Average."""
        self._average(runner)

    def before_val_epoch(self, runner) -> None:
        """Average, if that has not been done since the last iteration."""
        self._average(runner)

    def _average(self, runner) -> None:
        if self._differ and get_world_size() > 1:
            for model in (runner.model, *averaged_models(runner)):
                if statistics := running_statistics(model):
                    all_reduce_params(statistics, op='mean')
        self._differ = False
