import numpy as np
import pytest

from mmcpm.analysis_tools.direction_ceiling import no_direction_ceiling
from mmcpm.dataset_converters.sounding_scenes.image_scene import make_image
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

DEMO = PRESETS['demo']
IMAGES = 24


@pytest.fixture(scope='module')
def images():
    return [
        make_image(DEMO, 'msmi', 'test', index, seed=4, size=64)
        for index in range(IMAGES)
    ]


@pytest.fixture(scope='module')
def ceiling(tmp_path_factory):
    root = tmp_path_factory.mktemp('msmi')
    write_sounding_scenes(
        root, layout='vpo_msmi', seed=4, size=64, clips=(1, 1, IMAGES)
    )
    return no_direction_ceiling(root)


def scores(images, segment):
    """IoU and F of what a rule segments, class by class, by hand."""
    kept, found = [], []
    for image in images:
        kept.append(image.label)
        found.append(segment(image))
    kept, found = np.stack(kept), np.stack(found)
    ious, fs = [], []
    for k in range(len(DEMO.class_names)):
        right = np.sum((kept == k) & (found == k))
        missed = np.sum((kept == k) & (found != k))
        wrong = np.sum((kept != k) & (found == k))
        ious.append(right / (right + missed + wrong))
        fs.append(1.3 * right / (1.3 * right + 0.3 * missed + wrong))
    return {'mIoU': np.mean(ious), 'Fbeta': np.mean(fs)}


def all_of_the_heard(image):
    heard = [source.class_id for source in image.sources]
    visible = image.world.visible[0]
    return np.where(np.isin(visible, heard), visible, 0)


def test_ceiling_is_that_of_the_scenes(images, ceiling):
    assert ceiling == pytest.approx(scores(images, all_of_the_heard))
    assert 0.4 < ceiling['mIoU'] < 0.85


def test_no_choice_among_the_instances_is_better(images, ceiling):
    """Neither one of the two, drawn for each image, nor none of them."""
    rng = np.random.default_rng(0)

    def one_of_two(image):
        found, objects = all_of_the_heard(image), image.world.objects
        classes = [o.class_id for o in objects]
        twins = [i for i, c in enumerate(classes) if classes.count(c) > 1]
        if twins:
            left_out = image.world.owners[0] == rng.choice(twins)
            found = np.where(left_out, 0, found)
        return found

    def none_of_two(image):
        found, objects = all_of_the_heard(image), image.world.objects
        classes = [o.class_id for o in objects]
        twins = {c for c in classes if classes.count(c) > 1}
        return np.where(np.isin(found, list(twins)), 0, found)

    for rule in (one_of_two, none_of_two):
        assert scores(images, rule)['mIoU'] < ceiling['mIoU']
