from itertools import combinations
from math import gcd

import pytest

from mmcpm.dataset_converters.sounding_scenes.looks import SHAPES, TEXTURES
from mmcpm.dataset_converters.sounding_scenes.presets import (
    PRESETS,
    get_preset,
)


@pytest.mark.parametrize('preset', PRESETS.values(), ids=PRESETS)
def test_classes_can_be_told_apart(preset):
    looks = [cls.look for cls in preset.classes]
    assert len({look.shape for look in looks}) == len(looks)
    assert all(look.shape in SHAPES for look in looks)
    assert all(look.texture in TEXTURES for look in looks)
    for one, other in combinations(looks, 2):
        apart = abs((one.hue - other.hue + 180) % 360 - 180)
        assert apart > one.hue_jitter + other.hue_jitter
    assert len(set(preset.class_names)) == len(preset.palette)
    assert len(set(map(tuple, preset.palette))) == len(preset.palette)
    # The separator of a_obj.
    assert not any('_' in name for name in preset.class_names)


@pytest.mark.parametrize('preset', PRESETS.values(), ids=PRESETS)
def test_numbers_fit_together(preset):
    assert sum(preset.sounding.values()) == pytest.approx(1)
    assert preset.silence + preset.offscreen < 1
    # Otherwise a subset would always hold the same number of objects.
    assert gcd(len(preset.visible_cycle), len(preset.subset_cycle)) == 1
    assert max(preset.visible_cycle) < len(preset.classes)


def test_hard_is_harder_than_demo():
    demo, hard = get_preset('demo'), get_preset('hard')
    assert hard.classes[: len(demo.classes)] == demo.classes
    assert len(hard.classes) > len(demo.classes)
    assert max(hard.sounding) > max(demo.sounding)
    assert hard.offscreen > demo.offscreen
    assert hard.noise_floor_db[0] > demo.noise_floor_db[1]


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="'easy'.*'demo', 'hard'"):
        get_preset('easy')
