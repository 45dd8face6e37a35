"""Coverage of the sounding classes by the queries (CPM, Figure 3)."""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from ...structures.clips import is_scored
from ..functional import IGNORE_INDEX

# When the queries name classes -> where the prediction holds them.
STAGES = {'td_a': 'audio_query_classes', 'final': 'query_classes'}


def set_coverage(predicted: set[int], labeled: set[int]) -> float:
    """Intersection over union of two sets of classes.

    Returns:
        float: 0..1; 1 if both are empty.
    """
    union = predicted | labeled
    return len(predicted & labeled) / len(union) if union else 1.0


@METRICS.register_module()
class CoverageMetric(BaseMetric):
    """Classification coverage of the queries, before and after they look.

    For each frame the foreground classes that any query names are compared
    with the labeled ones: after the audio decoder (``td_a``), and at the end
    (``final``). What only the second finds was found in the image.

    Args:
        **kwargs: Arguments of mmengine's BaseMetric.
    """

    default_prefix = 'coverage'

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.explained = False

    def score_names(self, groups: Iterable[str] = ()) -> list[str]:
        """Name the scores, before anything is scored."""
        return [f'{self.prefix}/{stage}' for stage in STAGES]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score frames by their (audio) query classes, ids of shape (N,)."""
        num_classes = len(self.dataset_meta['classes'])
        for sample in filter(is_scored, data_samples):
            missing = [f for f in STAGES.values() if f not in sample]
            if missing:
                self._explain(missing)
                continue
            labeled = set(sample['gt_sem_seg']['data'].unique().tolist())
            scores = [
                set_coverage(
                    set(sample[field].flatten().tolist()) - {0, num_classes},
                    labeled - {0, IGNORE_INDEX},
                )
                for field in STAGES.values()
            ]
            self.results.append((sample['sample_id'], scores))

    def _explain(self, missing: list[str]) -> None:
        """Say once why there is no coverage: no reason to end a run."""
        if not self.explained:
            print_log(
                f'The predictions have no {" and no ".join(missing)}: there '
                'is no coverage of queries. CoverageMetric scores audio-first '
                'models only.',
                logger='current',
                level=logging.WARNING,
            )
        self.explained = True

    def evaluate(self, size: int) -> dict[str, float]:
        """Average over the different frames of all ranks.

        Returns:
            dict[str, float]: ``coverage/td_a`` and ``coverage/final`` in
            0..1, higher is better; empty for models without queries.
        """
        frames = dict(
            frame for part in all_gather_object(self.results) for frame in part
        )
        self.results = []
        metrics = self.compute_metrics(list(frames.items()))
        return {f'{self.prefix}/{key}': metrics[key] for key in metrics}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average the scores."""
        if not results:
            return {}
        means = np.mean([scores for _, scores in results], axis=0)
        return dict(zip(STAGES, means.tolist(), strict=True))
