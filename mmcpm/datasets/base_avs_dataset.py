"""Base class of the audio-visual segmentation datasets.

A sample is one labeled frame of a clip with the clip's sound. In training,
one labeled frame per clip may be drawn anew at every visit.
"""

import contextlib
import copy
import functools
import logging
import os
import os.path as osp
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.dist import get_rank
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from torch.utils.data import get_worker_info

from ..structures.audio_labels import label_map_classes
from .errors import FileReadError, SampleReadError
from .metadata.class_file import read_class_file
from .transforms import CutAudioToFrame, LoadAudioFromFile

# Transforms that read a file, the key of its path, and what it is.
READERS = (
    (LoadImageFromFile, 'img_path', 'frame'),
    (LoadAnnotations, 'seg_map_path', 'label file'),
    (LoadAudioFromFile, 'audio_path', 'audio file'),
    (CutAudioToFrame, 'audio_path', 'audio file'),
)


@functools.lru_cache(maxsize=1)
def worker_generator(seed: int) -> torch.Generator:
    """Make the generator of a data-loading process, once.

    Args:
        seed (int): Seed of the process, see ``torch.utils.data.WorkerInfo``.

    Returns:
        torch.Generator: The same one as long as the seed is the same.
    """
    return torch.Generator().manual_seed(seed)


def draw_frame(frames: Sequence[int], rank: int = 0) -> int:
    """Draw the frame that a visit of a clip shows.

    The main process draws from PyTorch's generator. A data-loading process
    draws from one of its own: mmengine seeds PyTorch's there, alike in every
    epoch. The seed of the process is new whenever a DataLoader starts, and
    comes from the main process's generator: who seeds that one (as
    EpochSeedHook does) repeats the draws.

    Args:
        frames (Sequence[int]): The labeled frames of the clip.
        rank (int): Rank of the process among those that train together: they
            may have the same seed, and shall not draw alike.

    Returns:
        int: One of ``frames``, each with equal probability.
    """
    if len(frames) == 1:
        return frames[0]
    worker = get_worker_info()
    generator = None if worker is None else worker_generator(worker.seed)
    number = int(torch.randint(2**62, (), generator=generator))
    return frames[
        int(np.random.default_rng((rank, number)).integers(len(frames)))
    ]


def find_missing_files(paths: Iterable[str]) -> list[str]:
    """Look for files, reading every folder once.

    Args:
        paths (Iterable[str]): Paths on the local disk.

    Returns:
        list[str]: Those that are not there, sorted.
    """
    names = defaultdict(set)
    for path in paths:
        names[osp.dirname(path)].add(osp.basename(path))
    missing = []
    for folder, expected in names.items():
        # Without the folder none of its files is there.
        with contextlib.suppress(OSError):
            expected -= set(os.listdir(folder))
        missing += [osp.join(folder, name) for name in expected]
    return sorted(missing)


def labeled_classes(dataset: BaseSegDataset, info: dict) -> frozenset[int]:
    """Read which classes the label of a frame holds.

    Args:
        dataset (BaseSegDataset): Dataset whose pipeline reads labels.
        info (dict): Input of the pipeline for the frame.

    Returns:
        frozenset[int]: Class ids, without background.

    Raises:
        ValueError: If the pipeline reads no labels.
    """
    for step in dataset.pipeline.transforms:
        if isinstance(step, LoadAnnotations):
            label = step(copy.deepcopy(info))['gt_seg_map']
            return frozenset(label_map_classes(label, dataset.ignore_index))
    raise ValueError(
        'the classes of a sample are those of its label, but the pipeline of '
        f'{type(dataset).__name__} loads none: it needs LoadAVSAnnotations, '
        'or the one of its kind'
    )


class BaseAVSDataset(BaseSegDataset):
    """Base class of the audio-visual segmentation datasets.

    Subclasses implement ``load_data_list`` and ``frame_info``. An item of the
    data list holds ``uid``, ``frames`` (the labeled frames it stands for:
    one, or those of a whole clip to draw from) and what ``frame_info`` needs;
    paths are made when a sample is read, so that the list stays small.

    Args:
        skip_unreadable (int): Training only: how many unreadable files are
            tolerated. The samples that need them are replaced by the next
            one; each file is logged once, and one more raises an error that
            lists them all. A worker process counts what it reads itself;
            SampleReportHook counts over all workers and epochs, and
            reports at the end of each epoch. Defaults to 0: the first
            unreadable file ends the run.
        class_file (str, optional): List of the classes in the label files,
            under ``data_root``, see :func:`.class_file.parse_class_file`.
            Defaults to None: ``CLASS_FILE`` of the class, or its METAINFO.
        test_mode (bool): Whether samples are for evaluation, where none may
            be replaced. Defaults to False.
        kwargs: Arguments of ``BaseSegDataset``; ``metainfo`` may choose some
            of the classes.
    """

    CLASS_FILE: str | None = None

    def __init__(
        self,
        *,
        skip_unreadable: int = 0,
        class_file: str | None = None,
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        if skip_unreadable < 0 or (skip_unreadable and test_mode):
            raise ValueError(
                f'skip_unreadable={skip_unreadable} with '
                f'test_mode={test_mode}: the number cannot be negative, and '
                'a score over fewer samples is not comparable. Use it for '
                'training only, and repair the files for evaluation.'
            )
        if kwargs.get('reduce_zero_label'):
            raise ValueError(
                'reduce_zero_label=True would ignore class 0, the background '
                '(everything silent), which is a class here'
            )
        self.skip_unreadable = skip_unreadable
        # Where its settings stand; elsewhere within a wrapper.
        self.settings_path = 'train_dataloader.dataset'
        self._cat_ids: dict[int, list[int]] = {}
        self._unreadable: dict[str, str] = {}
        # Data-loading processes that were spawned do not know it.
        self._rank = get_rank()
        settings = dict(kwargs, class_file=class_file)
        self.class_file = self.class_path(settings)
        # Classes of the label files; those of a list are this instance's.
        if self.class_file:
            self.METAINFO = self.read_metainfo({**settings, 'metainfo': None})
            kwargs['metainfo'] = self.read_metainfo(settings)
        super().__init__(test_mode=test_mode, **kwargs)

    @classmethod
    def class_path(cls, settings: Mapping[str, Any]) -> str | None:
        """Tell where the class list of a dataset lies.

        Args:
            settings (Mapping[str, Any]): Of the dataset.

        Returns:
            str | None: Its path; None if the classes are METAINFO's.
        """
        name = settings.get('class_file') or cls.CLASS_FILE
        if name is None or '://' in name:
            return name
        return osp.join(settings.get('data_root') or '', name)

    @classmethod
    def read_metainfo(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Find classes and palette of a dataset without building it.

        Args:
            settings (Mapping[str, Any]): Of the dataset.

        Returns:
            dict[str, Any]: METAINFO or the content of the class list, where
            ``metainfo`` of the settings says nothing else.

        Raises:
            DatasetNotFoundError: If the class list cannot be read.
            DatasetIndexError: If it is none.
        """
        metainfo, path = cls.METAINFO, cls.class_path(settings)
        if path:
            metainfo = read_class_file(path, settings.get('backend_args'))
        return {**metainfo, **(settings.get('metainfo') or {})}

    def get_label_map(
        self, new_classes: Sequence[str] | None = None
    ) -> dict[int, int] | None:
        """Map the classes of the label files to those that are chosen.

        mmseg asks the class; here the label files of an instance may have
        classes of their own.

        Args:
            new_classes (Sequence[str], optional): The chosen ones.

        Returns:
            dict[int, int] | None: New ids by old ones; None if they are the
            same.
        """
        return BaseSegDataset.get_label_map.__func__(self, new_classes)

    def _join_prefix(self) -> None:
        """Put the data root before the name of the index file.

        mmengine asks the storage to join them, which not all can (http).
        """
        if self.is_local:
            super()._join_prefix()
        elif '://' not in self.ann_file:
            self.ann_file = osp.join(self.data_root, self.ann_file)

    def filter_data(self) -> list[dict]:
        """Note how many samples there are before ``indices`` chooses.

        Returns:
            list[dict]: The data list.
        """
        self.split_length = len(self.data_list)
        return super().filter_data()

    def sample_ids(self) -> list[str]:
        """Name all frames that may be read, before any is.

        Returns:
            list[str]: Their ``sample_id``.
        """
        items = (
            BaseSegDataset.get_data_info(self, i) for i in range(len(self))
        )
        return [
            self.frame_info(item, frame)['sample_id']
            for item in items
            for frame in item['frames']
        ]

    def frame_info(self, item: dict, frame_index: int) -> dict:
        """Describe one frame of a clip.

        Args:
            item (dict): Item of the data list.
            frame_index (int): The second of the clip, from 0.

        Returns:
            dict: ``img_path``, ``seg_map_path``, ``audio_path``,
            ``sample_id`` and further information for the pipeline. By ``uid``
            (the clip) and ``sound_sources`` (tuple of str, names of what
            sounds: categories, recordings) the model tells whose sound it
            may mix into whose; without them it only has the labels.
        """
        raise NotImplementedError

    @property
    def is_local(self) -> bool:
        """Whether the data lie on the local disk."""
        backend = (self.backend_args or {}).get('backend', 'local')
        return '://' not in self.data_root and backend == 'local'

    def missing_files(self) -> list[str]:
        """Look for every file that the samples need.

        For the training split of AVSBench-Semantic that takes a second; the
        tools do it before they start a run.

        Returns:
            list[str]: Paths of the missing ones; empty for other storage.
        """
        if not self.is_local:
            return []
        return find_missing_files(
            info[key]
            for index in range(len(self))
            for item in [BaseSegDataset.get_data_info(self, index)]
            for frame in item['frames']
            for info in [self.frame_info(item, frame)]
            for key in ('img_path', 'seg_map_path', 'audio_path')
        )

    def get_data_info(self, idx: int) -> dict:
        """Describe a sample; draw its frame where several are labeled.

        Every call is a visit, with a draw of its own.

        Args:
            idx (int): Index of the sample.

        Returns:
            dict: What ``frame_info`` gives, and the keys that the transforms
            of mmseg expect.
        """
        item = super().get_data_info(idx)
        frame_index = draw_frame(item['frames'], self._rank)
        return self._describe_frame(item, frame_index)

    def _describe_frame(self, item: dict, frame_index: int) -> dict:
        """Gather what the pipeline needs to know of a frame."""
        return dict(
            self.frame_info(item, frame_index),
            frame_index=frame_index,
            num_label_values=len(self.METAINFO['classes']),
            label_map=self.label_map,
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
            sample_idx=item['sample_idx'],
        )

    def get_cat_ids(self, idx: int) -> list[int]:
        """List the classes of a sample, for ClassBalancedDataset.

        The labels of all frames that the sample may show are read, once.

        Args:
            idx (int): Index of the sample.

        Returns:
            list[int]: Class ids, ascending, without background.
        """
        if idx not in self._cat_ids:
            item = super().get_data_info(idx)
            found = set()
            for frame in item['frames']:
                info = self._describe_frame(item, frame)
                found |= labeled_classes(self, info)
            self._cat_ids[idx] = sorted(found)
        return self._cat_ids[idx]

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on a sample, or on the next one that is readable.

        Args:
            idx (int): Index of the sample.

        Returns:
            Any: Output of the pipeline.

        Raises:
            IndexError: If there is no such sample, which ends a loop over
                the dataset.
            SampleReadError: If a file cannot be read and ``skip_unreadable``
                does not allow for (another) one.
        """
        if not -len(self) <= idx < len(self):
            raise IndexError(f'sample {idx} of a dataset of {len(self)}')
        skipped = []
        for step in range(len(self)):
            data_info = self.get_data_info((idx + step) % len(self))
            try:
                return self._note_skipped(
                    self._run_pipeline(data_info), skipped
                )
            except SampleReadError as error:
                if not self.skip_unreadable:
                    raise
                self._tolerate(error)
                skipped.append((data_info['sample_id'], error.path))
        raise SampleReadError('No sample can be read. ' + self._unread_list())

    def _run_pipeline(self, results: dict) -> Any:
        """Apply the transforms; name sample and file if one cannot read."""
        sample_id = results['sample_id']
        for transform in self.pipeline.transforms:
            path, kind = self._file_of(transform, results)
            try:
                results = transform(results)
            except Exception as error:
                if not path or isinstance(error, MemoryError):
                    raise
                raise self._sample_error(
                    error, sample_id, path, kind
                ) from error
            if results is None:
                return None
        return results

    @staticmethod
    def _note_skipped(packed: Any, skipped: list[tuple[str, str]]) -> Any:
        """Note in a sample which ones it stands for, and their files."""
        if skipped and isinstance(packed, dict) and 'data_samples' in packed:
            packed['data_samples'].set_metainfo({'skipped': tuple(skipped)})
        return packed

    @staticmethod
    def _file_of(transform: Any, results: dict) -> tuple[str, str]:
        """Name the file that a transform will read and what it is."""
        for reader, key, kind in READERS:
            if isinstance(transform, reader):
                return results.get(key, ''), kind
        return '', ''

    @property
    def _skip_hint(self) -> str:
        """Tell how to train without an unreadable file."""
        return (
            ' To train without it: --cfg-options '
            f'{self.settings_path}.skip_unreadable=N allows for N such files.'
        )

    def _sample_error(
        self, error: Exception, sample_id: str, path: str, kind: str
    ) -> SampleReadError:
        """Describe why a sample cannot be read."""
        if isinstance(error, FileReadError):
            reason = str(error)
        else:
            reason = (
                f'Cannot read the {kind} {path} ({type(error).__name__}: '
                f"{error}). Restore it from the dataset's archive."
            )
        if not self.test_mode:
            reason += self._skip_hint
        return SampleReadError(f'Sample {sample_id}: {reason}', path)

    def _tolerate(self, error: SampleReadError) -> None:
        """Count an unreadable file once; raise if it is one too many."""
        if error.path in self._unreadable:
            return
        fault = str(error).removesuffix(self._skip_hint)
        self._unreadable[error.path] = fault
        number = len(self._unreadable)
        if number > self.skip_unreadable:
            raise SampleReadError(
                f'More than skip_unreadable={self.skip_unreadable} files '
                'cannot be read. ' + self._unread_list(),
                error.path,
            )
        print_log(
            f'{fault} Replaced by the next sample: unreadable file {number} '
            f'of at most {self.skip_unreadable}.',
            logger='current',
            level=logging.WARNING,
        )

    def _unread_list(self) -> str:
        """List the unreadable files, one per line."""
        return 'Unreadable files:\n' + '\n'.join(self._unreadable.values())
