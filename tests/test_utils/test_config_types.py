from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import WEIGHT_INITIALIZERS
from mmseg.registry import HOOKS, OPTIM_WRAPPERS

from mmcpm.apis import options
from mmcpm.compat import revert_sync_bn
from mmcpm.engine.hooks import AVSVisualizationHook
from mmcpm.engine.resuming import changed_settings
from mmcpm.models import VGGish
from mmcpm.models.utils.pretrained import (
    check_pretrained_weights,
    pretrained_cfg,
)
from mmcpm.utils.config_types import is_type, type_name, type_of
from mmcpm.utils.errors import UsageError

# A class as text configurations, pure-Python ones and their copies have it.
WRAPPERS = (
    'OptimWrapper',
    'mmengine.OptimWrapper',
    'mmengine.optim.OptimWrapper',
    OptimWrapper,
)
PURE = """
from mmengine.optim import {wrapper}
from torch.nn import SyncBatchNorm
from mmcpm.engine.hooks import AVSVisualizationHook
from mmcpm.visualization import AVSLocalVisualizer
from mmcpm.models import AVSegTTAModel
model = dict(norm_cfg=dict(type=SyncBatchNorm))
optim_wrapper = dict(type={wrapper}, optimizer=dict(lr=0.1))
visualizer = dict(type=AVSLocalVisualizer, alpha=0.3)
default_hooks = dict(
    visualization=dict(type=AVSVisualizationHook, backend_args=dict(a=1)))
test_dataloader = dict(dataset=dict(type='A', pipeline=[]))
tta_model = dict(type=AVSegTTAModel)
tta_pipeline = [dict(type='B')]
"""


@pytest.fixture
def pure(tmp_path):
    path = tmp_path / 'pure.py'
    path.write_text(PURE.format(wrapper='OptimWrapper'))
    return Config.fromfile(path)


def written(cfg, folder):
    """The copy that a run would leave in its folder, read again."""
    cfg.dump(folder / 'copy.py')
    return Config.fromfile(folder / 'copy.py')


@pytest.mark.parametrize('kind', WRAPPERS)
def test_one_type_in_all_its_forms(kind):
    cfg = {'type': kind}
    assert type_of(cfg, OPTIM_WRAPPERS) is OptimWrapper
    assert is_type(cfg, OptimWrapper, OPTIM_WRAPPERS)
    assert not is_type(cfg, AmpOptimWrapper, OPTIM_WRAPPERS)
    assert type_name(cfg, OPTIM_WRAPPERS) == 'OptimWrapper'


def test_subclasses_and_what_is_no_type():
    amp = {'type': 'AmpOptimWrapper'}
    assert is_type(amp, OptimWrapper, OPTIM_WRAPPERS)
    for other in ({}, None, [], {'type': 'NoSuch'}, {'type': 'no.such.Type'}):
        assert type_of(other, OPTIM_WRAPPERS) is None
        assert not is_type(other, OptimWrapper, OPTIM_WRAPPERS)
    assert type_name({'type': 'NoSuch'}, OPTIM_WRAPPERS) == 'NoSuch'


@pytest.mark.parametrize('kind', WRAPPERS)
def test_amp(kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = Config({'optim_wrapper': {'type': kind, 'optimizer': {'lr': 0.1}}})
    for _ in range(2):  # The second finds it done.
        options.apply_amp(cfg)
        name = type_name(cfg.optim_wrapper, OPTIM_WRAPPERS)
        assert name == 'CPUAmpOptimWrapper'


def test_amp_without_a_type(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = Config({'optim_wrapper': {'optimizer': {'lr': 0.1}}})
    options.apply_amp(cfg)
    assert cfg.optim_wrapper.type == 'mmseg.CPUAmpOptimWrapper'


@pytest.mark.parametrize('kind', WRAPPERS)
def test_amp_of_several_optimizers(kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    one, other = ({'type': kind, 'optimizer': {'lr': r}} for r in (0.1, 0.2))
    cfg = Config(
        {'optim_wrapper': {'constructor': 'X', 'one': one, 'other': other}}
    )
    for _ in range(2):
        options.apply_amp(cfg)
        assert 'type' not in cfg.optim_wrapper
        for part in (cfg.optim_wrapper.one, cfg.optim_wrapper.other):
            assert part.type == 'mmseg.CPUAmpOptimWrapper'
    cfg.optim_wrapper.other.type = 'ApexOptimWrapper'
    with pytest.raises(UsageError, match='--amp .* has ApexOptimWrapper'):
        options.apply_amp(cfg)


def test_amp_of_pure_python_can_be_written(pure, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    options.apply_amp(pure)
    options.apply_amp(copy := written(pure, tmp_path))
    assert copy.optim_wrapper.type == 'mmseg.CPUAmpOptimWrapper'
    path = tmp_path / 'apex.py'
    path.write_text(PURE.format(wrapper='ApexOptimWrapper'))
    with pytest.raises(UsageError, match='--amp .* has ApexOptimWrapper'):
        options.apply_amp(Config.fromfile(path))


@pytest.mark.parametrize('is_copy', [False, True])
def test_show_keeps_settings_of_pure_python(pure, tmp_path, is_copy):
    cfg = written(pure, tmp_path) if is_copy else pure
    options.apply_show(cfg, False, str(tmp_path / 'pictures'), 1)
    cfg = written(cfg, tmp_path)
    assert cfg.visualizer.alpha == 0.3
    hook = cfg.default_hooks.visualization
    assert is_type(hook, AVSVisualizationHook, HOOKS)
    assert hook.draw and hook.backend_args == {'a': 1}


def test_tta_of_pure_python_can_be_written(pure, tmp_path):
    options.apply_tta(pure)
    cfg = written(pure, tmp_path)
    assert cfg.model.type.endswith('.AVSegTTAModel')
    assert 'norm_cfg' in cfg.model.module
    assert [t.type for t in cfg.test_dataloader.dataset.pipeline] == ['B']


def test_what_options_add_does_not_depend_on_the_scope(pure, tmp_path):
    """A pure-Python configuration needs no default_scope."""
    from mmengine.registry import HOOKS as ROOT_HOOKS

    options.apply_out(pure, str(tmp_path / 'maps'))
    (hook,) = pure.custom_hooks
    assert ROOT_HOOKS.get(hook['type']).__name__ == 'PredictionWriterHook'
    options.apply_sound(pure, 'silence')
    wrapper = pure.test_dataloader.dataset
    name = type_name(wrapper, HOOKS)
    assert name == 'mmseg.CounterfactualAudioDataset'


@pytest.mark.parametrize(
    'kind',
    [
        'SyncBN',
        'mmcv.SyncBN',
        'torch.nn.SyncBatchNorm',
        nn.SyncBatchNorm,
        type('Mine', (nn.SyncBatchNorm,), {}),
    ],
)
def test_sync_bn_in_all_its_forms(kind):
    cfg = {'a': [{'norm_cfg': {'type': kind}}], 'b': {'type': nn.BatchNorm2d}}
    assert revert_sync_bn(cfg) == 1
    assert cfg['a'][0]['norm_cfg']['type'] == 'BN'


def test_sync_bn_of_pure_python(pure):
    assert revert_sync_bn(pure.model) == 1


@pytest.mark.parametrize(
    'kind',
    [
        'Pretrained',
        'mmengine.model.PretrainedInit',
        WEIGHT_INITIALIZERS.get('Pretrained'),
    ],
)
@pytest.mark.parametrize('is_list', [False, True])
def test_pretrained_weights_in_all_their_forms(tmp_path, kind, is_list):
    """VGGish reads its file, and a part without its file is refused."""
    torch.manual_seed(1)
    state = VGGish(base_channels=4).state_dict()
    torch.save(state, tmp_path / 'vggish.pth')
    init_cfg = {'type': kind, 'checkpoint': str(tmp_path / 'vggish.pth')}
    if is_list:
        init_cfg = [{'type': 'Kaiming', 'layer': 'Conv2d'}, init_cfg]
    model = VGGish(base_channels=4, init_cfg=init_cfg)
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])
    check_pretrained_weights(model)
    Path(tmp_path / 'vggish.pth').unlink()
    with pytest.raises(RuntimeError, match='could not be read'):
        check_pretrained_weights(model)
    assert pretrained_cfg(VGGish(base_channels=4)) is None


def test_resuming_by_a_copy_is_no_change():
    text = "model = dict(type='{}', depth={})\n"
    before = text.format('AVEncoderDecoder', 1)
    same = text.format('mmcpm.models.AVEncoderDecoder', 1)
    assert changed_settings(before, same) == []
    assert changed_settings(before, text.format('mmseg.EncoderDecoder', 1))
    assert changed_settings(before, text.format('AVEncoderDecoder', 2)) == [
        'model.depth: 1 -> 2'
    ]
