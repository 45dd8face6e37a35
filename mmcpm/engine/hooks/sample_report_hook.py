"""Reports samples that were replaced, and frames without sound."""

from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from mmseg.registry import HOOKS

from mmcpm.datasets.errors import SampleReadError

from .epoch_seed_hook import nested_datasets


@HOOKS.register_module()
class SampleReportHook(Hook):
    """Sums up, after every epoch, what was wrong with its samples.

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
        self._replaced: set[str] = set()
        self._silent: set[str] = set()

    def before_train(self, runner) -> None:
        """Look up how many unreadable files are allowed.

        Args:
            runner (Runner): Of the training.
        """
        self.limit = sum(
            getattr(dataset, 'skip_unreadable', 0)
            for dataset in nested_datasets(
                runner.train_loop.dataloader.dataset
            )
        )

    def _before_epoch(self, runner, mode: str = 'train') -> None:
        """Begin to count the samples of an epoch."""
        self._replaced.clear()
        self._silent.clear()

    def _after_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs=None,
        mode: str = 'train',
    ) -> None:
        """Look at what the samples of a batch say about themselves.

        Args:
            runner (Runner): Of the run.
            batch_idx (int): Not used.
            data_batch (dict, optional): Its ``data_samples`` may name the
                samples they stand for and their files (``skipped``).
            outputs (Any): Not used.
            mode (str): 'train', 'val' or 'test'.

        Raises:
            SampleReadError: If there are more files than allowed.
        """
        for sample in batch_samples(data_batch):
            for sample_id, path in sample.get('skipped', ()):
                self._replaced.add(str(sample_id))
                self._files.add(path)
            if sample.get('audio_valid_samples') == 0:
                self._silent.add(str(sample.get('sample_id')))
        self._check(self._files)

    def _after_epoch(self, runner, mode: str = 'train') -> None:
        """Report the epoch.

        Args:
            runner (Runner): Of the run.
            mode (str): 'train', 'val' or 'test'.

        Raises:
            SampleReadError: If there are more files than allowed, on all
                ranks together.
        """
        files, replaced, silent = (
            set().union(*all_gather_object(names))
            for names in (self._files, self._replaced, self._silent)
        )
        self._check(files)
        if mode == 'train' and files:
            runner.logger.warning(
                f'{len(replaced)} samples of epoch {runner.epoch + 1} were '
                f'replaced; {len(files)} files were unreadable since the '
                f'start (skip_unreadable allows for {self.limit}): '
                f'{_listing(files)}'
            )
        if silent:
            runner.logger.warning(
                f'{len(silent)} frames lie after the end of their sound, and '
                'are seen in silence: their audio.wav is shorter than the '
                f'clip. {_listing(silent)}'
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

    Args:
        data_batch (Any): As the dataloader gives it, usually a dict with
            ``data_samples``.

    Returns:
        list[BaseDataElement]: Empty if there are none; the views of
        test-time augmentation are left out.
    """
    if not isinstance(data_batch, dict):
        return []
    samples = data_batch.get('data_samples') or []
    return [s for s in samples if isinstance(s, BaseDataElement)]


def _listing(names: set[str], limit: int = 10) -> str:
    """Join names for a message."""
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(sorted(names)[:limit]) + more
