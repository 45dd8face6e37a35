"""Checks of a training loop, its hooks, its optimizer and its disk space."""

import shutil

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import OPTIMIZERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmcpm.utils.checkpoints import unwrap
from mmcpm.utils.errors import UsageError, error_message

from .score_names import check_scores, is_plateau, schedules, setting


def check_loop(runner: Runner, loop) -> None:
    """Refuse hooks and schedules that wait for what a loop never does."""
    check_scores(runner, runner.val_loop)
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    unit, last = 'epochs', loop.max_epochs
    if not by_epoch:
        unit, last = 'iterations', loop.max_iters
    if runner.val_loop is not None and getattr(loop, 'val_begin', 0) > last:
        raise UsageError(
            f'train_cfg.val_begin={loop.val_begin} is after the end of the '
            f'training ({last} {unit}): nothing would be validated. To train '
            'without validation set val_cfg, val_dataloader and '
            'val_evaluator to None'
        )
    checkpoints = [h for h in runner.hooks if isinstance(h, CheckpointHook)]
    if not isinstance(loop, IterBasedTrainLoop):
        for hook in checkpoints:
            if by_epoch and not hook.by_epoch:
                runner.logger.warning(
                    f'{type(hook).__name__} saves every {hook.interval} '
                    f'iterations of epochs of {len(loop.dataloader)}: a '
                    'checkpoint within an epoch cannot be resumed. Set '
                    'by_epoch=True to save after epochs.'
                )
        return
    for hook in checkpoints:
        if hook.by_epoch:
            raise UsageError(
                'IterBasedTrainLoop has no epochs, so that default_hooks.'
                'checkpoint would save nothing before the end: set '
                'checkpoint=dict(by_epoch=False, interval=N)'
            )
    for schedule in schedules(runner.param_schedulers):
        if (
            setting(schedule, 'by_epoch', True)
            and not setting(schedule, 'convert_to_iter_based', False)
            and not is_plateau(schedule)
        ):
            raise UsageError(
                'IterBasedTrainLoop has no epochs, so that a param_scheduler '
                'with by_epoch=True never takes a step: give all of them '
                'by_epoch=False, and begin and end in iterations'
            )
    if runner.log_processor.by_epoch:
        runner.logger.warning(
            'IterBasedTrainLoop has no epochs, but the log counts in epochs: '
            'set log_processor=dict(by_epoch=False) and default_hooks.logger.'
            'log_metric_by_epoch=False.'
        )


def build_optimizer(runner: Runner) -> None:
    """Build the optimizer of a training now rather than in the run.

    Raises:
        UsageError: If its settings are not accepted.
    """
    optimizer = dict(runner.optim_wrapper).get('optimizer') or {}
    kind = optimizer.get('type') if isinstance(optimizer, dict) else None
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise UsageError(
            f'optim_wrapper.optimizer.type={kind!r} is no registered '
            'optimizer. AdamW and SGD are, and all others of torch.optim'
        )
    try:
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise UsageError(
            'the optimizer cannot be built from optim_wrapper='
            f'{dict(runner.optim_wrapper)}: {error_message(error)}'
        ) from error


def check_space(runner: Runner) -> None:
    """See whether a checkpoint has room in the work dir.

    Raises:
        UsageError: If not even the weights alone have.
    """
    if not is_main_process():
        return
    weights = unwrap(runner.model).state_dict().values()
    size = sum(weight.nbytes for weight in weights) / 2**20
    free = shutil.disk_usage(runner.work_dir).free / 2**20
    # AdamW keeps two numbers per weight; the old and the new checkpoint and
    # the best one lie side by side for a moment.
    wanted = 3 * size * 3
    if free < size:
        raise UsageError(
            f'{runner.work_dir} has {free:.0f} MiB left, too little for a '
            f'single checkpoint (the weights alone are {size:.0f} MiB). Make '
            'room, or choose another --work-dir'
        )
    if free < wanted:
        runner.logger.warning(
            f'{runner.work_dir} has {free:.0f} MiB left; the checkpoints of '
            f'this training may need {wanted:.0f} MiB.'
        )
