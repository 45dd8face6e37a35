"""Hook that reports replaced samples, and frames without sound."""

from collections import defaultdict
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from mmseg.registry import HOOKS

from mmcpm.datasets.errors import SampleReadError
from mmcpm.utils.errors import shorten

from .epoch_seed_hook import has_no_epochs, nested_datasets


@HOOKS.register_module()
class SampleReportHook(Hook):
    """Sums up, after every epoch, what was wrong with its samples.

    Where there are no epochs, the training is summed up before validations.

    - Files that were skipped, where ``skip_unreadable`` of the training
      dataset allows for some. Workers know only what they read themselves;
      here the files of all workers and epochs come together, and the limit
      is that of the whole run. Ranks are added at the end of an epoch.
    - Frames after the end of their clip's sound, which the model sees in
      silence.
    """

    def __init__(self) -> None:
        self.limit = 0
        self._files: set[str] = set()
        # By mode: a validation may come in the midst of an epoch.
        self._replaced: dict[str, set[str]] = defaultdict(set)
        self._silent: dict[str, set[str]] = defaultdict(set)

    def before_train(self, runner) -> None:
        """Look up how many unreadable files are allowed."""
        self.limit = sum(
            getattr(dataset, 'skip_unreadable', 0)
            for dataset in nested_datasets(
                runner.train_loop.dataloader.dataset
            )
        )

    def _before_epoch(self, runner, mode: str = 'train') -> None:
        """Begin to count the samples of an epoch."""
        if mode == 'val' and has_no_epochs(runner):
            self._after_epoch(runner, 'train')
            self._before_epoch(runner, 'train')
        self._replaced[mode].clear()
        self._silent[mode].clear()

    def _after_iter(
        self, runner, batch_idx, data_batch=None, outputs=None, mode='train'
    ) -> None:
        """Look at what the samples of a batch say about themselves.

        Raises:
            SampleReadError: If there are more files than allowed.
        """
        for sample in batch_samples(data_batch):
            for sample_id, path in sample.get('skipped', ()):
                self._replaced[mode].add(str(sample_id))
                self._files.add(path)
            if sample.get('audio_valid_samples') == 0:
                self._silent[mode].add(str(sample.get('sample_id')))
        self._check(self._files)

    def _after_epoch(self, runner, mode: str = 'train') -> None:
        """Report the epoch.

        Raises:
            SampleReadError: If there are more files than allowed, on all
                ranks together.
        """
        files, replaced, silent = (
            set().union(*all_gather_object(names))
            for names in (
                self._files,
                self._replaced[mode],
                self._silent[mode],
            )
        )
        self._check(files)
        if mode == 'train' and files:
            when = f'of epoch {runner.epoch + 1}'
            if has_no_epochs(runner):
                when = f'up to iteration {runner.iter}'
            runner.logger.warning(
                f'{len(replaced)} samples {when} were replaced; '
                f'{len(files)} files were unreadable since the start '
                f'(skip_unreadable allows for {self.limit}): '
                f'{shorten(sorted(files), 10)}'
            )
        if silent:
            runner.logger.warning(
                f'{len(silent)} frames lie after the end of their sound, and '
                'are seen in silence: their audio.wav is shorter than the '
                f'clip. {shorten(sorted(silent), 10)}'
            )

    def _check(self, files: set[str]) -> None:
        """Raise if there are more files than allowed."""
        if len(files) > self.limit:
            raise SampleReadError(
                f'More than skip_unreadable={self.limit} files cannot be '
                'read. Unreadable files:\n' + '\n'.join(sorted(files))
            )


def batch_samples(data_batch: Any) -> list[BaseDataElement]:
    """List the data samples of a batch, of whatever dataset.

    Returns:
        list[BaseDataElement]: Empty if there are none; the views of
        test-time augmentation are left out.
    """
    if not isinstance(data_batch, dict):
        return []
    samples = data_batch.get('data_samples') or []
    return [s for s in samples if isinstance(s, BaseDataElement)]
