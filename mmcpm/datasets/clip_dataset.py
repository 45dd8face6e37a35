"""Dataset wrapper that gives clips of T frames to models that need time."""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..structures.audio_labels import IGNORE_INDEX
from ..structures.clips import is_scored
from .base_avs_dataset import BaseAVSDataset
from .errors import SampleReadError
from .shared_randomness import SharedRandomness, shared_decisions

# Meta keys that a batch of clips is checked by, whatever else is packed.
NAMES = ('sample_id', 'uid', 'frame_index')


class FrameOfClip(NamedTuple):
    """Where a frame is found.

    Attributes:
        item (int): Item of the wrapped dataset that describes it.
        frame (int): Its number in the clip.
        labeled (bool): Whether it is one of the dataset's labeled frames.
    """

    item: int
    frame: int
    labeled: bool


def frame_samples(sample: dict | list[dict]) -> list[dict]:
    """List the packed frames of a sample of any dataset.

    Args:
        sample (dict or list[dict]): A frame, or a clip of ClipDataset.

    Returns:
        list[dict]: One frame, or those of the clip.
    """
    return sample if isinstance(sample, list) else [sample]


def views(packed: dict) -> list[BaseDataElement]:
    """Data samples of a frame: one, or all of test-time augmentation.

    Args:
        packed (dict): Output of a pipeline.

    Returns:
        list[BaseDataElement]: Samples of the frame.
    """
    found = packed['data_samples']
    return found if isinstance(found, list) else [found]


def blank_frame(packed: dict, **meta: Any) -> dict:
    """Make what stands where a clip has no frame.

    Args:
        packed (dict): Another frame of the clip, or all of its views.
        meta (Any): Meta information that differs.

    Returns:
        dict: As ``packed``, but black, silent, and ignored everywhere.
    """
    blank = copy.deepcopy(packed)
    images = blank['inputs']
    for image in images if isinstance(images, list) else [images]:
        image.zero_()
    for sample in views(blank):
        sample.audio = torch.zeros_like(sample.audio)
        if 'offscreen_audio' in sample:
            sample.offscreen_audio = torch.zeros_like(sample.offscreen_audio)
        if 'gt_sem_seg' in sample:
            sample.gt_sem_seg.data.fill_(IGNORE_INDEX)
        for key in ('audio_labels', 'audio_valid_samples', 'skipped'):
            if key in sample:
                delattr(sample, key)
        sample.set_metainfo(dict(meta, frame_valid=False, labeled=False))
    return blank


@DATASETS.register_module()
class ClipDataset:
    """Reads T consecutive frames of a clip at a time.

    A sample is a list of T packed frames in order, each with the meta keys
    ``clip_length`` (T), ``frame_valid`` and ``labeled``;
    ``collate_fn=dict(type='clip_collate')`` of the dataloader joins B of
    them to a batch of ``B * T`` frames. ``batch_size``, samplers and
    ``auto_scale_lr`` then count clips.

    - A clip of more than T frames gives several samples. Where the last one
      has fewer than T, it is filled up: black, silent, ``frame_valid`` False.
    - Frames without a label (of S4, and v1s of AVSBench-Semantic, in
      training: all but the first) are read, ``labeled`` False. T frames
      without any label are left out.
    - Random steps of the pipeline draw once for all frames of a sample.
    - A frame that cannot be read ends the run. Where ``skip_unreadable``
      allows for it, it becomes black and silent, ``frame_valid`` False; if
      no label is left, the next sample takes the clip's place.

    Which frames the wrapped dataset draws (``frame_sampling``) has no effect.
    Other wrappers go around this one.

    Args:
        dataset (dict or BaseAVSDataset): The dataset whose clips are read.
        clip_length (int): T, 1 or more.
    """

    def __init__(
        self, dataset: dict | BaseAVSDataset, clip_length: int
    ) -> None:
        if not isinstance(clip_length, int) or clip_length < 1:
            raise ValueError(
                'clip_length of ClipDataset must be a whole number of '
                f'frames, at least 1, but is {clip_length!r}.'
            )
        self.dataset = (
            DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        )
        if not isinstance(self.dataset, BaseAVSDataset):
            raise TypeError(
                'ClipDataset reads the frames of an audio-visual dataset of '
                f'mmcpm itself, but got a {type(self.dataset).__name__}. Put '
                'ClipDataset around that dataset, and other wrappers '
                '(ConcatDataset, CounterfactualAudioDataset and others) '
                'around ClipDataset.'
            )
        self.clip_length = clip_length
        if clip_length > 1:
            self.dataset.whole_clips = True
        self._samples: list[tuple[FrameOfClip, ...]] | None = None

    @property
    def metainfo(self) -> dict:
        """Same value as that of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the dataset's list and find its clips.

        Raises:
            ValueError: If all clips are single frames and T is not 1.
        """
        if self._samples is not None:
            return
        self.dataset.full_init()
        clips = self._find_clips()
        longest = max(map(len, clips), default=1)
        if longest == 1 < self.clip_length:
            raise ValueError(
                f'ClipDataset(clip_length={self.clip_length}): no clip of '
                f'{type(self.dataset).__name__} has more than one frame. Use '
                'clip_length=1, with which a model that needs time sees one '
                'frame.'
            )
        self._samples = [
            part
            for clip in clips
            for start in range(0, len(clip), self.clip_length)
            for part in [clip[start : start + self.clip_length]]
            if any(frame.labeled for frame in part)
        ]

    def _find_clips(self) -> list[tuple[FrameOfClip, ...]]:
        """List the frames of every clip."""
        clips: dict[str, dict[int, FrameOfClip]] = {}
        for index in range(len(self.dataset)):
            item = BaseSegDataset.get_data_info(self.dataset, index)
            frames = clips.setdefault(item['uid'], {})
            for frame in self.dataset.clip_frames(item):
                frames.setdefault(frame, FrameOfClip(index, frame, False))
            for frame in item['frames']:
                frames[frame] = FrameOfClip(index, frame, True)
        return [
            tuple(frames[number] for number in sorted(frames))
            for frames in clips.values()
        ]

    def __len__(self) -> int:
        self.full_init()
        return len(self._samples)

    def frames_of(self, idx: int) -> list[dict]:
        """Describe the frames of a sample, before they are read.

        Args:
            idx (int): Index of the sample.

        Returns:
            list[dict]: What the pipeline of the wrapped dataset gets; up to
            T frames.
        """
        self.full_init()
        infos = []
        for item, frame, labeled in self._samples[idx]:
            info = self.dataset.frame_data_info(item, frame)
            if not labeled:
                info.pop('seg_map_path')
            infos.append({**info, **self._meta(labeled)})
        return infos

    def _meta(self, labeled: bool) -> dict:
        """Make the meta information of a frame that there is."""
        return {
            'clip_length': self.clip_length,
            'frame_valid': True,
            'labeled': labeled,
        }

    def get_data_info(self, idx: int) -> dict:
        """Describe a sample by its first labeled frame."""
        return next(info for info in self.frames_of(idx) if info['labeled'])

    def get_cat_ids(self, idx: int) -> list[int]:
        """List the classes of a sample, see ``BaseAVSDataset``."""
        self.full_init()
        found: set[int] = set()
        for item, frame, labeled in self._samples[idx]:
            if labeled:
                found.update(self.dataset.frame_classes(item, [frame]))
        return sorted(found)

    def __getitem__(self, idx: int) -> list[dict]:
        """Read a sample, or the next one that is readable.

        Args:
            idx (int): Index of the sample.

        Returns:
            list[dict]: T packed frames.

        Raises:
            IndexError: If there is no such sample.
            SampleReadError: If a file cannot be read and ``skip_unreadable``
                does not allow for (another) one.
        """
        if not -len(self) <= idx < len(self):
            raise IndexError(f'clip {idx} of a dataset of {len(self)}')
        skipped: list[tuple[str, str]] = []
        for step in range(len(self)):
            infos = self.frames_of((idx + step) % len(self))
            packed = self._read(infos, skipped)
            if any(is_scored(v.metainfo) for p in packed for v in views(p)):
                return self._complete(packed, infos, skipped)
        raise SampleReadError(
            f'No clip can be read. {self.dataset.unreadable}'
        )

    def _read(
        self, infos: Iterable[dict], skipped: list[tuple[str, str]]
    ) -> list[dict]:
        """Read the frames of a clip, as far as that is possible."""
        randomness, packed = SharedRandomness(), []
        steps = self.dataset.pipeline.transforms
        before, decisions = randomness.before_step, shared_decisions(steps)
        if self.clip_length == 1:  # As without this wrapper.
            before, decisions = None, shared_decisions(())
        with decisions:
            for info in infos:
                meta = {k: info[k] for k in (*NAMES, *self._meta(True))}
                try:
                    frame = self.dataset.run_pipeline(info, before)
                except SampleReadError as error:
                    self.dataset.unreadable.tolerate(
                        error, self.dataset.skip_hint
                    )
                    skipped.append((info['sample_id'], error.path))
                    continue
                self._check_packed(frame, info)
                for sample in views(frame):
                    sample.set_metainfo(meta)
                packed.append(frame)
        return packed

    @staticmethod
    def _check_packed(frame: Any, info: dict) -> None:
        """Refuse what is no packed frame with its sound."""
        if (
            not isinstance(frame, dict)
            or 'data_samples' not in frame
            or any('audio' not in sample for sample in views(frame))
        ):
            raise ValueError(
                f'{info["sample_id"]}: ClipDataset needs a pipeline that '
                'packs frame and sound, but its result holds '
                f'{sorted(frame) if isinstance(frame, dict) else frame}. '
                'End it with PackAVSInputs.'
            )

    def _complete(
        self,
        packed: list[dict],
        infos: list[dict],
        skipped: list[tuple[str, str]],
    ) -> list[dict]:
        """Fill a clip up to T frames."""
        by_name = {views(frame)[0].sample_id: frame for frame in packed}
        clip = []
        for info in infos:
            name = info['sample_id']
            if name in by_name:
                clip.append(by_name[name])
            else:
                names = {key: info[key] for key in ('img_path', *NAMES)}
                clip.append(blank_frame(packed[0], **names))
        for number in range(len(clip), self.clip_length):
            last = infos[-1]
            clip.append(
                blank_frame(
                    packed[-1],
                    sample_id=f'{last["uid"]}/padding_{number}',
                    frame_index=last['frame_index'] + number + 1 - len(infos),
                )
            )
        if skipped:
            # Which frames are not in their place, and their files.
            for sample in views(clip[0]):
                sample.set_metainfo({'skipped': tuple(skipped)})
        return clip
