"""What the protocols share: every frame is counted once, by its name.

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


class FrameMetric(BaseMetric):
    """A metric over different frames, told apart by their ``sample_id``.

    A frame that several ranks scored (samplers repeat frames to give every
    rank the same number) counts once. Subclasses count one frame in
    :meth:`count_frame` and score all in ``compute_metrics``.

    Args:
        prefix (str, optional): Replaces the protocol's name in the keys.
    """

    required_fields: tuple[str, ...] = ('gt_sem_seg', 'pred_sem_seg')
    # Keys of what ``compute_metrics`` gives.
    scores: tuple[str, ...] = ()

    def __init__(self, *, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)

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

        Args:
            frame (tuple): Of :meth:`count_frame`.

        Returns:
            tuple[int, ...]: Pixel counts, the same for the same label map.
        """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch of frames.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Frames with ``sample_id`` and the
                ``required_fields``.
        """
        for sample in data_samples:
            sample_id = sample.get('sample_id') or sample.get('img_path')
            for field in ('sample_id', *self.required_fields):
                if field not in sample:
                    raise ValueError(
                        f'{sample_id}: the data sample has no {field!r}. '
                        'Scored frames need a sample_id, a label and a '
                        'prediction: check that the pipeline loads '
                        'annotations and ends with PackAVSInputs.'
                    )
            self.results.append(self.count_frame(sample, sample_id))

    def evaluate(self, size: int) -> dict[str, float]:
        """Score the frames of all ranks.

        mmengine's own collection interleaves the ranks and cuts the list to
        ``size``. That keeps a repeated frame and drops a real one wherever
        ranks hold unequal numbers of frames, so frames are gathered whole
        and repetitions are told by their name. All ranks compute the scores:
        an error is raised by each of them and none is left waiting.

        Args:
            size (int): Number of frames of the dataset.

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
        if len(frames) != size and is_main_process():
            print_log(
                f'The dataset has {size} frames, but {len(frames)} different '
                'ones were scored. The scores describe only these.',
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
            ValueError: If two entries of one name are labelled differently
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
