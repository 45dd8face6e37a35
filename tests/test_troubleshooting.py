"""Every message of tools/TROUBLESHOOTING.md is still what users get."""

import ast
import importlib.util
import io
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'tools/TROUBLESHOOTING.md'
# Between the words of a message that do not change.
GAP = '...'


def entries():
    """Messages and texts of the page."""
    parts = re.split(r'^### ', PAGE.read_text(), flags=re.M)[1:]
    found = [re.match(r'`([^\n]+)`\n(.*)', part, re.S) for part in parts]
    return {match[1]: match[2] for match in found if match}


def holds(message, text):
    """Tell whether a text has the fixed words of a message, in order."""
    message = re.sub(r'^\w+Error: ', '', message)
    words = [' '.join(w.split()).strip(' :(),') for w in message.split(GAP)]
    text, place = ' '.join(text.split()), 0
    for word in words:
        place = text.find(word, place)
        if place < 0:
            return False
        place += len(word)
    return True


@cache
def own_messages():
    """Texts in the code of the package, '?' in place of what is put in."""
    found = []
    for path in sorted((ROOT / 'mmcpm').rglob('*.py')):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    ''.join(
                        part.value if isinstance(part, ast.Constant) else '?'
                        for part in node.values
                    )
                )
            elif isinstance(node, ast.Constant):
                found.append(str(node.value))
    return [text for text in found if ' ' in text]


def raised(function, *args, **kwargs):
    """Text of the error that a call raises."""
    with pytest.raises(Exception) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def read(module, *names):
    """Code of a file of an installed package, which is not imported."""
    package = importlib.util.find_spec(module)
    if package is None:
        pytest.skip(f'{module} is not installed')
    return Path(package.submodule_search_locations[0], *names).read_text()


def mmcv_without_mmcpm(monkeypatch):
    from mmcpm import compat

    if compat.HAS_COMPILED_OPERATORS:
        pytest.skip('mmcv has compiled operators here')
    done = subprocess.run(
        [sys.executable, '-c', 'import mmcv.ops'],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def base_of_mmseg(monkeypatch):
    """As with setuptools 82, which has no such module."""
    from mmengine.config import Config

    class Gone:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == 'pkg_resources':
                raise ModuleNotFoundError(f'No module named {name!r}')

    monkeypatch.delitem(sys.modules, 'pkg_resources', raising=False)
    monkeypatch.setattr(sys, 'meta_path', [Gone, *sys.meta_path])
    name = 'mmseg::_base_/default_runtime.py'
    return raised(Config._get_cfg_path, name, 'child.py')


def unknown_name(monkeypatch):
    from mmseg.registry import MODELS

    return raised(MODELS.build, dict(type='NoSuchEncoderDecoder'))


def one_value_per_channel(monkeypatch):
    return raised(torch.nn.BatchNorm2d(3), torch.rand(1, 3, 1, 1))


class Code:
    """Something a checkpoint of tensors does not hold."""


def checkpoint_with_code(monkeypatch):
    file = io.BytesIO()
    torch.save({'hook': Code()}, file)
    file.seek(0)
    return raised(torch.load, file, weights_only=True)


def sound_by_torchaudio(monkeypatch):
    import torchaudio

    if Version(torchaudio.__version__) < Version('2.9'):
        pytest.skip('this torchaudio reads files by itself')
    if importlib.util.find_spec('torchcodec'):
        pytest.skip('TorchCodec is installed')
    return raised(torchaudio.load, 'no.wav')


def wandb_is_missing(monkeypatch):
    from mmengine.visualization import WandbVisBackend

    monkeypatch.setitem(sys.modules, 'wandb', None)
    return raised(WandbVisBackend('unused')._init_env)


# Messages that others' code gives: where they come from.
OTHERS = {
    "No module named 'mmcv._ext'": mmcv_without_mmcpm,
    "No module named 'pkg_resources'": base_of_mmseg,
    "KeyError: '... is not in the mmseg::model registry": unknown_name,
    'Expected more than 1 value per channel when training': (
        one_value_per_channel
    ),
    'Weights only load failed': checkpoint_with_code,
    'TorchCodec is required for load_with_torchcodec': sound_by_torchaudio,
    'Please run "pip install wandb" to install wandb': wandb_is_missing,
    'OSError: Could not load this library: ...': (
        lambda _: read('torch', '_ops.py')
    ),
    'A module that was compiled using NumPy 1.x cannot be run in': (
        lambda _: read('numpy', 'core', '_multiarray_umath.py')
    ),
    'Advance dataloader ... steps to skip data that has already been '
    'trained': (
        lambda _: read('mmengine', 'runner', 'loops.py').replace("'", '')
    ),
    'Queue is full': lambda _: read('gradio', 'queueing.py'),
}


def test_entries_have_a_cause_and_a_cure():
    found = entries()
    assert 20 <= len(found) <= 45
    assert len(PAGE.read_text().splitlines()) <= 250
    for message, text in found.items():
        text = re.split(r'^## ', text, flags=re.M)[0]
        assert 50 < len(text.strip()) < 500, message


@pytest.mark.parametrize('message', [*entries()])
def test_message_is_what_users_get(message, monkeypatch):
    if message in OTHERS:
        assert holds(message, OTHERS[message](monkeypatch))
    else:
        assert any(holds(message, text) for text in own_messages())


def test_no_origin_is_left_over():
    assert set(OTHERS) <= set(entries())


def test_gaps_keep_the_order_of_the_words():
    assert holds('ValueError: a ... is (...)', 'here a thing is (so)')
    assert not holds('a ... is no', 'is no thing a')


def test_pillow_of_gradio():
    """The page says what pip does to it."""
    if importlib.util.find_spec('gradio') is None:
        pytest.skip('Gradio is not installed')
    wanted = {
        item.name: item.specifier
        for item in map(Requirement, requires('gradio'))
    }
    assert '13.0.0' not in wanted['pillow']
