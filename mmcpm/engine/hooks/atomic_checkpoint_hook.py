"""Checkpoints that survive being killed, and exact resuming from them.

mmengine writes a checkpoint in place and removes the one before it first: a
run that is killed while it saves can be left with none. It never validates an
epoch whose validation was interrupted, and a run that is continued in another
folder removes the best checkpoint of the run it came from.
"""

import os
import os.path as osp
from collections import deque

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmseg.registry import HOOKS

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import PARTIAL

from ..checkpoint_files import (
    LateRemoval,
    is_whole_checkpoint,
    numbered_checkpoints,
)
from ..resuming import changed_settings, check_progress

# Keys in the ``meta`` of a checkpoint.
VALIDATED, SUPERSEDED = 'validated', 'superseded_files'
# What mmengine remembers about the files of a run, in its runtime info.
BOOKKEEPING = ('best_score', 'best_ckpt', 'keep_ckpt_ids')


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, safe against being killed at any moment.

    - A checkpoint gets its name when it is complete and on disk; the ones it
      replaces are removed after that, and it names them, so that a resumed
      run removes them if a kill came in between.
    - A checkpoint tells whether its weights have been validated. If not, a
      resumed run validates them first: no epoch is left out of the choice of
      the best one.
    - Resuming needs epochs of the same length, and warns of settings that
      changed.

    Args:
        **kwargs: Arguments of mmengine's CheckpointHook.
    """

    def __init__(self, **kwargs) -> None:
        if kwargs.get('backend_args') is None:
            kwargs['backend_args'] = dict(backend='atomic_local')
        super().__init__(**kwargs)
        # Epochs (iterations) behind the weights that were validated last.
        self._validated: int | None = None
        self._loaded_meta: dict = {}
        self._num_saved = 0

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note what a checkpoint says of itself."""
        self._loaded_meta = checkpoint.get('meta') or {}
        # mmengine would execute this text, an entry of old versions.
        self._loaded_meta.pop('config', None)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Let a checkpoint say what it replaces and what is known of it."""
        checkpoint['meta'][VALIDATED] = self._validated
        checkpoint['meta']['world_size'] = get_world_size()
        pending = getattr(self.file_backend, 'pending', ())
        checkpoint['meta'][SUPERSEDED] = [osp.basename(p) for p in pending]

    def before_train(self, runner) -> None:
        """Prepare the folder; check and complete what is resumed.

        Raises:
            UsageError: If this run cannot continue the one it resumes.
        """
        super().before_train(runner)
        self.file_backend = LateRemoval(self.file_backend)
        if is_main_process() and osp.isdir(self.out_dir):
            for name in os.listdir(self.out_dir):
                if name.startswith('.') and PARTIAL in name:
                    os.remove(osp.join(self.out_dir, name))
        self._report_damaged(runner)
        if runner._resume and runner._has_loaded:
            self._check_resumed(runner)
            self._adopt_files(runner)
            self._validate_resumed(runner)
            if self._progress(runner) >= self._goal(runner):
                runner.logger.info(
                    f'The training was finished: {self._progress(runner)} of '
                    f'{self._goal(runner)} {self._unit}s. Nothing is left to '
                    'train.'
                )

    @property
    def _unit(self) -> str:
        return 'epoch' if self.by_epoch else 'iteration'

    def _progress(self, runner) -> int:
        return runner.epoch if self.by_epoch else runner.iter

    def _goal(self, runner) -> int:
        return runner.max_epochs if self.by_epoch else runner.max_iters

    def _report_damaged(self, runner) -> None:
        """Name the newer checkpoints that could not be resumed from."""
        for number, path in numbered_checkpoints(self.out_dir):
            if number <= self._progress(runner):
                break
            if not is_whole_checkpoint(path):
                runner.logger.warning(
                    f'{path} is damaged (truncated or altered) and was not '
                    f'used; the training goes on from {self._unit} '
                    f'{self._progress(runner)}'
                )

    def _check_resumed(self, runner) -> None:
        """Compare this run with the one that wrote the checkpoint."""
        meta, loop = self._loaded_meta, runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            check_progress(
                runner.epoch,
                runner.iter,
                len(loop.dataloader),
                get_world_size(),
                getattr(loop.dataloader, 'batch_size', None),
            )
        if meta.get('world_size', get_world_size()) != get_world_size():
            runner.logger.warning(
                f'The checkpoint was written by {meta["world_size"]} '
                f'process(es), this run has {get_world_size()}: it will not '
                'reach the very same weights.'
            )
        changed = changed_settings(
            meta.get('cfg') or '', runner.cfg.pretty_text
        )
        if changed:
            runner.logger.warning(
                'The configuration is not that of the checkpoint:\n  '
                + '\n  '.join(changed[:10])
                + ('\n  ...' if len(changed) > 10 else '')
                + '\nThe states of optimizer and schedules are the '
                "checkpoint's, so that new learning rates or schedules have "
                'no effect. To start anew from its weights: --cfg-options '
                'load_from=CHECKPOINT without --resume'
            )

    def _adopt_files(self, runner) -> None:
        """Continue the bookkeeping of a folder, in this folder only."""
        info = runner.message_hub.runtime_info
        loaded = osp.abspath(
            runner._load_from or osp.join(self.out_dir, 'newest')
        )
        folder = osp.dirname(loaded)
        if osp.realpath(folder) != osp.realpath(self.out_dir):
            runner.logger.info(
                f'Resumed from another folder: {folder} is left as it is, '
                f'and the best checkpoint is chosen anew in {self.out_dir}'
            )
            for key in [k for k in info if k.startswith(BOOKKEEPING)]:
                info.pop(key)
            if self.max_keep_ckpts > 0:
                self.keep_ckpt_ids = deque(maxlen=self.max_keep_ckpts)
            self._set_best({})
            return
        self._validated = self._loaded_meta.get(VALIDATED)
        if is_main_process():
            for name in self._loaded_meta.get(SUPERSEDED, ()):
                path = osp.join(self.out_dir, osp.basename(name))
                self.file_backend.remove(path)
        # The folder may have been moved.
        best = {
            key: osp.join(self.out_dir, osp.basename(path))
            for key, path in info.items()
            if key.startswith('best_ckpt') and path
        }
        info.update(best)
        self._set_best(best)
        newest = self.filename_tmpl.format(self._progress(runner))
        if osp.basename(runner._load_from or newest) == newest:
            self.last_ckpt = osp.join(self.out_dir, newest)
        else:  # Saved in the middle of an epoch: nothing to validate.
            self._validated = self._progress(runner)
        self._flush_removals()

    def _set_best(self, paths: dict[str, str]) -> None:
        """Tell mmengine's hook where the best checkpoints are."""
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths.get('best_ckpt')
        else:
            self.best_ckpt_path_dict = {
                indicator: paths.get(f'best_ckpt_{indicator}')
                for indicator in self.key_indicators
            }

    def _validate_resumed(self, runner) -> None:
        """Validate the resumed weights if a kill kept them from it."""
        loop, done = runner.train_loop, self._progress(runner)
        if (
            not self.save_best
            or runner.val_loop is None
            or not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop)
            or done in (0, self._validated)
        ):
            return
        loop._decide_current_val_interval()
        # The loop's own count, whatever checkpoints are counted in.
        count, goal = runner.iter, runner.max_iters
        if isinstance(loop, EpochBasedTrainLoop):
            count, goal = runner.epoch, runner.max_epochs
        if count >= loop.val_begin and (
            count % loop.val_interval == 0 or count == goal
        ):
            runner.logger.info(
                f'{self._unit.capitalize()} {done} was not validated before '
                'the interruption: validating it now.'
            )
            runner.val_loop.run()

    def after_val_epoch(self, runner, metrics) -> None:
        """Save the best checkpoint, and that this one was validated."""
        done, num_saved = self._progress(runner), self._num_saved
        self._validated = done
        super().after_val_epoch(runner, metrics)
        newest = osp.join(self.out_dir, self.filename_tmpl.format(done))
        if (
            self.save_best
            and self._num_saved == num_saved
            and self.last_ckpt == newest
        ):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, done, meta)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        self._num_saved += 1
        self._flush_removals()

    def _save_best_checkpoint(self, runner, metrics) -> None:
        for name in self.key_indicators or () if self.save_best else ():
            if name != 'auto' and name not in metrics:
                raise UsageError(
                    f'default_hooks.checkpoint.save_best={name!r} is no score '
                    f'of val_evaluator, which gives {", ".join(metrics)}'
                )
        super()._save_best_checkpoint(runner, metrics)
        self._flush_removals()

    def _flush_removals(self) -> None:
        if is_main_process():
            best = getattr(self, 'best_ckpt_path_dict', {}).values()
            self.file_backend.flush(
                {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}
            )
