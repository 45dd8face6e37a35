"""Base class of the metrics: every frame is counted once, by its name.

A frame's contribution is a handful of integers. Scores are computed from the
whole list of frames, ordered by name, so neither batch size nor order nor the
number of ranks changes a digit.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterable, Sequence

from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...structures.clips import is_scored


class FrameMetric(BaseMetric):
    """A metric over different frames, told apart by their ``sample_id``.

    A frame that several ranks scored (samplers repeat frames to give every
    rank the same number) counts once. Subclasses count one frame in
    :meth:`count_frame` and score all in ``compute_metrics``.

    The name of a protocol stands for the size at which it scores and for its
    other rules. Frames of another size are refused, whatever the pipeline
    does, and other rules are told after the name: ``avsbench_96/J``.

    Args:
        size (tuple[int, int], optional): Height and width in pixels at which
            every frame must be scored; None for those of its label file.
        departures (Sequence[str]): Names of the protocol's rules that are
            changed; they become part of the name.
        prefix (str, optional): Replaces the protocol's name in the keys.
    """

    required_fields: tuple[str, ...] = ('gt_sem_seg', 'pred_sem_seg')
    # Keys of what ``compute_metrics`` gives.
    scores: tuple[str, ...] = ()
    # At which the protocol scores; None for the size of the label file.
    protocol_size: tuple[int, int] | None = None

    def __init__(
        self,
        *,
        size: tuple[int, int] | None,
        departures: Sequence[str] = (),
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        if size is not None and not (
            isinstance(size, list | tuple)
            and len(size) == 2
            and all(isinstance(side, int) and side > 0 for side in size)
        ):
            raise ValueError(
                f'size of {type(self).__name__} must be (height, width) in '
                'pixels, or None for the size of the label files, but got '
                f'{size!r}.'
            )
        self.size = None if size is None else tuple(size)
        if self.size != self.protocol_size:
            departures = [size_name(self.size), *departures]
        self.prefix = '_'.join([self.prefix, *departures])
        # Frames of the split, if they are known to be more than those of the
        # dataset (``indices``); set from outside.
        self.split_frames: int | None = None
        self.num_frames = 0

    @abstractmethod
    def count_frame(self, sample: dict, sample_id: str) -> tuple:
        """Count the pixels of a frame.

        Args:
            sample (dict): Frame with the ``required_fields``.
            sample_id (str): Its name, ``<clip>/<frame>``.

        Returns:
            tuple: Its name first, then what ``compute_metrics`` needs;
            nothing of the size of the frame.
        """

    @abstractmethod
    def label_pixels(self, frame: tuple) -> tuple[int, ...]:
        """How often each label occurs in a counted frame.

        Returns:
            tuple[int, ...]: Pixel counts, the same for the same label map.
        """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch of frames.

        What only fills up a clip, and frames without a label, count nothing.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Frames with ``sample_id`` and the
                ``required_fields``.
        """
        for sample in filter(is_scored, data_samples):
            sample_id = sample.get('sample_id') or sample.get('img_path')
            for field in ('sample_id', *self.required_fields):
                if field not in sample:
                    raise ValueError(
                        f'{sample_id}: the data sample has no {field!r}. '
                        'Scored frames need a sample_id, a label and a '
                        'prediction: check that the pipeline loads '
                        'annotations and ends with PackAVSInputs.'
                    )
            self.check_size(sample)
            self.results.append(self.count_frame(sample, sample_id))

    def check_size(self, sample: dict) -> None:
        """Refuse a frame that is not scored at the size of the protocol.

        Args:
            sample (dict): Sample with ``sample_id``, ``gt_sem_seg`` and,
                unless the metric has a size, ``label_shape``, the (height,
                width) of the label file, or else ``ori_shape``, that of the
                frame. A frame that tells neither is of its own size.
        """
        name = sample['sample_id']
        scored = tuple(sample['gt_sem_seg']['data'].shape[-2:])
        stored = sample.get('label_shape') or sample.get('ori_shape')
        wanted = self.size or tuple(stored or scored)[:2]
        if scored == wanted:
            return
        source = 'that of its label file' if self.size is None else 'its own'
        raise ValueError(
            f'{name}: the frame would be scored at {scored[0]} x {scored[1]} '
            f'(height x width), but the size of {self.prefix}/ is '
            f'{wanted[0]} x {wanted[1]}, {source}. Let the pipeline keep that '
            'size (ResizeAsOriginal(size=(width, height)) after the '
            'annotations sets it), or score at the other size under its own '
            f'name with {type(self).__name__}(size={scored}).'
        )

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse frames that the protocol cannot be computed of.

        Args:
            names (Sequence[str]): The ``sample_id`` of all frames, each once.
        """

    def evaluate(self, size: int) -> dict[str, float]:
        """Score the frames of all ranks.

        mmengine's own collection interleaves the ranks and cuts the list to
        ``size``. That keeps a repeated frame and drops a real one wherever
        ranks hold unequal numbers of frames, so frames are gathered whole
        and repetitions are told by their name. All ranks compute the scores:
        an error is raised by each of them and none is left waiting.

        Returns:
            dict[str, float]: Scores, the same on all ranks.
        """
        parts = all_gather_object(self.results)
        self.results = []  # Alone, this rank's list is the one gathered.
        frames = self._different_frames(
            [frame for part in parts for frame in part]
        )
        if not frames:
            raise ValueError('No frame was scored: the dataset is empty.')
        self.check_names([frame[0] for frame in frames])
        self.num_frames = len(frames)
        whole = self.split_frames or size
        # A dataset of clips is shorter than the list of their frames.
        if len(frames) < whole and is_main_process():
            print_log(
                f'The dataset has {whole} frames, but {len(frames)} different '
                f'ones were scored. {self.prefix}/ describes only these.',
                logger='current',
                level=logging.WARNING,
            )
        metrics = self.compute_metrics(frames)
        return {f'{self.prefix}/{key}': metrics[key] for key in metrics}

    def score_names(self, groups: Iterable[str] = ()) -> list[str]:
        """Name the scores, before anything is scored.

        Args:
            groups (Iterable[str]): Groups that the data samples state, for
                metrics that score each (``sources``).

        Returns:
            list[str]: Keys of what :meth:`evaluate` will give.
        """
        return [f'{self.prefix}/{name}' for name in self.scores]

    def describe(self) -> dict:
        """What was scored, for a file of scores.

        Returns:
            dict: ``size`` ([height, width], or 'original'), ``frames``, and
            ``frames_of_split`` where they are known to be more.
        """
        scored = {
            'size': 'original' if self.size is None else list(self.size),
            'frames': self.num_frames,
        }
        if self.split_frames not in (None, self.num_frames):
            scored['frames_of_split'] = self.split_frames
        return scored

    @property
    def title(self) -> str:
        """str: Name of the protocol and size of the frames, for the log."""
        size = 'the original size'
        if self.size is not None:
            size = f'{self.size[0]} x {self.size[1]}'
        return f'Protocol {self.prefix!r} at {size}'

    @property
    def classes(self) -> Sequence[str]:
        """Sequence[str]: Class names of the dataset, background first."""
        if not (self.dataset_meta or {}).get('classes'):
            raise ValueError(
                f"{type(self).__name__} needs dataset_meta['classes']. The "
                'Runner sets it from the METAINFO of the dataset; elsewhere, '
                'assign metric.dataset_meta = '
                "dict(classes=('background', ...))."
            )
        return self.dataset_meta['classes']

    def _different_frames(self, frames: list[tuple]) -> list[tuple]:
        """Keep the first entry of every ``sample_id``, ordered by name.

        Raises:
            ValueError: If two entries of one name are labeled differently
                and so cannot be the same frame.
        """
        first = {}
        for frame in frames:
            known = first.setdefault(frame[0], frame)
            if known is not frame and (
                self.label_pixels(known) != self.label_pixels(frame)
            ):
                raise ValueError(
                    f'Two different frames are called {frame[0]!r}: their '
                    'labels differ. Give every frame of the dataset its own '
                    'sample_id.'
                )
        return [first[name] for name in sorted(first)]


def size_name(size: tuple[int, int] | None) -> str:
    """How a size is told in the name of a score.

    Args:
        size (tuple[int, int], optional): Height and width in pixels; None
            for those of the label file.
    """
    if size is None:
        return 'original'
    height, width = size
    return f'{height}' if height == width else f'{height}x{width}'


def clip_of(sample_id: str) -> str:
    """Name of the clip a frame belongs to.

    Args:
        sample_id (str): ``<clip>/<frame>``.

    Returns:
        str: What stands before the last slash.

    Raises:
        ValueError: If there is no slash.
    """
    clip, slash, frame = sample_id.rpartition('/')
    if not (clip and slash and frame):
        raise ValueError(
            f'The sample_id {sample_id!r} does not tell the clip of the '
            "frame: expected '<clip>/<frame>', as the datasets of mmcpm "
            'name their frames.'
        )
    return clip
