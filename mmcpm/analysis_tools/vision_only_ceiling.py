"""The best score that a model can reach on sounding scenes without the sound.

Pictures do not say which object sounds; they only show which objects there
are. The best an observer without sound can do is to segment an object if,
given what the frame shows, it sounds with a probability above some threshold.
The threshold is chosen on the training frames, for each score, and the rule
is scored on the test frames with the dataset-level protocol. A model above
this ceiling uses the sound.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mmcpm.dataset_converters.sounding_scenes.presets import (
    CLIP_SECONDS,
    Preset,
    count_labeled_frames,
    get_preset,
)
from mmcpm.dataset_converters.sounding_scenes.soundtrack import (
    sounding_probability,
)
from mmcpm.dataset_converters.sounding_scenes.writer import read_marker
from mmcpm.datasets.metadata.avsbench_semantic import read_metadata
from mmcpm.datasets.transforms.picture_files import read_picture
from mmcpm.evaluation import frame_confusion, scores_from_confusion

SCORES = ('mIoU', 'Fbeta')
Frames = Iterable[tuple[np.ndarray, np.ndarray]]


def probability_given_frame(preset: Preset, num_visible: int) -> float:
    """Probability that a visible object sounds, given one training frame.

    Classes are exchangeable and one frame does not show the subset of its
    clip, so only the number of objects tells. Subsets are averaged with
    their shares of the labeled training frames.

    Returns:
        float: Probability in [0, 1].
    """
    weights = [
        count_labeled_frames(subset, 'train') for subset in preset.subset_cycle
    ]
    chances = [
        sounding_probability(preset, subset, num_visible)
        for subset in preset.subset_cycle
    ]
    return float(np.average(chances, weights=weights))


def vision_only_ceiling(data_root: str | Path) -> dict[str, dict]:
    """Score the best observer without sound, and one that segments nothing.

    Returns:
        dict[str, dict]: ``vision_only_ceiling`` and ``all_background``, each
        with ``mIoU`` and ``Fbeta`` on the test frames, in [0, 1], and
        ``threshold``, the probability chosen for each of the two scores.
    """
    preset = get_preset(read_marker(data_root)['preset'])
    return ceiling_of_frames(
        preset,
        train=read_frames(data_root, 'train'),
        test=read_frames(data_root, 'test'),
    )


def ceiling_of_frames(
    preset: Preset, train: Frames, test: Frames
) -> dict[str, dict]:
    """Choose the thresholds on some frames and score them on others.

    Args:
        preset (Preset): The world.
        train (Frames): Pairs (visible classes, label), integer maps of
            shape (H, W), to choose the thresholds on.
        test (Frames): The same, to score.
    """
    chances = {
        count: probability_given_frame(preset, count)
        for count in set(preset.visible_cycle)
    }
    # A rule is told by the objects it segments: one threshold below each
    # probability, and one above all, which segments nothing.
    values = sorted({0.0, *chances.values()})
    thresholds = [
        (low + high) / 2 for low, high in zip(values, values[1:], strict=False)
    ]
    thresholds.append((values[-1] + 1) / 2)
    train_scores = _score_rules(preset, chances, thresholds, train)
    test_scores = _score_rules(preset, chances, thresholds, test)
    best = {
        score: int(np.argmax([rule[score] for rule in train_scores]))
        for score in SCORES
    }
    return {
        'vision_only_ceiling': {
            score: test_scores[rule][score] for score, rule in best.items()
        },
        'all_background': {score: test_scores[-1][score] for score in SCORES},
        'threshold': {score: thresholds[rule] for score, rule in best.items()},
    }


def _score_rules(
    preset: Preset,
    chances: dict[int, float],
    thresholds: list[float],
    frames: Frames,
) -> list[dict]:
    """Score 'segment an object iff its chance is above t' for every t."""
    num_classes = len(preset.class_names)
    confusions = np.zeros(
        (len(thresholds), num_classes, num_classes), np.int64
    )
    for visible, label in frames:
        chance = chances[np.count_nonzero(np.unique(visible))]
        segmented = frame_confusion(visible, label, num_classes)
        empty = frame_confusion(visible * 0, label, num_classes)
        for confusion, threshold in zip(confusions, thresholds, strict=True):
            confusion += segmented if chance > threshold else empty
    return [scores_from_confusion(confusion) for confusion in confusions]


def read_frames(
    data_root: str | Path, split: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read the labeled frames of a split.

    Yields:
        tuple[np.ndarray, np.ndarray]: Visible classes and label, uint8, each
        of shape (H, W).
    """
    metadata = Path(data_root) / 'metadata.csv'
    clips = read_metadata(metadata.read_text(), str(metadata), CLIP_SECONDS)
    for clip in clips:
        if clip.split != split:
            continue
        folder = Path(data_root) / clip.subset / clip.uid
        for path in sorted((folder / 'labels_semantic').iterdir()):
            yield tuple(
                read_picture(folder / part / path.name)
                for part in ('visible', 'labels_semantic')
            )
