from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcpm.dataset_converters.vpo_builder.annotations import Instance, Picture
from mmcpm.dataset_converters.vpo_builder.segmentation import (
    encode_segmentation,
)
from mmcpm.dataset_converters.vpo_builder.selection import (
    Rules,
    choose,
    count_unusable,
    seeded_generator,
)

SIZE = (40, 100)
CLIPS = {'dog': 5, 'cat': 5, 'car': 5}
RULES = Rules()


def instance(number, name, x=0, width=10, *, y=0, height=10, crowd=False):
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    mask = {} if crowd else encode_segmentation([corners], *SIZE)
    area = 0 if crowd else width * height
    position = (x + width / 2) / SIZE[1]
    return Instance(number, name, crowd, area, position, mask)


def picture(*instances, number=1):
    return Picture(number, Path('1.jpg'), *SIZE, instances)


def chosen(*instances, rules=RULES, clips=CLIPS):
    """Subset and sounding instances of each choice."""
    choices = choose(picture(*instances), clips, rules)
    return {
        (c.subset, tuple(one.number for one in c.sounding)) for c in choices
    }


def test_one_object_makes_a_sample_of_ss():
    assert chosen(instance(1, 'dog')) == {('ss', (1,))}


def test_two_classes_make_samples_of_ss_and_ms():
    assert chosen(instance(1, 'dog'), instance(2, 'cat', 50)) == {
        ('ss', (1,)),
        ('ss', (2,)),
        ('ms', (1, 2)),
    }


def test_several_instances_of_a_class_are_for_msmi_only():
    found = chosen(instance(1, 'dog'), instance(2, 'dog', 50))
    assert len(found) == 1
    assert next(iter(found))[0] == 'msmi'


def test_silent_instances_do_not_keep_others_from_ms():
    dogs = instance(1, 'dog'), instance(2, 'dog', 50)
    found = chosen(*dogs, instance(3, 'cat', 30), instance(4, 'car', 70))
    assert found == {('ss', (3,)), ('ss', (4,)), ('ms', (3, 4))}


@pytest.mark.parametrize(
    'second',
    [
        instance(2, 'dog', 50, crowd=True),
        instance(2, 'dog', 50, 2, height=2),
        # Its center is 0.05 widths beside that of the other.
        instance(2, 'dog', 5, y=20),
    ],
    ids=['crowd', 'small', 'same place'],
)
def test_class_is_left_out_where_hearing_could_not_tell(second):
    assert chosen(instance(1, 'dog'), second) == set()
    found = chosen(instance(1, 'dog'), second, instance(3, 'cat', 70))
    assert found == {('ss', (3,))}


def test_crowd_hides_how_many_instances_there_are():
    dogs = instance(1, 'dog'), instance(2, 'dog', 50)
    assert chosen(*dogs, instance(3, 'dog', 80, crowd=True)) == set()
    assert chosen(*dogs, instance(3, 'cat', 80, crowd=True))


def test_smallest_area_is_a_share_of_the_picture():
    # 1 % of 40 x 100 pixels are 40.
    assert chosen(instance(1, 'dog', width=4)) == {('ss', (1,))}
    assert chosen(instance(1, 'dog', width=3)) == set()
    few = Rules(min_area=0)
    assert chosen(instance(1, 'dog', width=3), rules=few) == {('ss', (1,))}
    empty = instance(1, 'dog')._replace(area=0)
    assert chosen(empty, rules=few) == set()


def test_centers_are_as_far_apart_as_the_rules_say():
    dogs = instance(1, 'dog'), instance(2, 'dog', 25)
    assert chosen(*dogs, rules=Rules(min_separation=0.25))
    assert not chosen(*dogs, rules=Rules(min_separation=0.26))


def test_class_without_clips_is_silent():
    clips = {'cat': 5, 'dog': 0}
    two = instance(1, 'dog'), instance(2, 'cat', 50)
    assert chosen(*two, clips=clips) == {('ss', (2,))}


def test_hidden_objects_do_not_sound():
    front = instance(1, 'dog', 20, 30, height=30)
    behind = instance(2, 'cat', 18, 34, height=30)
    # Of the cat 4 x 30 pixels show: 3 %.
    assert ('ms', (1, 2)) in chosen(front, behind)
    strict = Rules(min_area=0.04)
    assert chosen(front, behind, rules=strict) == {('ss', (1,)), ('ss', (2,))}


def test_instances_that_sound_together_have_clips_of_their_own():
    dogs = [instance(i, 'dog', 20 * i) for i in range(4)]
    for number in range(30):
        shown = picture(*dogs, number=number)
        (choice,) = choose(shown, {'dog': 1}, Rules(max_sources=4))
        assert len(choice.sounding) == 1


def test_draws_reach_every_number_and_object():
    dogs = [instance(i, 'dog', 20 * i) for i in range(4)]
    numbers, heard = Counter(), Counter()
    for number in range(60):
        (choice,) = choose(picture(*dogs, number=number), CLIPS, RULES)
        numbers[len(choice.sounding)] += 1
        heard.update(one.number for one in choice.sounding)
    assert set(numbers) == {1, 2, 3}
    assert min(numbers.values()) > 8
    assert set(heard) == {0, 1, 2, 3}


OBJECTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(CLIPS)),
        st.integers(0, 9),
        st.sampled_from([2, 8]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=7,
)


@given(OBJECTS, st.integers(0, 5), st.integers(2, 4))
def test_rules_of_vpo_hold_for_any_picture(drawn, seed, most):
    shown = picture(
        *(
            instance(i, name, 10 * place, size, height=size, crowd=crowd)
            for i, (name, place, size, crowd) in enumerate(drawn)
        )
    )
    number = Counter(one.class_name for one in shown.instances)
    rules = Rules(seed=seed, max_sources=most)
    choices = choose(shown, CLIPS, rules)
    assert choices == choose(shown, CLIPS, rules)
    assert sum(c.subset != 'ss' for c in choices) <= 1
    for choice in choices:
        names = [one.class_name for one in choice.sounding]
        assert not any(one.crowd for one in choice.sounding)
        assert all(one.area >= 40 for one in choice.sounding)
        if choice.subset == 'msmi':
            assert 1 <= len(names) <= most
            assert max(number[name] for name in names) > 1
        else:
            assert all(number[name] == 1 for name in names)
            expected = range(1, 2) if choice.subset == 'ss' else (2, 3, 4)
            assert len(names) in expected
            assert len(names) <= most


def test_unusable_objects_are_counted():
    shown = picture(
        instance(1, 'dog', crowd=True),
        instance(2, 'cat', 20, 2),
        instance(3, 'cat', 40),
        instance(4, 'car', 60),
    )
    assert +count_unusable(shown, RULES) == {
        'crowd': 1,
        'small': 1,
        'several': 1,
    }


def test_generators_repeat_for_their_key():
    draws = [seeded_generator(0, 'ms', n).random() for n in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert seeded_generator(1, 'ms', 1).random() != draws[0]
