from mmcpm.dataset_converters.vpo_builder.seeded import (
    seeded_generator,
    seeded_order,
)


def test_order_depends_on_names_and_key_only():
    names = [f'n{i}' for i in range(30)]
    order = seeded_order(names, 0, 'a')
    assert sorted(order) == sorted(names)
    assert order == seeded_order(names[::-1] * 2, 0, 'a')
    assert order not in (names, seeded_order(names, 1, 'a'))
    assert order != seeded_order(names, 0, 'b')


def test_one_name_more_leaves_the_order_of_the_others():
    names = [f'n{i}' for i in range(30)]
    more = seeded_order([*names, 'new'], 0)
    assert [name for name in more if name != 'new'] == seeded_order(names, 0)


def test_generators_repeat_for_their_key():
    draws = [seeded_generator(0, 'ms', n).random() for n in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert seeded_generator(1, 'ms', 1).random() != draws[0]
