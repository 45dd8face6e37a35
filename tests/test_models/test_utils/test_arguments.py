import pytest

from mmcpm.models.utils.arguments import (
    RENAMED,
    check_arguments,
    check_type,
    known_arguments,
)


class Base:
    def __init__(self, width, **kwargs):
        pass


class Head(Base):
    def __init__(self, depth=1, *args, **kwargs):
        pass


def test_arguments_of_all_constructors_are_known():
    assert known_arguments(Head) == {'width', 'depth'}


def test_unknown_arguments_are_named():
    check_arguments('Mine', Head, dict(width=1, depth=2))
    with pytest.raises(TypeError, match='Mine has no argument color, heigth'):
        check_arguments('Mine', Head, dict(width=1, heigth=2, color=3))


@pytest.mark.parametrize('former', RENAMED)
def test_present_names_are_told(former):
    with pytest.raises(TypeError, match=f'{former} is {RENAMED[former]} now'):
        check_arguments('Mine', Head, {former: 1})
    with pytest.raises(ValueError, match=f"part.type.*'{RENAMED[former]}'"):
        check_type('part', dict(type=f'mmcpm.models.{former}'))
    check_type('part', dict(type=RENAMED[former]))


def test_types_may_be_classes_or_missing():
    check_type('part', dict(type=Head))
    check_type('part', {})
