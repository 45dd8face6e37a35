import numpy as np
import pytest

from mmcpm.dataset_converters.sounding_scenes.image_scene import make_image
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS

DEMO = PRESETS['demo']


def images(subset, count=24):
    return [
        make_image(DEMO, subset, 'train', i, seed=1, size=48)
        for i in range(count)
    ]


@pytest.mark.parametrize(('subset', 'sounding'), [('ss', 1), ('ms', 2)])
def test_objects_of_distinct_classes_sound(subset, sounding):
    for image in images(subset):
        classes = [o.class_id for o in image.world.objects]
        assert len(set(classes)) == len(classes) > sounding
        assert len(image.sources) == sounding
        assert not image.multi_instance


def test_only_the_position_tells_two_instances_apart():
    made = images('msmi')
    assert [i.multi_instance for i in made] == [n % 4 != 0 for n in range(24)]
    left = []
    for image in (i for i in made if i.multi_instance):
        objects = image.world.objects
        classes = [o.class_id for o in objects]
        twice = [i for i, c in enumerate(classes) if classes.count(c) == 2]
        assert len(twice) == 2
        heard = [s for s in image.sources if s.index in twice]
        assert len(heard) == 1
        silent = next(i for i in twice if i != heard[0].index)
        x = objects[silent].poses[0].x / 48
        assert abs(heard[0].position - x) >= 0.34
        left.append(heard[0].position < x)
        pixels = image.world.owners[0]
        assert not image.label[pixels == silent].any()
        assert (image.label[pixels == heard[0].index] > 0).all()
    # Neither the left nor the right one is more likely to sound.
    assert 4 <= sum(left) <= 14


def test_the_voice_is_in_the_center_of_the_recording():
    for image in images('ms', 4):
        for source in image.sources:
            power = np.square(source.recording.reshape(5, -1)).mean(1)
            assert power[1:4].min() > 50 * power[[0, 4]].max()


def test_an_image_is_a_function_of_its_arguments():
    first, again = (images('msmi', 3) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.world.frames, other.world.frames)
        assert one.truth() == other.truth()
