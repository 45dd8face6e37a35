from collections import Counter

import numpy as np
import pytest

from mmcpm.analysis_tools.vision_only_ceiling import (
    ceiling_of_frames,
    probability_given_frame,
    read_frames,
    vision_only_ceiling,
)
from mmcpm.dataset_converters.sounding_scenes import scene
from mmcpm.dataset_converters.sounding_scenes.presets import (
    PRESETS,
    count_labeled_frames,
)
from mmcpm.dataset_converters.sounding_scenes.scene import make_clip
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

DEMO = PRESETS['demo']


def make_frame(visible, sounding):
    """A frame of 10 pixels per visible class and 60 of background."""
    row = np.zeros(100, np.uint8)
    for place, c in enumerate(visible):
        row[10 * place : 10 * place + 10] = c
    return row[None], np.where(np.isin(row, sounding), row, 0)[None]


def test_probability_by_hand():
    # Labeled training frames of a cycle: v1s 1, v1m 5, v2 30.
    v1s, others = 0.92 / 2, 0.82 * 1.5 / 2
    expected = (1 * v1s + 35 * others) / 36
    assert probability_given_frame(DEMO, 2) == pytest.approx(expected)


def test_probability_agrees_with_drawn_clips(monkeypatch):
    class Unseen:
        def __init__(self, visible):
            self.classes = visible

    def draw_world(preset, num_objects, num_frames, size, rng):
        return Unseen(tuple(1 + rng.permutation(8)[:num_objects]))

    monkeypatch.setattr(scene, 'draw_world', draw_world)
    monkeypatch.setattr(scene, 'render_soundtrack', lambda *args: None)
    sounding, seen = Counter(), Counter()
    for index in range(3000):
        clip = make_clip(DEMO, 'train', index)
        count = len(clip.world.classes)
        for t in range(count_labeled_frames(clip.subset, 'train')):
            sounding[count] += len(clip.schedule.sounding[t])
            seen[count] += count
    for count in (2, 3, 4):  # 4 standard errors are about 0.017
        assert sounding[count] / seen[count] == pytest.approx(
            probability_given_frame(DEMO, count), abs=0.017
        )


def test_rule_is_chosen_in_training_and_scored_on_test():
    # Training: of two objects both sound, of four only one.
    train = [make_frame((1, 2), (1, 2)), make_frame((1, 2, 3, 4), (1,))]
    # So only pairs are segmented. Test: one of a pair and one of four sound.
    test = [make_frame((1, 2), (1,)), make_frame((1, 2, 3, 4), (1,))]
    bounds = ceiling_of_frames(DEMO, train, test)
    # Class 1: 10 right of 20. Class 2: 10 pixels, none right. Background:
    # 90 + 90 labeled, of which 80 + 90 are found, and 10 too many.
    ious = [170 / 190, 10 / 20, 0, *[0] * 6]
    assert bounds['vision_only_ceiling']['mIoU'] == pytest.approx(
        sum(ious) / 9
    )
    # F = 1.3 tp / (1.3 tp + 0.3 fn + fp), absent classes left out.
    fs = [
        1.3 * 170 / (1.3 * 170 + 0.3 * 10 + 10),
        1.3 * 10 / (1.3 * 10 + 0.3 * 10),
        0,
    ]
    assert bounds['vision_only_ceiling']['Fbeta'] == pytest.approx(sum(fs) / 3)
    assert bounds['all_background']['mIoU'] == pytest.approx(180 / 200 / 9)
    for threshold in bounds['threshold'].values():
        assert (
            probability_given_frame(DEMO, 4)
            < threshold
            < probability_given_frame(DEMO, 2)
        )


def test_segmenting_nothing_is_among_the_rules():
    frames = [make_frame((1, 2, 3), ())] * 3
    bounds = ceiling_of_frames(DEMO, frames, frames)
    assert bounds['vision_only_ceiling'] == bounds['all_background']
    assert bounds['vision_only_ceiling']['mIoU'] == pytest.approx(1 / 9)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_sounding_scenes(root, clips=(15, 0, 15), size=48)
    return root


def test_frames_are_read_with_their_labels(data_root):
    frames = list(read_frames(data_root, 'train'))
    # Fifteen clips: nine v2, three v1s with one label each, three v1m.
    assert len(frames) == 90 + 3 + 15
    for visible, label in frames:
        assert visible.shape == label.shape == (48, 48)
        np.testing.assert_array_equal(label[label > 0], visible[label > 0])
    assert len(list(read_frames(data_root, 'test'))) == 90 + 15 + 15


def test_ceiling_of_written_data_lies_where_it_was_designed(data_root):
    bounds = vision_only_ceiling(data_root)
    assert 0.3 < bounds['vision_only_ceiling']['mIoU'] < 0.6
    assert 0.08 < bounds['all_background']['mIoU'] < 1 / 9
