"""A score's name holds: for the size, the frames and the rules."""

import numpy as np
import pytest
from mmseg.registry import METRICS

from mmcpm.evaluation.frame_metric import size_name

AVSBENCH = dict(type='AVSBenchJFMetric')
LEGACY = dict(type='AVSSLegacyMetric')
DATASET = dict(type='DatasetIoUFMetric')

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def build(metric):
    metric = METRICS.build(metric)
    metric.dataset_meta = {'classes': ('background', 'sounding')}
    return metric


@pytest.fixture
def video(frame):
    """Make the frames of a video, half of each right."""

    def make(size=(224, 224), frames=5, name='v', **metainfo):
        label = np.zeros(size, int)
        label[: size[0] // 2] = 1
        scores = np.stack([label * 0.0, label - 0.5]).astype(np.float32)
        return [
            frame(label, label, f'{name}/{i}', scores, **metainfo).to_dict()
            for i in range(frames)
        ]

    return make


# --- Size ---


@pytest.mark.parametrize('metric', [AVSBENCH, LEGACY])
@pytest.mark.parametrize('size', [(96, 96), (224, 223), (720, 1280)])
def test_protocols_at_224_refuse_other_sizes(video, metric, size):
    with pytest.raises(
        ValueError, match=rf'v/0.* {size[0]} x {size[1]} .*224'
    ):
        build(metric).process({}, video(size, label_shape=size))


@pytest.mark.parametrize('told', ['label_shape', 'ori_shape'])
def test_original_size_is_that_of_the_file(video, told):
    """Whatever the pipeline calls the original size, if the file told it."""
    samples = video((224, 224), **{told: (720, 1280)})
    with pytest.raises(ValueError, match='v/0.* 224 x 224 .* 720 x 1280, tha'):
        build(DATASET).process({}, samples)
    samples = video((720, 1280), label_shape=(720, 1280), ori_shape=(9, 9))
    build(DATASET).process({}, samples)


@pytest.mark.parametrize(
    ('metric', 'size', 'name'),
    [
        (AVSBENCH, (224, 224), 'avsbench'),
        (AVSBENCH, [224, 224], 'avsbench'),
        (AVSBENCH, (96, 96), 'avsbench_96'),
        (AVSBENCH, None, 'avsbench_original'),
        (LEGACY, (224, 224), 'avss_legacy'),
        (LEGACY, (480, 640), 'avss_legacy_480x640'),
        (DATASET, None, 'dataset'),
        (DATASET, (224, 224), 'dataset_224'),
    ],
)
@pytest.mark.parametrize('prefix', [None, 'mine'])
def test_another_size_has_another_name(video, metric, size, name, prefix):
    own = build(dict(**metric, size=size, prefix=prefix))
    if prefix:
        name = name.replace(own.default_prefix, prefix)
    own.process({}, video(size or (40, 60), label_shape=size or (40, 60)))
    scores = own.evaluate(5)
    assert {key.split('/')[0] for key in scores} == {name}
    assert own.describe() == {
        'size': list(size) if size else 'original',
        'frames': 5,
    }
    assert (f'{size[0]} x {size[1]}' if size else 'original') in own.title


@pytest.mark.parametrize('size', [224, (224,), (0, 224), (2.0, 2), 'any'])
def test_size_is_two_numbers(size):
    with pytest.raises(ValueError, match='height, width'):
        build(dict(**DATASET, size=size))


@pytest.mark.parametrize(
    ('size', 'name'),
    [((224, 224), '224'), ((96, 128), '96x128'), (None, 'original')],
)
def test_size_name(size, name):
    assert size_name(size) == name


# --- Rules ---


@pytest.mark.parametrize(
    ('metric', 'name'),
    [
        (dict(**LEGACY, include_padded=True), 'avss_legacy_padded'),
        (dict(**AVSBENCH, frames_per_video=10), 'avsbench_10frames'),
        (
            dict(**LEGACY, size=(8, 9), include_padded=True),
            'avss_legacy_8x9_padded',
        ),
    ],
)
def test_changed_rules_are_told_by_the_name(metric, name):
    assert build(metric).prefix == name


# --- Frames ---


@pytest.mark.parametrize('frames', [1, 4, 6])
def test_videos_must_be_whole(video, frames):
    metric = build(AVSBENCH)
    metric.process({}, video(name='a') + video(name='b', frames=frames))
    with pytest.raises(ValueError, match=rf"1 of 2 videos.*'b' has {frames}"):
        metric.evaluate(5 + frames)


def test_frames_scored_twice_count_once(video):
    metric = build(AVSBENCH)
    metric.process({}, video() + video(frames=2))
    metric.evaluate(5)
    assert metric.num_frames == 5


def test_a_part_of_the_split_is_told(video, printed):
    metric = build(AVSBENCH)
    metric.split_frames = 3700
    metric.process({}, video())
    metric.evaluate(5)
    assert 'has 3700 frames, but 5 different ones' in printed[0]
    assert metric.describe() == {
        'size': [224, 224],
        'frames': 5,
        'frames_of_split': 3700,
    }
