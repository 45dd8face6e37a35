import pytest
import torch

from mmcpm.model_converters import Drop, Join, Rename, Split, convert_keys
from mmcpm.model_converters.key_rules import unwrap_weights
from mmcpm.utils.errors import UsageError

RULES = (
    Drop(r'net\.dead', 'the forward pass never reaches it'),
    Join((r'net\.(\d)\.q\.', r'net\.(\d)\.kv\.'), r'head.\1.in_proj_'),
    Split(r'net\.pair\.', ('head.left.', 'head.right.')),
    Rename(r'net\.', 'head.'),
)


def test_every_kind_of_rule():
    state = {
        'net.1.kv.weight': torch.tensor([[3.0], [4.0]]),
        'net.1.q.weight': torch.tensor([[1.0]]),
        'net.pair.bias': torch.arange(4),
        'net.dead.weight': torch.zeros(3),
        'net.fc.weight': torch.tensor([0.5], dtype=torch.half),
    }
    found, report = convert_keys(state, RULES)
    # Joined in the order of the rule, not of the file.
    assert found['head.1.in_proj_weight'].tolist() == [[1], [3], [4]]
    assert found['head.left.bias'].tolist() == [0, 1]
    assert found['head.right.bias'].tolist() == [2, 3]
    assert found['head.fc.weight'].dtype == torch.float32
    assert found['head.left.bias'].dtype == torch.int64
    assert len(found) == 4
    assert report.mapped['head.1.in_proj_weight'] == [
        'net.1.kv.weight',
        'net.1.q.weight',
    ]
    assert report.dropped == {
        'net.dead.weight': 'the forward pass never reaches it'
    }
    assert report.converted == {'head.fc.weight': 'float16'}
    text = '\n'.join(report.lines())
    assert '5 keys mapped to 4 weights' in text
    assert 'never reaches' in text and 'float16' in text


def test_converted_weights_share_no_memory():
    state = {'net.pair.bias': torch.zeros(4), 'net.x': torch.zeros(1)}
    found, _ = convert_keys(state, RULES)
    found['head.left.bias'] += 1
    found['head.x'] += 1
    assert not state['net.pair.bias'].any() and not state['net.x'].any()
    assert found['head.left.bias'].untyped_storage().nbytes() == 8


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (['other.weight', 'net.a'], '1 of 2 keys.*other.weight'),
        (['net.1.q.weight'], 'made of 2 tensors.*net.1.q.weight'),
        (['net.pair.x', 'net.left.x'], 'one name: head.left.x'),
    ],
)
def test_keys_that_cannot_be_converted(keys, message):
    state = {key: torch.zeros(2) for key in keys}
    with pytest.raises(UsageError, match=message):
        convert_keys(state, RULES)


def test_weights_are_taken_out_of_wrappers():
    weights = {'module.a': torch.zeros(1), 'module.b': torch.zeros(1)}
    content = {'epoch': 3, 'model': {'state_dict': weights}}
    found = unwrap_weights(content, ('state_dict', 'model'))
    assert sorted(found) == ['a', 'b']
    # A part that happens to be called module is no prefix.
    mixed = {'module.a': torch.zeros(1), 'b': torch.zeros(1)}
    assert sorted(unwrap_weights(mixed)) == ['b', 'module.a']
    assert unwrap_weights(content) == unwrap_weights([weights]) == {}
