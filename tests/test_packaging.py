"""What is installed from a wheel, and from a source distribution."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
MIM = 'mmcpm/.mim/'
# Work in a clone only: they make its environment.
CLONE_SCRIPTS = {
    'tools/analysis_tools/model_zoo.py',
    'tools/quickstart.py',
    'tools/quickstart.sh',
    'tools/run_tests.sh',
    'tools/setup_environment.sh',
}

BUILD = """
import sys
from setuptools import build_meta
kind, target = sys.argv[1:]
name = getattr(build_meta.__legacy__, f'build_{kind}')(target)
print(f'built {name}')
"""

USE = """
import json, runpy, sys, warnings
warnings.simplefilter('ignore')
from pathlib import Path
import mmcpm
from mmengine.config import Config
mim = Path(mmcpm.__file__).parent / '.mim'
configs = {}
for name in sys.argv[1:]:
    cfg = Config.fromfile(mim / name)
    loop = cfg.train_cfg
    length = loop.get('max_epochs') or loop.max_iters
    configs[name] = [cfg.model.type, length]
# As mmengine reads the index of a package.
from mmengine.infer import BaseInferencer
folder = BaseInferencer._get_repo_or_mim_dir('mmcpm')
models = BaseInferencer._get_models_from_metafile(folder)
print(json.dumps(dict(
    package=mmcpm.__file__, version=mmcpm.__version__, configs=configs,
    folder=folder, models=sorted(model['Name'] for model in models),
    pkg_resources='pkg_resources' in sys.modules)))
"""

# From anywhere, as mmdet's and mmseg's configs are inherited.
INHERIT = """
import json, sys, warnings
warnings.simplefilter('ignore')
import mmcpm
from mmengine.config import Config
from mmengine.hub import get_config, get_model
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
found = {}
for name in sys.argv[1:]:
    with open('child.py', 'w') as file:
        print(f"_base_ = 'mmcpm::{name}'", file=file)
        print('train_cfg = dict(max_epochs=7)', file=file)
    child, own = Config.fromfile('child.py'), get_config(f'mmcpm::{name}')
    found[name] = [child.train_cfg.max_epochs, own.train_cfg.max_epochs,
                   child.model.decode_head.type]
init_default_scope(child.default_scope)
from mmseg.registry import HOOKS, METRICS, MODELS, TRANSFORMS, VISUALIZERS
for hook in (*child.default_hooks.values(), *child.custom_hooks):
    HOOKS.build(hook)
for metric in child.test_evaluator:
    METRICS.build(metric)
for step in (*child.train_pipeline, *child.tta_pipeline):
    TRANSFORMS.build(step)
models = [MODELS.build(child.model), get_model(f'mmcpm::{name}')]
wrapper = build_optim_wrapper(models[0], child.optim_wrapper)
print(json.dumps(dict(
    package=mmcpm.__file__, configs=found,
    models=[[type(model).__module__, len(model.state_dict())]
            for model in models])))
"""


def build(kind, source, target):
    """Build a wheel or an sdist as pip does, with what is installed."""
    done = subprocess.run(
        [sys.executable, '-c', BUILD, kind, str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return target / done.stdout.splitlines()[-1].removeprefix('built ')


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of what a wheel is built from, with leftovers of a build."""
    source = tmp_path_factory.mktemp('source')
    for name in ('mmcpm', 'configs', 'tools'):
        shutil.copytree(
            ROOT / name,
            source / name,
            ignore=shutil.ignore_patterns('__pycache__', '.mim'),
        )
    for name in ('setup.py', 'README.md', 'LICENSE', 'requirements.txt'):
        shutil.copy2(ROOT / name, source)
    stale = source / 'build' / 'lib' / 'mmcpm'
    (stale / '.mim' / 'configs').mkdir(parents=True)
    (stale / 'renamed_since.py').touch()
    (stale / '.mim' / 'configs' / 'renamed_since.py').touch()
    return source


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    """A wheel from the source tree."""
    return build('wheel', source, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def names(wheel):
    """The files of the wheel."""
    return zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope='module')
def metadata(wheel):
    """The metadata of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(
            name
            for name in archive.namelist()
            if name.endswith('.dist-info/METADATA')
        )
        return Parser().parsestr(archive.read(name).decode())


def test_wheel_holds_every_module(names):
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'mmcpm').rglob('*.py')
        if '.mim' not in path.parts
    }
    found = {
        name
        for name in names
        if name.endswith('.py') and not name.startswith(MIM)
    }
    assert found == expected


def test_wheel_holds_configs_tools_and_index(names):
    mim = {name.removeprefix(MIM) for name in names if name.startswith(MIM)}
    expected = {
        path.relative_to(ROOT).as_posix()
        for folder in ('configs', 'tools')
        for pattern in ('*.py', '*.sh', '*.yml')
        for path in (ROOT / folder).rglob(pattern)
    }
    assert expected - CLONE_SCRIPTS <= mim
    assert 'model-index.yml' in mim
    assert not CLONE_SCRIPTS & mim
    assert not [name for name in mim if '__pycache__' in name]


def test_wheel_leaves_the_records_in_the_repository(names):
    """Studies and benchmarks of a method lie in configs/METHOD/results."""
    assert list((ROOT / 'configs').glob('*/results/*.json'))
    assert not [name for name in names if '/results/' in name]


def test_nothing_of_an_earlier_build_travels_along(names):
    assert not [name for name in names if 'renamed_since' in name]


def test_nothing_beside_the_package_is_installed(names):
    tops = {name.split('/')[0] for name in names}
    assert len(tops) == 2
    assert 'mmcpm' in tops
    assert next(iter(tops - {'mmcpm'})).endswith('.dist-info')


def test_scripts_stay_executable(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo(f'{MIM}tools/dist_train.sh')
    mode = (ROOT / 'tools/dist_train.sh').stat().st_mode
    assert (info.external_attr >> 16) & 0o111 == mode & 0o111


def test_index_lists_the_metafiles(wheel, names):
    with zipfile.ZipFile(wheel) as archive:
        index = yaml.safe_load(archive.read(f'{MIM}model-index.yml'))
    metafiles = sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'configs').rglob('metafile.yml')
    )
    assert index == {'Import': metafiles}
    assert {f'{MIM}{name}' for name in metafiles} <= set(names)


def test_python_versions(metadata):
    accepted = SpecifierSet(metadata['Requires-Python'])
    assert '3.11.0' in accepted and '3.12.1' in accepted
    assert '3.10.13' not in accepted


def test_requirements_leave_mmcv_and_torch_alone(metadata):
    """What was compiled must not be replaced by a dependency of ours."""
    requirements = [
        Requirement(text) for text in metadata.get_all('Requires-Dist')
    ]
    plain = {item.name for item in requirements if item.marker is None}
    assert {'torch', 'mmengine', 'mmdet', 'mmsegmentation'} <= plain
    assert not [name for name in plain if name.startswith('mmcv')]
    # Each release of torchvision asks for one release of torch.
    assert 'torchvision' not in plain
    extras = {item.name: str(item.marker) for item in requirements}
    assert extras['mmcv-lite'] == 'extra == "lite"'
    assert extras['torchvision'] == 'extra == "torchvision"'


def test_requirements_accept_the_tested_rows(metadata):
    tested = {
        'torch': ('2.1.2', '2.11.0'),
        'torchaudio': ('2.1.2', '2.11.0'),
        'torchvision': ('0.16.2', '0.26.0'),
        'numpy': ('1.26.4', '2.4.6'),
        'mmengine': ('0.10.7',),
        'mmdet': ('3.3.0',),
        'mmsegmentation': ('1.2.2',),
    }
    ranges = {
        item.name: item.specifier
        for item in map(Requirement, metadata.get_all('Requires-Dist'))
    }
    for name, versions in tested.items():
        for version in versions:
            assert version in ranges[name], (name, version)


def test_pins_are_within_the_requirements(metadata):
    """What is installed is one point of what setup.py accepts."""
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    # The web page's is only installed for those who ask for the page.
    script = (ROOT / 'tools/quickstart.sh').read_text()
    lines += re.findall(r"'(\w+==[\d.]+)'", script)
    pins = [Requirement(line.split('#')[0]) for line in lines if '==' in line]
    versions = {pin.name: next(iter(pin.specifier)).version for pin in pins}
    for text in metadata.get_all('Requires-Dist'):
        item = Requirement(text)
        if item.name in versions:
            assert versions[item.name] in item.specifier, text
        else:
            assert not item.specifier, f'{text} is not pinned'


def test_every_import_is_required(metadata):
    """Transitive requirements of today may be gone tomorrow."""
    distributions = {
        'PIL': 'pillow',
        'mmseg': 'mmsegmentation',
        # Left to the user, who may have built one, and to mmengine, which
        # accepts several.
        'mmcv': None,
        'cv2': None,
    }
    imported = set()
    for path in (ROOT / 'mmcpm').rglob('*.py'):
        if '.mim' in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split('.')[0])
    outside = imported - set(sys.stdlib_module_names) - {'mmcpm'}
    wanted = {distributions.get(name, name) for name in outside} - {None}
    required = {
        Requirement(text).name for text in metadata.get_all('Requires-Dist')
    }
    assert wanted <= required


def test_neither_setup_nor_package_needs_pkg_resources():
    """It is gone from setuptools 82 on."""
    files = [ROOT / 'setup.py', *(ROOT / 'mmcpm').rglob('*.py')]
    for path in files:
        assert 'import pkg_resources' not in path.read_text(encoding='utf-8')


def test_source_distribution_makes_the_same_wheel(
    source, names, tmp_path_factory
):
    folder = tmp_path_factory.mktemp('sdist')
    archive = build('sdist', source, folder)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter='data')
    unpacked = folder / archive.name.removesuffix('.tar.gz')
    again = build('wheel', unpacked, folder)
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(names)


@pytest.fixture(scope='module')
def used(wheel, tmp_path_factory):
    """What an interpreter elsewhere finds in the installed wheel."""
    site = tmp_path_factory.mktemp('site')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    configs = sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'configs').glob('[!_]*/*.py')
    )
    done = subprocess.run(
        [sys.executable, '-c', USE, *configs],
        cwd=tmp_path_factory.mktemp('elsewhere'),
        env={**os.environ, 'PYTHONPATH': str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return site, configs, json.loads(done.stdout.splitlines()[-1])


def test_installed_package_is_imported_from_elsewhere(used, wheel):
    site, _, found = used
    assert found['package'] == str(site / 'mmcpm' / '__init__.py')
    assert wheel.name.startswith(f'mmcpm-{found["version"]}-')
    assert not found['pkg_resources']


def test_configs_of_the_installed_package_parse_with_their_bases(used):
    _, configs, found = used
    assert list(found['configs']) == configs
    name = 'configs/avmask2former/avmask2former_r50_avss.py'
    assert found['configs'][name] == ['AVEncoderDecoder', 100]


def test_mmengine_finds_the_models_by_name(used):
    site, _, found = used
    assert found['folder'] == str(site / 'mmcpm' / '.mim')
    listed = sorted(
        model['Name']
        for path in (ROOT / 'configs').glob('*/metafile.yml')
        for model in yaml.safe_load(path.read_text())['Models']
    )
    assert found['models'] == listed


@pytest.mark.parametrize('kind', ['wheel', 'editable'])
def test_configs_are_inherited_from_anywhere(
    kind, wheel, source, tmp_path_factory
):
    site = tmp_path_factory.mktemp('site')
    if kind == 'wheel':
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    else:
        # What it makes leads to the source tree.
        build('editable', source, site)
        site = source
    configs = [
        'avmask2former/avmask2former_r50_avss.py',
        'cpm/cpm_r50_avss.py',
        'cpm/ablations/hard/hard_full.py',
        'cpm/cpm_r18_scenes_s4.py',
    ]
    done = subprocess.run(
        [sys.executable, '-c', INHERIT, *configs],
        cwd=tmp_path_factory.mktemp('elsewhere'),
        env={**os.environ, 'PYTHONPATH': str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['package'] == str(site / 'mmcpm' / '__init__.py')
    assert found['configs'] == {
        'cpm/cpm_r50_avss.py': [7, 100, 'CPMHead'],
        'cpm/ablations/hard/hard_full.py': [7, 3, 'CPMHead'],
        'cpm/cpm_r18_scenes_s4.py': [7, 3, 'CPMHead'],
        'avmask2former/avmask2former_r50_avss.py': [
            7,
            100,
            'AVMask2FormerHead',
        ],
    }
    mine, hub = found['models']
    assert mine[0].startswith('mmcpm.') and mine == hub
    assert 'Failed to search registry' not in done.stdout + done.stderr
