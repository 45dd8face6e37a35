import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcpm.models.losses.class_weights import (
    class_weights,
    weights_from_frequencies,
)


@pytest.mark.parametrize(
    ('setting', 'no_object', 'expected'),
    [
        (None, None, [1, 1, 1, 0.1]),
        (None, 0.3, [1, 1, 1, 0.3]),
        (dict(frequencies=None, power=0.5), None, [1, 1, 1, 0.1]),
        ([1, 2, 0.5], None, [1, 2, 0.5, 0.1]),
        ((1, 2, 0), 0.0, [1, 2, 0, 0]),
        ([1, 2, 0.5, 0.7], None, [1, 2, 0.5, 0.7]),
        (np.array([1, 2, 3]), None, [1, 2, 3, 0.1]),
        # 1 / sqrt of 4, 16 and 1 is 1/2, 1/4 and 1, of mean 7/12.
        (
            dict(frequencies=[4, 16, 1]),
            None,
            [6 / 7, 3 / 7, 12 / 7, 0.1],
        ),
        # 1 / 4 and 1 / 16, of mean 5/32; the third never occurs.
        (
            dict(frequencies=[4, 16, 0], power=1),
            0.2,
            [8 / 5, 2 / 5, 1, 0.2],
        ),
        (dict(frequencies=[4, 16, 1], power=0), None, [1, 1, 1, 0.1]),
    ],
)
def test_by_hand(setting, no_object, expected):
    weights = class_weights(setting, 3, no_object)
    assert weights == pytest.approx(expected)
    assert all(isinstance(weight, float) for weight in weights)


@pytest.mark.parametrize('suffix', ['json', 'yaml', 'npy'])
@pytest.mark.parametrize('frequencies', [False, True])
def test_from_a_file(tmp_path, suffix, frequencies):
    path, numbers = str(tmp_path / f'numbers.{suffix}'), [4, 16, 1]
    if suffix == 'npy':
        np.save(path, np.array(numbers))
    else:
        (tmp_path / f'numbers.{suffix}').write_text(json.dumps(numbers))
    if frequencies:
        found = class_weights(dict(frequencies=path), 3)
        assert found == class_weights(dict(frequencies=numbers), 3)
    else:
        assert class_weights(path, 3) == [4, 16, 1, 0.1]


@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=71).filter(any),
    st.floats(0, 3),
    st.integers(1, 1000),
)
def test_rare_classes_weigh_more(counts, power, factor):
    weights = weights_from_frequencies(counts, power)
    occurring = [w for w, n in zip(weights, counts, strict=True) if n]
    assert np.mean(occurring) == pytest.approx(1)
    assert all(w == 1 for w, n in zip(weights, counts, strict=True) if not n)
    # Only shares matter, and w f ** power is the same for all classes.
    many = weights_from_frequencies([factor * n for n in counts], power)
    assert many == pytest.approx(weights)
    products = [
        w * (n / max(counts)) ** power
        for w, n in zip(weights, counts, strict=True)
        if n
    ]
    assert products == pytest.approx([products[0]] * len(products))


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ([1, 2], r'must hold 3 numbers.*\(or 4.*holds 2'),
        ([1, 2, 3, 4, 5], 'holds 5'),
        ([1, -1, 1], r'number 1 \(class 1\) is -1'),
        ([1, 1, float('nan')], 'class 2. is nan'),
        ([float('inf'), 1, 1], 'class 0. is inf'),
        (['a', 'b', 'c'], 'list of numbers'),
        ([[1, 2, 3]], 'list of numbers'),
        (3, 'list of numbers'),
        ('weights.pkl', 'json, yaml or npy'),
        (dict(frequencies=[1, 2, 3, 4]), 'frequencies must hold 3'),
        (dict(frequencies=[1, -2, 3]), 'frequencies must be finite'),
        (dict(frequencies=[0, 0, 0]), 'no class occurs'),
        (dict(frequencies=[1, 2, 3], power=-1), 'power must be 0 or more'),
        (dict(frequency=[1, 2, 3]), "got .'frequency'"),
    ],
)
def test_what_cannot_be_right_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        class_weights(setting, 3)


@pytest.mark.parametrize('no_object', [-0.1, float('nan')])
def test_weight_of_no_object_is_checked(no_object):
    with pytest.raises(ValueError, match='no_object_weight must be finite'):
        class_weights(None, 3, no_object)


def test_weight_of_no_object_is_given_once():
    with pytest.raises(ValueError, match='twice: 0.5 as number 4'):
        class_weights([1, 1, 1, 0.5], 3, 0.1)
