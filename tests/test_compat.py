import importlib
import os
import pickle
import pkgutil
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import (
    BaseModel,
    ExponentialMovingAverage,
    MomentumAnnealingEMA,
    StochasticWeightAverage,
)
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from packaging.version import Version

import mmcpm
from mmcpm import compat

strict_loading = pytest.mark.skipif(
    Version(torch.__version__) < Version('2.6'),
    reason='PyTorch loads weights only from 2.6 on',
)
without_operators = pytest.mark.skipif(
    mmcpm.HAS_COMPILED_OPERATORS, reason='mmcv has compiled operators'
)


@pytest.mark.parametrize('package', ['mmseg.models', 'mmdet.models'])
def test_every_model_module_imports(package):
    root = importlib.import_module(package)
    modules = [
        info.name
        for info in pkgutil.walk_packages(root.__path__, f'{package}.')
    ]
    assert len(modules) > 50
    failed = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            # Optional extras of upstream say so in their own words.
            if 'mmcv._ext' in str(error):
                failed[name] = error
    assert not failed


@without_operators
def test_missing_operator_names_itself_and_the_remedy():
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(
        RuntimeError, match='"nms".*no compiled operators.*pip install'
    ):
        nms(boxes, torch.ones(1), 0.5)


@without_operators
def test_placeholder_has_every_operator_but_no_dunder():
    extension = compat.PlaceholderExtension('mmcv._ext')
    assert callable(extension.anything)
    assert not hasattr(extension, '__path__')


def test_compiled_extension_is_left_alone(monkeypatch):
    compiled = types.ModuleType('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    from mmcv.ops import multi_scale_deform_attn

    monkeypatch.setattr(multi_scale_deform_attn, 'IS_CUDA_AVAILABLE', True)
    assert compat.ensure_mmcv_operators() is True
    assert sys.modules['mmcv._ext'] is compiled
    assert multi_scale_deform_attn.IS_CUDA_AVAILABLE is True


def test_compiled_extension_on_disk_is_imported(monkeypatch):
    compiled = types.ModuleType('mmcv._ext')
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    monkeypatch.setattr(
        compat.importlib.util, 'find_spec', lambda name: object()
    )
    monkeypatch.setattr(
        compat.importlib, 'import_module', lambda name: compiled
    )
    assert compat.ensure_mmcv_operators() is True
    assert 'mmcv._ext' not in sys.modules


def test_extension_of_another_torch_is_explained(monkeypatch):

    def fail(name):
        raise ImportError('undefined symbol: _ZN3c10')

    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    monkeypatch.setattr(
        compat.importlib.util, 'find_spec', lambda name: object()
    )
    monkeypatch.setattr(compat.importlib, 'import_module', fail)
    with pytest.raises(
        ImportError, match='undefined symbol.*built for another PyTorch'
    ):
        compat.ensure_mmcv_operators()


@without_operators
def test_placeholder_sends_deformable_attention_to_pytorch(monkeypatch):
    from mmcv.ops import multi_scale_deform_attn

    monkeypatch.setattr(multi_scale_deform_attn, 'IS_CUDA_AVAILABLE', True)
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    assert compat.ensure_mmcv_operators() is False
    assert multi_scale_deform_attn.IS_CUDA_AVAILABLE is False
    with pytest.raises(RuntimeError):
        sys.modules['mmcv._ext'].nms()


@pytest.fixture
def broken_torchvision(monkeypatch):
    """A torchvision whose operators belong to another PyTorch."""

    def fail(name):
        raise RuntimeError('operator torchvision::nms does not exist')

    def install(requirement, cuda=None):
        # Whatever is there, or nothing, is put back.
        monkeypatch.setitem(sys.modules, 'torchvision', None)
        monkeypatch.delitem(sys.modules, 'torchvision')
        monkeypatch.setattr(compat, 'requires', lambda name: [requirement])
        monkeypatch.setattr(compat, 'version', lambda name: '0.28.0')
        monkeypatch.setattr(torch.version, 'cuda', cuda)
        monkeypatch.setattr(compat.importlib, 'import_module', fail)

    return install


@pytest.mark.parametrize(
    ('requirement', 'cuda'),
    [
        (f'torch=={torch.__version__.split("+")[0]}', None),
        ('torch==1.13.0', '13.0'),
    ],
)
def test_broken_torchvision_counts_as_missing(
    broken_torchvision, requirement, cuda
):
    broken_torchvision(requirement, cuda)
    with pytest.warns(UserWarning, match='0.28.0.*::nms.*not installed'):
        assert compat.hide_broken_torchvision() is True
    with pytest.raises(ModuleNotFoundError):
        importlib.__import__('torchvision')
    if sys.version_info >= (3, 12):
        return  # There mmengine needs distutils, which the fixture hides.
    # What every run of mmengine begins with.
    from mmengine.utils.dl_utils import collect_env

    assert 'TorchVision' not in collect_env()


def test_matching_torchvision_is_not_even_imported(broken_torchvision):
    broken_torchvision(f'torch=={torch.__version__.split("+")[0]}', '13.0')
    assert compat.hide_broken_torchvision() is False
    assert 'torchvision' not in sys.modules


def test_missing_torchvision_is_no_fault(monkeypatch):

    def fail(name):
        raise compat.PackageNotFoundError(name)

    monkeypatch.setattr(compat, 'requires', fail)
    assert compat.hide_broken_torchvision() is False


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.linear(torch.stack(inputs)).square().mean())


@pytest.fixture(scope='module')
def runner_checkpoint(tmp_path_factory):
    """A checkpoint with message hub, optimizer and scheduler."""
    work_dir = tmp_path_factory.mktemp('toy_run')
    data = [dict(inputs=torch.randn(2)) for _ in range(4)]
    # Its scope is not to stay behind for the tests after it.
    with DefaultScope.overwrite_default_scope('mmengine'):
        runner = Runner(
            model=Toy(),
            work_dir=str(work_dir),
            train_dataloader=dict(
                batch_size=2,
                dataset=data,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='pseudo_collate'),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
            param_scheduler=dict(type='PolyLR', end=4, by_epoch=False),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', interval=1),
            ),
            experiment_name='toy_run_for_checkpoints',
            default_scope='mmengine',
        )
        runner.message_hub.update_info('best', np.float64(0.5))
        runner.train()
    return os.path.join(work_dir, 'epoch_1.pth')


@strict_loading
def test_runner_checkpoint_loads_weights_only(runner_checkpoint):
    checkpoint = torch.load(runner_checkpoint, weights_only=True)
    assert set(checkpoint) >= {
        'state_dict',
        'optimizer',
        'param_schedulers',
        'message_hub',
        'meta',
    }
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert len(history.data[0]) == 2
    assert history.statistics('max') == max(history.data[0])


def test_runner_checkpoint_loads_by_mmengine(runner_checkpoint):
    from mmengine.runner import load_checkpoint

    model = Toy()
    load_checkpoint(model, runner_checkpoint, strict=True)


class Reduces:
    """Pickles itself as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@strict_loading
def test_code_in_a_checkpoint_is_refused(tmp_path):
    victim = tmp_path / 'victim'
    path = tmp_path / 'bad.pth'
    torch.save(dict(state_dict={}, meta=Reduces(os.mkdir, str(victim))), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)
    assert not victim.exists()


@strict_loading
@pytest.mark.parametrize(
    'owner,name',
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '__globals__'),
        (HistoryBuffer, 'register_statistics'),
        (np.ndarray, 'tofile'),
        (torch.Tensor, 'mean'),
    ],
)
def test_getattr_beyond_statistics_is_refused(tmp_path, owner, name):
    if owner is HistoryBuffer and name == '__globals__':
        target = Reduces(getattr, Reduces(getattr, owner, 'min'), name)
    else:
        target = Reduces(getattr, owner, name)
    path = tmp_path / 'bad.pth'
    torch.save(dict(state_dict={}, meta=target), path)
    with pytest.raises(
        (RuntimeError, pickle.UnpicklingError),
        match='tampered with|not an allowed|Unsupported',
    ):
        torch.load(path, weights_only=True)


@strict_loading
@pytest.mark.parametrize('name', compat.HISTORY_STATISTICS)
def test_getattr_serves_the_statistics(name):
    assert compat._history_getattr(HistoryBuffer, name) is getattr(
        HistoryBuffer, name
    )


def test_torch_load_and_environment_are_untouched():
    assert torch.load.__module__ == 'torch.serialization'
    assert 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' not in os.environ


@pytest.mark.parametrize('installed', ['1.7.2', '2.2.0'])
def test_version_guard_names_range_and_remedy(monkeypatch, installed):
    real = compat.version
    monkeypatch.setattr(
        compat,
        'version',
        lambda name: installed if name.startswith('mmcv') else real(name),
    )
    with pytest.raises(ImportError) as raised:
        compat.check_versions()
    for part in ('mmcv >=2.0.0rc4,<2.2.0', installed, 'pip install'):
        assert part in str(raised.value)


def test_version_guard_names_a_missing_package(monkeypatch):

    def absent(name):
        raise compat.PackageNotFoundError(name)

    monkeypatch.setattr(compat, 'version', absent)
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='mmcv.*not installed.*pip install'):
        compat.check_versions()


def test_synchronized_normalization_gives_way_without_cuda():
    """PyTorch has it for CUDA only."""
    model = dict(
        backbone=dict(norm_cfg=dict(type='SyncBN', eps=1e-3)),
        heads=[dict(norm_cfg=dict(type='GN')), dict(n=dict(type='SyncBN'))],
    )
    assert compat.revert_sync_bn(model) == 2
    assert model == dict(
        backbone=dict(norm_cfg=dict(type='BN', eps=1e-3)),
        heads=[dict(norm_cfg=dict(type='GN')), dict(n=dict(type='BN'))],
    )
    assert compat.revert_sync_bn(model) == 0
    assert compat.revert_sync_bn(None) == 0


@pytest.mark.parametrize('update_buffers', [False, True])
@pytest.mark.parametrize(
    'kind',
    [ExponentialMovingAverage, MomentumAnnealingEMA, StochasticWeightAverage],
)
def test_averaged_models_have_the_mixtures_of_their_source(
    kind, update_buffers
):
    from mmcpm.models.classifiers import GMMClassifier

    torch.manual_seed(0)
    classifier = GMMClassifier(num_classes=3, embed_dims=16, em_interval=2)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(16), classifier)
    average = kind(model, update_buffers=update_buffers)
    means = []
    for _ in range(7):
        model[0](torch.randn(8, 16) + 3)
        classifier.enqueue(torch.randn(20, 16), torch.randint(0, 4, (20,)))
        with torch.no_grad():
            classifier.logit_gain += 1
        average.update_parameters(model)
        means.append(model[0].running_mean.clone())
    own = average.module
    for name, buffer in classifier.named_buffers():
        assert torch.equal(getattr(own[1], name), buffer), name
    assert int(own[1].num_steps) == own[1]._steps == 7
    assert int(own[0].num_batches_tracked) == 7
    assert own[1].logit_gain < classifier.logit_gain
    # What is asked for is done: running statistics are averaged.
    assert torch.equal(own[0].running_mean, means[-1]) != update_buffers
    if kind is StochasticWeightAverage and update_buffers:
        expected = torch.stack(means).mean(0)
        torch.testing.assert_close(own[0].running_mean, expected)
    features = torch.randn(5, 16)
    own.eval()
    assert own(features).isfinite().all()


def test_config_names_of_a_tree_that_is_not_installed(tmp_path, monkeypatch):
    path = tmp_path / 'tree' / 'mmcpm'
    monkeypatch.setattr(
        'mmengine.config.config.get_installed_path', lambda name: str(path)
    )
    monkeypatch.setattr('mmengine.config.config.is_installed', bool)
    child = tmp_path / 'child.py'
    child.write_text("_base_ = 'mmcpm::cpm/cpm_r50_avss.py'\n")
    with pytest.raises(
        FileNotFoundError, match='pip install --no-deps'
    ) as error:
        Config.fromfile(child)
    assert f'{tmp_path}/tree/configs/cpm/cpm_r50_avss' in str(error.value)
    # Other packages keep their own words.
    path = tmp_path / 'other'
    with pytest.raises(FileNotFoundError, match='No such file'):
        Config.fromfile(child)
