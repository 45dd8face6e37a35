import importlib
import importlib.metadata
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import mmcpm
from mmcpm.utils import collect_env as module

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'misc' / 'collect_env.py'
NAMES = (
    'mmcpm',
    'MMSegmentation',
    'MMDetection',
    'MMEngine',
    'mmcv',
    'Compiled mmcv operators',
    'PyTorch',
    'torchaudio',
    'TorchVision',
    'scipy',
    'soundfile',
    'libsndfile',
    'numpy',
    'OpenCV',
    'CPU',
)


@pytest.fixture(scope='module')
def env():
    return module.collect_env()


@pytest.fixture
def no_import(monkeypatch):
    """Make named modules fail to import."""
    real = importlib.import_module

    def fail(errors):
        def import_module(name, *args):
            if name in errors:
                raise errors[name]
            return real(name, *args)

        monkeypatch.setattr(module.importlib, 'import_module', import_module)

    return fail


def test_every_part_is_named(env):
    assert set(NAMES) <= set(env)
    assert all(isinstance(value, str) and value for value in env.values())


def test_versions_are_those_of_this_process(env):
    assert env['mmcpm'] == (
        f'{mmcpm.__version__}, {Path(mmcpm.__file__).parent}'
    )
    assert env['numpy'] == np.__version__
    assert env['PyTorch'] == torch.__version__  # With +cpu or +cu130.
    assert f'PyTorch threads {torch.get_num_threads()},' in env['CPU']
    assert env['Python'].startswith('.'.join(map(str, sys.version_info[:3])))


def test_compiled_operators(env):
    expected = 'yes' if mmcpm.HAS_COMPILED_OPERATORS else 'no'
    assert env['Compiled mmcv operators'] == expected


def test_compiled_operators_are_known_by_their_file(monkeypatch):
    compiled = types.ModuleType('mmcv._ext')
    compiled.__file__ = '_ext.so'
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    assert module.describe_operators() == 'yes'


def test_operators_of_another_torch(monkeypatch, no_import):
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    monkeypatch.setattr(
        module.importlib.util, 'find_spec', lambda name: object()
    )
    no_import({'mmcv._ext': ImportError('undefined symbol:\n_ZN3c10')})
    assert module.describe_operators() == (
        'no, they cannot be loaded (ImportError: undefined symbol: _ZN3c10)'
    )


def test_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(
        module, 'PACKAGES', {'nothing': ('no-such-package', 'no_such_package')}
    )
    assert module.collect_env()['nothing'] == 'not installed'


def test_source_tree_without_metadata(tmp_path, monkeypatch):
    (tmp_path / 'module_without_metadata.py').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    described = module.describe_package('no-such', 'module_without_metadata')
    assert described == 'version unknown'


def test_broken_packages_are_told_with_their_version(no_import):
    version = importlib.metadata.version
    no_import(
        {
            'torchaudio': OSError('libcudart.so.13: no such file'),
            'soundfile': OSError('sndfile library not found'),
            'mmdet': AssertionError('MMCV==2.2.0 is used but incompatible'),
        }
    )
    env = module.collect_env()
    assert env['soundfile'] == (
        f'{version("soundfile")}, cannot be imported '
        '(OSError: sndfile library not found)'
    )
    assert env['libsndfile'].startswith('unknown (OSError')
    assert env['MMDetection'].endswith(
        'cannot be imported (AssertionError: MMCV==2.2.0 is used but '
        'incompatible)'
    )
    assert env['scipy'] == version('scipy')


def test_a_failing_report_of_mmengine_is_told(monkeypatch):
    def fail():
        raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.setattr('mmengine.utils.dl_utils.collect_env', fail)
    env = module.collect_env()
    assert env["mmengine's report"] == (
        'failed (RuntimeError: operator torchvision::nms does not exist)'
    )
    assert set(NAMES) <= set(env)


def test_two_of_a_kind_are_pointed_out(monkeypatch):
    monkeypatch.setattr(
        module.importlib.metadata, 'version', lambda name: '2.1.0'
    )
    described = module.describe_distributions(('mmcv', 'mmcv-lite'))
    assert described == (
        'mmcv 2.1.0, mmcv-lite 2.1.0 (they overwrite each other: keep one)'
    )


def run_tool(tmp_path, **options):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', str(TOOL)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.partition(': ') for line in done.stdout.splitlines()]
    return {name: value for name, _, value in lines}


def test_tool_prints_everything(tmp_path):
    printed = run_tool(tmp_path)
    assert set(NAMES) <= set(printed)
    assert printed['numpy'] == np.__version__


def test_tool_works_where_mmcpm_does_not(tmp_path):
    """A broken import of mmcpm is what the report is needed for."""
    (tmp_path / 'mmseg.py').write_text("raise ImportError('damaged')")
    import os

    env = {**os.environ, 'PYTHONPATH': str(tmp_path)}
    printed = run_tool(tmp_path, env=env)
    assert 'cannot be imported (ImportError: damaged)' in printed['mmcpm']
    assert 'damaged' in printed['MMSegmentation']
