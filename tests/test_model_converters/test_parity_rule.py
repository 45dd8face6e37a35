import numpy as np
import pytest

from mmcpm.model_converters import parity_rule
from mmcpm.utils.errors import UsageError


def test_weights_by_kind():
    # RandomState(crc32(key) & 0x7fffffff), as NumPy 1.16 drew it.
    value = parity_rule.weight('conv.weight', (2, 3))
    seed = 1431202346  # zlib.crc32(b'conv.weight') & 0x7fffffff
    normal = np.random.RandomState(seed).standard_normal((2, 3))
    assert np.allclose(value, normal / np.sqrt(3), atol=1e-7)
    assert value.dtype == np.float32
    large = parity_rule.weight('a.weight', (10000,))
    assert abs(large.mean() - 1) < 0.01 and abs(large.std() - 0.1) < 0.01
    assert parity_rule.weight('a.running_var', (1000,)).min() >= 1
    assert abs(parity_rule.weight('a.bias', (1000,))).max() < 0.5
    count = parity_rule.weight('a.num_batches_tracked', ())
    assert count == 0 and count.dtype == np.int64


def test_inputs():
    first = parity_rule.image(0, (2,))
    # The first two numbers of seed 0 are in NumPy's documentation.
    assert np.allclose(first, [1.76405235, 0.40015721])
    raw = parity_rule.image_u8(0, (3,))
    assert raw.tolist() == [172, 47, 117]
    wave = parity_rule.wave(1, 1600)
    assert wave.shape == (1600,) and abs(wave).max() <= 1


def test_descriptions():
    parse = parity_rule.parse_input
    assert parse('rule.audio(201, (5, 1, 96, 64))').shape == (5, 1, 96, 64)
    assert parse('[1] * 2 + [0] * 3') == [1, 1, 0, 0, 0]
    joined = parse('torch.cat([torch.ones(1), torch.zeros(2)])')
    assert joined.tolist() == [1, 0, 0]
    assert parse('[1]*2 + [0] (two real frames)') == [1, 1, 0]
    typed = parse('torch.tensor([1, 0], dtype=torch.float32).view(2, 1)')
    assert typed.tolist() == [[1], [0]]
    assert parse('np.ones(3, dtype=bool).float()[1:]').tolist() == [1, 1]
    assert parse(None) is None and parse([1, 0]) == [1, 0]
    sum_of_two = parse(
        '(rule.image(3, (2, 1)) + 0.1 * rule.image(4, (2, 3))).reshape(6)'
    )
    expected = parity_rule.image(3, (2, 1)) + np.float32(
        0.1
    ) * parity_rule.image(4, (2, 3))
    assert np.allclose(sum_of_two, expected.reshape(6))


@pytest.mark.parametrize(
    'text',
    [
        '__import__("os").getcwd()',
        'rule.weight.__globals__',
        'rule.image(101, (5, 3',
        'open("x")',
        '[k for k in (1, 2)]',
    ],
)
def test_code_is_refused(text):
    with pytest.raises(UsageError, match='cannot be made'):
        parity_rule.parse_input(text)
