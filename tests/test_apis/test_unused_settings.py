import re
from pathlib import Path

import mmengine
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from mmcpm.apis import options, train_and_test
from mmcpm.apis.config_variables import ConfigFile, _parse, unused_variables
from mmcpm.apis.unused_settings import READ_BY_MMENGINE, settings_read
from mmcpm.utils.errors import UsageError

BASE = """
max_epochs = 3
num_classes = 9
channels = 8
layer = dict(dims=channels // 2)
steps = [dict(type='Load'), dict(type='Pack')]
model = dict(
    type='M', head=dict(num_classes=num_classes, layers=[layer, layer]))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(type='PolyLR', begin=0, end=max_epochs)]
train_dataloader = dict(dataset=dict(pipeline=steps))
block = dict(depth=3)
model['tail'] = block
"""


def write(folder, **files):
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)
    return str(folder / f'{name}.py')


def refusal(folder, **files):
    with pytest.raises(UsageError) as error:
        train_and_test.read_config(write(folder, **files))
    return str(error.value)


@pytest.mark.parametrize(
    ('child', 'line', 'remedy'),
    [
        (
            'max_epochs = 2',
            2,
            'set them: train_cfg.max_epochs and param_scheduler.0.end',
        ),
        ('num_classes = 5', 2, 'set them: model.head.num_classes'),
        # Through another variable.
        (
            'channels = 4',
            2,
            'model.head.layers.0.dims and model.head.layers.1.dims',
        ),
        ('steps = []', 2, 'set them: train_dataloader.dataset.pipeline'),
        # After it was used, or used before it is set.
        ('train_cfg = dict(max_epochs=5)\nmax_epochs = 5', 3, 'train_cfg'),
        ('max_epochs = 2\nmax_epochs = max_epochs + 1', 3, 'train_cfg'),
        ('if True:\n    num_classes = 5', 3, 'model.head.num_classes'),
        ('num_classes, max_epochs = 5, 2', 2, 'model.head.num_classes'),
        ('num_classes: int = 5', 2, 'model.head.num_classes'),
        # What nothing knows.
        ('param_schedulers = []', 2, "'param_schedulers' has no effect"),
        ('param_schedulers = []', 2, 'Did you mean param_scheduler?'),
        ('train_dataloder = dict()', 2, 'Did you mean train_dataloader'),
        ('hooks = []', 2, 'Did you mean custom_hooks or default_hooks?'),
        ('end = 4', 2, 'Did you mean param_scheduler.0.end?'),
        ('color = 4', 2, 'begins with an underscore: _color'),
        # The model's own comes first.
        (
            'data_preprocessor = dict(size=4)\n'
            'model = dict(data_preprocessor=dict(size=5))',
            2,
            'Did you mean model.data_preprocessor?',
        ),
    ],
)
def test_child_without_effect(tmp_path, child, line, remedy):
    message = refusal(
        tmp_path, base=BASE, child=f"_base_ = ['base.py']\n{child}\n"
    )
    assert f'{tmp_path}/child.py:{line}: ' in message
    assert 'has no effect' in message
    assert remedy in message


@pytest.mark.parametrize(
    'child',
    [
        'max_epochs = 2\ntrain_cfg = dict(max_epochs=max_epochs)',
        'n = 2\ntrain_cfg = dict(max_epochs=n)',
        'block = dict(depth=4)\nmodel = dict(tail=block)',
        'train_cfg = dict(max_epochs=_base_.max_epochs + 1)',
        'train_cfg = dict(max_epochs={{_base_.max_epochs}})',
        'for key in (1, 2):\n    size = key\n    work_dir = f"{size}"',
        'def double(x):\n    return x * factor\nfactor = 2\n'
        'train_cfg = dict(max_epochs=double(1))',
        'steps = []\ntrain_dataloader = dict(dataset=dict(pipeline=steps))\n'
        "steps.append(dict(type='Pack'))",
        'import os\nwork_dir = os.path.join("a", "b")',
        '_mine = 5',
        'data_preprocessor = dict(size=4)',
        'twice = 2\ntrain_cfg = dict(max_epochs=eval("twice"))',
        'gone = 2\ndel gone',
    ],
)
def test_child_with_effect(tmp_path, child):
    train_and_test.read_config(
        write(tmp_path, base=BASE, child=f"_base_ = ['base.py']\n{child}\n")
    )


def test_between_base_and_child(tmp_path):
    """Set in the middle and used by the last: it has an effect."""
    middle = "_base_ = ['base.py']\nspare = dict(depth=7)\n"
    last = "_base_ = ['middle.py']\nmodel = dict(tail=_base_.spare)\n"
    train_and_test.read_config(
        write(tmp_path, base=BASE, middle=middle, last=last)
    )
    message = refusal(
        tmp_path, base=BASE, middle=middle, last="_base_ = ['middle.py']\n"
    )
    assert f"{tmp_path}/middle.py:2: 'spare' has no effect" in message


PURE = """
from mmengine.optim import OptimWrapper
from torch.optim import SGD
max_epochs = 3
steps = [dict(type='Load')]
train_cfg = dict(max_epochs=max_epochs)
train_dataloader = dict(dataset=dict(pipeline=steps))
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))
"""
INHERIT = """
from mmengine.config import read_base
with read_base():
    from .pure_base import *
"""


@pytest.mark.parametrize(
    ('child', 'remedy'),
    [
        ('max_epochs = 2', 'set them: train_cfg.max_epochs'),
        # mmengine has copied the list.
        ("steps.append(dict(type='Pack'))", 'train_dataloader.dataset.pipel'),
        ("steps += [dict(type='Pack')]", 'train_dataloader.dataset.pipeline'),
        ("steps[0]['type'] = 'Pack'\nsteps.clear()", 'dataset.pipeline'),
        ('train_cfgs = dict()', 'Did you mean train_cfg'),
    ],
)
def test_pure_python_child_without_effect(tmp_path, child, remedy):
    message = refusal(tmp_path, pure_base=PURE, child=f'{INHERIT}{child}\n')
    assert f'{tmp_path}/child.py:5: ' in message or 'child.py:6: ' in message
    assert remedy in message


@pytest.mark.parametrize(
    'child',
    [
        '',
        'train_cfg.max_epochs = 2',
        'train_cfg.update(max_epochs=max_epochs + 1)',
        'from torch.optim import AdamW\noptim_wrapper.optimizer.type = AdamW',
        "steps.append(dict(type='Pack'))\n"
        'train_dataloader.dataset.pipeline = steps',
    ],
)
def test_pure_python_child_with_effect(tmp_path, child):
    train_and_test.read_config(
        write(tmp_path, pure_base=PURE, child=f'{INHERIT}{child}\n')
    )


def test_yaml_child(tmp_path):
    write(tmp_path, base=BASE)
    child = tmp_path / 'child.yaml'
    child.write_text("_base_: ['base.py']\ntrain_cfg: {max_epochs: 2}\n")
    train_and_test.read_config(str(child))
    child.write_text("_base_: ['base.py']\nmax_epochs: 2\n")
    with pytest.raises(UsageError, match='child.yaml: .*train_cfg.max_epochs'):
        train_and_test.read_config(str(child))


@pytest.mark.parametrize('suffix', ['py', 'json', 'yaml'])
@pytest.mark.parametrize('is_pure', [False, True])
def test_written_copies_go_on_working(tmp_path, monkeypatch, suffix, is_pure):
    """In them variables stand beside what was made of them."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', FormatCode)
    text = PURE if is_pure else BASE
    cfg = train_and_test.read_config(write(tmp_path, original=text))
    copy = tmp_path / f'copy.{suffix}'
    cfg.dump(str(copy))
    if suffix == 'py':
        assert 'max_epochs = 3' in copy.read_text()
    cfg = train_and_test.read_config(str(copy))
    with pytest.raises(UsageError, match='mean train_cfg.max_epochs'):
        options.apply_cfg_options(cfg, ['max_epochs=2'])
    # But a child of it that sets a variable has no effect either.
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['copy.{suffix}']\nmax_epochs = 2\n")
    with pytest.raises(UsageError, match='mean train_cfg.max_epochs'):
        train_and_test.read_config(str(child))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('max_epochs=2', 'set them: train_cfg.max_epochs and param_scheduler'),
        ('steps.0.type=X', 'set them: train_dataloader.dataset.pipeline'),
        ('note=mine', 'begins with an underscore: _note'),
        ('depth=3', 'Did you mean model.tail.depth?'),
        ('launcher=pytorch', '--launcher decides'),
    ],
)
def test_option_without_effect(tmp_path, option, message):
    cfg = train_and_test.read_config(write(tmp_path, base=BASE))
    before = cfg.to_dict()
    with pytest.raises(UsageError) as error:
        options.apply_cfg_options(cfg, [option], {'launcher': '--launcher'})
    assert 'has no effect' in str(error.value)
    assert message in str(error.value)
    assert cfg.to_dict() == before


def test_options_with_effect(tmp_path):
    cfg = train_and_test.read_config(write(tmp_path, base=BASE))
    options.apply_cfg_options(
        cfg,
        [
            'train_cfg.max_epochs=2',
            'load_from=a.pth',
            'sync_bn=torch',
            '_note=1',
        ],
    )
    assert cfg.train_cfg.max_epochs == 2 and cfg._note == 1


def test_what_mmengine_reads():
    """Every look-up in a Runner's configuration, in mmengine's source."""
    root = Path(mmengine.__file__).parent
    found = set()
    for part in ('runner/runner.py', 'runner/_flexible_runner.py'):
        text = (root / part).read_text()
        found |= set(re.findall(r"(?:self\.cfg|\bcfg)\.get\(\s*'(\w+)'", text))
    text = (root / 'hooks/test_time_aug_hook.py').read_text()
    found |= set(re.findall(r"'(\w+)' in cfg", text))
    found |= set(re.findall(r"'(tta_\w+)'", text))
    # Of dataloaders, environments and optimizers, not of the whole.
    found -= {
        'cudnn_benchmark',
        'dist_cfg',
        'init_weights_for_test_or_val',
        'mp_cfg',
        'num_workers',
        'resource_limit',
        'seed',
        'type',
    }
    flexible = {'runner_type': 'FlexibleRunner'}
    assert found <= settings_read(Config(flexible))
    # It has no other argument that does something.
    assert found - settings_read(Config({})) <= {'strategy'}
    assert set(READ_BY_MMENGINE) <= found | {'custom_imports'}


VARIABLES, SETTINGS = ('a', 'b', 'c'), ('train_cfg', 'val_cfg', 'model')


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(VARIABLES), st.none()),
            st.tuples(
                st.sampled_from((*VARIABLES, *SETTINGS)),
                st.sampled_from(VARIABLES),
            ),
        ),
        max_size=12,
    )
)
def test_unused_is_what_changes_nothing(statements):
    """Against running the text twice, with another last value."""
    lines = [f'{name} = 0' for name in VARIABLES]
    lines += [
        f'{name} = {"0" if used is None else f"dict(x={used})"}'
        for name, used in statements
    ]

    def settings(text):
        names = {}
        exec(text, names)
        return {key: names.get(key) for key in SETTINGS}

    expected = set()
    for name in VARIABLES:
        last = max(
            i for i, line in enumerate(lines) if line.startswith(f'{name} =')
        )
        changed = [*lines]
        changed[last] = f"{name} = 'other'"
        if settings('\n'.join(changed)) == settings('\n'.join(lines)):
            expected.add(name)
    text = '\n'.join(lines)
    found = unused_variables([ConfigFile('x.py', _parse('x.py', text))])
    # A variable counts as used by one that is not: it never alarms wrongly.
    assert found.keys() - set(SETTINGS) <= expected
    chained = {used for name, used in statements if used and name in VARIABLES}
    overwritten = {
        name for name in SETTINGS if [s[0] for s in statements].count(name) > 1
    }
    if not chained and not overwritten:
        assert found.keys() - set(SETTINGS) == expected
