import json
from collections import Counter

import numpy as np
import pytest

from mmcpm.dataset_converters.sounding_scenes import scene
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.scene import Clip, make_clip
from mmcpm.dataset_converters.sounding_scenes.soundtrack import Schedule

DEMO = PRESETS['demo']


@pytest.fixture(scope='module', params=PRESETS)
def clips(request):
    """Three hundred clips, without their waveforms."""
    preset = PRESETS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, 'render_soundtrack', lambda *args: None)
        return [make_clip(preset, 'train', i, size=32) for i in range(300)]


def features_of_object(clip, depth, t):
    """What could tell a deaf observer that an object sounds."""
    thing = clip.world.objects[depth]
    pose, before = thing.poses[t], thing.poses[t - 1 if t else 1]
    pixels = clip.world.visible[t] == thing.class_id
    hue = clip.preset.classes[thing.class_id - 1].look.hue
    return {
        'radius': pose.radius,
        'area in view': pixels.sum(),
        'x': pose.x,
        'y': pose.y,
        'eccentricity': np.hypot(pose.x - 16, pose.y - 16),
        'depth': depth,
        'speed': np.hypot(pose.x - before.x, pose.y - before.y),
        'turn': abs(pose.angle - before.angle),
        'hue': (thing.paint.hue - hue + 180) % 360,
        'saturation': thing.paint.saturation,
        'value': thing.paint.value,
        'contrast': thing.paint.contrast,
        'brightness': clip.world.frames[t][pixels].mean(),
        'class': thing.class_id,
    }


def draw_seconds(clips):
    """One second per clip: features [objects] by name, and who sounds."""
    seconds = []
    for number, clip in enumerate(clips):
        t = number % len(clip.world.frames)
        rows = [
            features_of_object(clip, depth, t)
            for depth in range(len(clip.world.objects))
        ]
        sounds = np.array(
            [
                thing.class_id in clip.schedule.sounding[t]
                for thing in clip.world.objects
            ]
        )
        if 0 < sounds.sum() < len(sounds):
            seconds.append((rows, sounds))
    return seconds


def deviations(seconds, name):
    """Difference of sounding and silent objects, in standard deviations.

    If nothing leaks, the objects of a scene are exchangeable: k of its n
    objects are drawn without replacement, and the difference of the two
    means has variance s^2 * (1 / k + 1 / (n - k)).
    """
    difference, variance = 0.0, 0.0
    for rows, sounds in seconds:
        value = np.array([row[name] for row in rows], float)
        difference += value[sounds].mean() - value[~sounds].mean()
        variance += value.var(ddof=1) * (
            1 / sounds.sum() + 1 / (~sounds).sum()
        )
    return abs(difference) / variance**0.5


def test_nothing_in_the_picture_tells_who_sounds(clips):
    seconds = draw_seconds(clips)
    assert len(seconds) > 150
    for name in seconds[0][0][0]:
        assert deviations(seconds, name) < 3.5, name


def test_the_leak_test_finds_a_leak(clips):
    seconds = []
    for rows, sounds in draw_seconds(clips):
        # In every third scene, the largest objects sound.
        if len(seconds) % 3 == 0:
            order = np.argsort([-row['radius'] for row in rows])
            sounds = np.isin(np.arange(len(rows)), order[: sounds.sum()])
        seconds.append((rows, sounds))
    assert deviations(seconds, 'radius') > 3.5


def test_pictures_are_drawn_before_and_without_the_sound():
    one = make_clip(DEMO, 'test', 3, size=32, seed=1)
    other = make_clip(DEMO, 'test', 3, size=32, seed=1, audio_seed=2)
    np.testing.assert_array_equal(one.world.frames, other.world.frames)
    np.testing.assert_array_equal(one.world.visible, other.world.visible)
    assert one.schedule != other.schedule
    assert not np.array_equal(one.waveform, other.waveform)


def test_classes_are_seen_and_heard_equally_often(clips):
    seen, heard, unseen = Counter(), Counter(), Counter()
    for clip in clips:
        seen.update(clip.world.classes)
        heard.update(clip.schedule.heard[0])
        unseen.update(clip.schedule.offscreen[0])
    classes = range(1, len(clips[0].preset.class_names))
    for counts in (seen, heard):
        expected = sum(counts.values()) / len(classes)
        for c in classes:
            # 3.5 standard deviations of counts between 40 and 112.
            assert counts[c] == pytest.approx(
                expected, abs=3.5 * expected**0.5
            )
    assert sum(unseen.values()) > 0


def test_numbers_of_objects_are_shared_evenly_within_each_subset(clips):
    counts = Counter((clip.subset, len(clip.world.objects)) for clip in clips)
    assert counts == {
        (subset, objects): 20 * times
        for subset, times in (('v1s', 1), ('v1m', 1), ('v2', 3))
        for objects in clips[0].preset.visible_cycle
    }


def test_labels_hold_the_sounding_objects_only(clips):
    for clip in clips[:30]:
        for label, visible, sounding in zip(
            clip.labels,
            clip.world.visible,
            clip.schedule.sounding,
            strict=True,
        ):
            assert set(np.unique(label)) == {0, *sounding}
            for c in sounding:
                np.testing.assert_array_equal(label == c, visible == c)


def test_a_clip_can_be_made_again_alone():
    first = make_clip(DEMO, 'val', 2, size=32, seed=4)
    again = make_clip(DEMO, 'val', 2, size=32, seed=4)
    np.testing.assert_array_equal(first.world.frames, again.world.frames)
    np.testing.assert_array_equal(first.waveform, again.waveform)
    assert first.truth() == again.truth()


def test_splits_clips_and_seeds_differ():
    base = {'split': 'val', 'index': 2, 'seed': 4}
    worlds = [
        make_clip(DEMO, size=32, **{**base, **change}).world.objects
        for change in ({}, {'split': 'test'}, {'index': 7}, {'seed': 5})
    ]
    assert len({str(world) for world in worlds}) == 4


def make_named(sounding, offscreen, index=0):
    world = make_clip(DEMO, 'train', index, size=32).world
    return Clip(
        DEMO, 'train', index, world, Schedule(sounding, offscreen), np.zeros(1)
    )


@pytest.mark.parametrize(
    ('sounding', 'offscreen', 'name'),
    [
        (((3,), (), (1, 3)), ((), (5,), ()), 'bell_siren'),
        (((2,), (2,)), ((), ()), 'drum'),
        (((), ()), ((5,), ()), 'off-the-screen'),
        (((), ()), ((), ()), 'background'),
    ],
)
def test_a_obj_names_what_is_seen_to_sound(sounding, offscreen, name):
    assert make_named(sounding, offscreen).a_obj == name


@pytest.mark.parametrize(
    ('index', 'uid', 'seconds'),
    [
        (0, 'train00000_0_10000', 10),
        (1, 'train00001_0_5000', 5),
        (3, 'train00003', 5),
    ],
)
def test_uids_are_written_as_in_avsbench(clips, index, uid, seconds):
    assert clips[index].uid == uid
    assert len(clips[index].world.frames) == seconds


def test_truth_is_plain_and_complete(clips):
    clip = clips[0]
    truth = json.loads(json.dumps(clip.truth()))
    assert truth == clip.truth()
    names = clip.preset.class_names
    assert [o['class'] for o in truth['objects']] == [
        names[o.class_id] for o in clip.world.objects
    ]
    assert len(truth['objects'][0]['x_y_radius']) == 10
    assert [
        [names.index(c) for c in second['sounding']]
        for second in truth['seconds']
    ] == [list(second) for second in clip.schedule.sounding]
