import json
from pathlib import Path

import pytest

from mmcpm.dataset_converters.vpo_builder.ingredients import Ingredients

PATHS = (Path('a.json'), Path('images'), Path('s.csv'), Path('sounds'))


@pytest.mark.parametrize(
    'option',
    [
        dict(test_share=0),
        dict(test_share=1.0),
        dict(min_area=-0.1),
        dict(min_area=1),
        dict(max_sources=1),
        dict(max_sources=300),
        dict(min_separation=1.0),
        dict(seconds=0),
        dict(seconds=float('nan')),
        dict(subsets=()),
        dict(subsets=('ss', 'sm')),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(option):
    with pytest.raises(ValueError, match=f'^{next(iter(option))} must be'):
        Ingredients(*PATHS, **option)


def test_msmi_needs_the_folder_of_ms():
    assert Ingredients(*PATHS, subsets=('msmi',)).folders == ('ms', 'msmi')
    assert Ingredients(*PATHS, subsets=('ms', 'ss')).folders == ('ss', 'ms')


def test_what_is_told_fits_into_json():
    told = Ingredients(*PATHS, seed=4).told()
    assert json.loads(json.dumps(told)) == told
    assert told['annotations'] == 'a.json'
    assert told['subsets'] == ['ss', 'ms', 'msmi']
    assert told['seed'] == 4
    assert told['class_map'] is None
