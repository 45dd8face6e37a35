"""Base class of the audio-visual segmentation datasets.

A sample is one labeled frame of a clip with the clip's sound. In training,
one labeled frame per clip may be drawn anew at every visit.
"""

import os.path as osp
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.dist import get_rank
from mmengine.structures import BaseDataElement
from mmseg.datasets import BaseSegDataset

from .errors import SampleReadError
from .frame_sampling import draw_frame
from .metadata.class_file import read_class_file
from .metadata.index_table import find_missing_files
from .sample_classes import read_classes
from .unreadable_files import UnreadableFiles, check_skipping, run_steps


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
    # Seconds by which CutAudioToFrame cuts a later window than the frame's;
    # set by CounterfactualAudioDataset.
    audio_shift = 0.0
    # Whether frames without a label are read, too; set by ClipDataset.
    whole_clips = False

    def __init__(
        self,
        *,
        skip_unreadable: int = 0,
        class_file: str | None = None,
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        check_skipping(skip_unreadable, test_mode)
        if kwargs.get('reduce_zero_label'):
            raise ValueError(
                'reduce_zero_label=True would ignore class 0, the background '
                '(everything silent), which is a class here'
            )
        self.skip_unreadable = skip_unreadable
        self.unreadable = UnreadableFiles(skip_unreadable)
        # Where its settings stand; elsewhere within a wrapper.
        self.settings_path = 'train_dataloader.dataset'
        self._cat_ids: dict[int, list[int]] = {}
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

    def _join(self, *names: str) -> str:
        """Make a path under the data root."""
        return osp.join(self.data_root, *names)

    def _join_prefix(self) -> None:
        """Put the data root before the name of the index file.

        mmengine asks the storage to join them, which not all can (http).
        """
        if self.is_local:
            super()._join_prefix()
        elif '://' not in self.ann_file:
            self.ann_file = osp.join(self.data_root, self.ann_file)

    def filter_data(self) -> list[dict]:
        """Note how many samples there are before ``indices`` chooses."""
        self.split_length = len(self.data_list)
        return super().filter_data()

    def sample_ids(self) -> list[str]:
        """List the ``sample_id`` of all frames, before any is read."""
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

    def clip_frames(self, item: dict) -> Sequence[int]:
        """List all frames of a clip that there are, labeled or not.

        Args:
            item (dict): Item of the data list.

        Returns:
            Sequence[int]: Frame numbers; those that are labeled unless a
            dataset knows of more.
        """
        return item['frames']

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
            path
            for index in range(len(self))
            for item in [BaseSegDataset.get_data_info(self, index)]
            for path in self._files(item)
        )

    def _files(self, item: dict) -> Iterator[str]:
        """List the files of the frames that an item stands for."""
        labeled = item['frames']
        frames = self.clip_frames(item) if self.whole_clips else labeled
        for frame in frames:
            info = self.frame_info(item, frame)
            yield info['img_path']
            if frame in labeled:
                yield info['seg_map_path']
            yield info['audio_path']
            yield from (path for path, _ in info.get('audio_sources', ()))

    def get_data_info(self, idx: int) -> dict:
        """Describe a sample; draw its frame where several are labeled.

        Every call is a visit, with a draw of its own.

        Args:
            idx (int): Index of the sample.

        Returns:
            dict: What ``frame_info`` gives, and the keys that the transforms
            of mmseg expect.
        """
        frames = super().get_data_info(idx)['frames']
        return self.frame_data_info(idx, draw_frame(frames, self._rank))

    def frame_data_info(self, idx: int, frame_index: int) -> dict:
        """Gather what the pipeline needs to know of a frame.

        Args:
            idx (int): Index of a sample of its clip.
            frame_index (int): The frame.

        Returns:
            dict: As :meth:`get_data_info`.
        """
        item = super().get_data_info(idx)
        return dict(
            self.frame_info(item, frame_index),
            frame_index=frame_index,
            num_label_values=len(self.METAINFO['classes']),
            label_map=self.label_map,
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
            sample_idx=item['sample_idx'],
            **({'audio_shift': self.audio_shift} if self.audio_shift else {}),
        )

    def get_cat_ids(self, idx: int) -> list[int]:
        """List the classes of a sample, for ClassBalancedDataset.

        The labels of all frames that the sample may show are read, once.

        Args:
            idx (int): Index of the sample.

        Returns:
            list[int]: Class ids, ascending, without background.

        Raises:
            ValueError: If the pipeline reads no labels.
        """
        if idx not in self._cat_ids:
            frames = super().get_data_info(idx)['frames']
            self._cat_ids[idx] = self.frame_classes(idx, frames)
        return self._cat_ids[idx]

    def frame_classes(self, idx: int, frames: Iterable[int]) -> list[int]:
        """Read the classes of some labeled frames.

        Args:
            idx (int): Index of a sample of their clip.
            frames (Iterable[int]): The frames.

        Returns:
            list[int]: Class ids, ascending, without background.

        Raises:
            ValueError: If the pipeline reads no labels.
        """
        return read_classes(
            self.pipeline.transforms,
            [self.frame_data_info(idx, frame) for frame in frames],
            self.ignore_index,
            type(self).__name__,
        )

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
                packed = self.run_pipeline(data_info)
            except SampleReadError as error:
                self.unreadable.tolerate(error, self.skip_hint)
                skipped.append((data_info['sample_id'], error.path))
                continue
            if skipped and isinstance(packed, dict):
                # Note which samples it stands for, and their files.
                sample = packed.get('data_samples', BaseDataElement())
                sample.set_metainfo({'skipped': tuple(skipped)})
            return packed
        raise SampleReadError(f'No sample can be read. {self.unreadable}')

    def run_pipeline(
        self, results: dict, before_step: Callable[[int], None] | None = None
    ) -> Any:
        """Read and transform a frame, see :func:`.run_steps`."""
        hint = '' if self.test_mode else self.skip_hint
        return run_steps(self.pipeline.transforms, results, hint, before_step)

    @property
    def skip_hint(self) -> str:
        """str: How to train without an unreadable file."""
        return (
            ' To train without it: --cfg-options '
            f'{self.settings_path}.skip_unreadable=N allows for N such files.'
        )
