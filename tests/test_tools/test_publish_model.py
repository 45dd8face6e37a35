import hashlib
import json
import pickle
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.apis.train_and_test import test as run_test
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.utils.checkpoints import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/avmask2former/avmask2former_r18_scenes_hard.py'
META = {
    'dataset_meta': {
        'classes': ('background', 'dog'),
        'palette': [[0] * 3] * 2,
    },
    'cfg': "work_dir = '/home/ann/runs'\n",
    'seed': 3,
    'hostname': 'ann',
}


@pytest.fixture
def publish(monkeypatch):
    """The tool's main function."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'publish_model', raising=False)
    import publish_model as tool

    return lambda *arguments: tool.main([*map(str, arguments)])


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of a training, with a weight that is a view."""
    path = tmp_path / 'run' / 'epoch_1.pth'
    path.parent.mkdir()
    weights = {
        'a.weight': torch.arange(600.0)[:6].reshape(2, 3).t(),
        'a.count': torch.tensor(7),
    }
    parts = {'optimizer': {'state': {}}, 'message_hub': {}}
    torch.save({'state_dict': weights, 'meta': META, **parts}, path)
    return path


def only_file(folder, pattern='*'):
    files = [path for path in folder.iterdir() if path.match(pattern)]
    assert len(files) == 1, files
    return files[0]


def test_tensors_and_classes_stay(publish, checkpoint, tmp_path, capsys):
    publish(checkpoint, '--out', tmp_path / 'out' / 'dogs.pth')
    path = only_file(tmp_path / 'out')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'dogs-{digest[:8]}.pth'
    found = torch.load(path, weights_only=True)
    assert found.keys() == {'state_dict', 'meta'}
    expected = torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])
    assert torch.equal(found['state_dict']['a.weight'], expected)
    assert found['state_dict']['a.count'] == 7
    # The 594 other numbers of the view's storage do not travel along.
    assert len(path.read_bytes()) < 600 * 4 + 1500
    assert found['meta'] == {
        'dataset_meta': {
            'classes': ['background', 'dog'],
            'palette': [[0, 0, 0], [0, 0, 0]],
        },
        'cfg': META['cfg'],
    }
    printed = capsys.readouterr().out
    assert '/home/ann/runs' in printed
    assert 'left out: message_hub, optimizer' in printed
    assert 'dogs-' in printed and '2 tensors' in printed


def test_published_again_it_is_the_same_file(publish, checkpoint, tmp_path):
    publish(checkpoint, '--out', tmp_path / 'out/dogs', '--no-config')
    first = only_file(tmp_path / 'out')
    assert 'cfg' not in read_checkpoint(str(first))['meta']
    publish(first, '--out', first)
    assert only_file(tmp_path / 'out') == first


def test_safetensors(publish, checkpoint, tmp_path):
    pytest.importorskip('safetensors')
    publish(
        checkpoint, '--out', tmp_path / 'out/dogs', '--format', 'safetensors'
    )
    path = only_file(tmp_path / 'out', 'dogs-????????.safetensors')
    found = read_checkpoint(str(path))
    plain = torch.load(checkpoint, weights_only=True)['state_dict']
    assert found['state_dict'].keys() == plain.keys()
    for name, value in plain.items():
        assert torch.equal(found['state_dict'][name], value)
    assert found['meta']['dataset_meta']['classes'] == ['background', 'dog']
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Exception, match='no whole file of safetensors'):
        read_checkpoint(str(path))


def test_without_the_package_the_remedy_is_told(
    publish, checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(SystemExit):
        publish(
            *(checkpoint, '--out', tmp_path / 'out/dogs'),
            *('--format', 'safetensors'),
        )
    assert 'pip install safetensors' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


class Trap:
    """Runs a program when it is unpickled without care."""

    def __reduce__(self):
        return (exec, ('raise SystemExit("executed")',))


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('absent', 'checkpoint not found'),
        ('text', 'no file of PyTorch'),
        ('empty', 'holds no weights'),
        ('trap', 'was refused'),
        ('folder', 'names the file'),
    ],
)
def test_bad_input_ends_with_a_message(
    publish, checkpoint, tmp_path, capsys, kind, message
):
    path, out = tmp_path / 'bad.pth', tmp_path / 'out' / 'dogs'
    if kind == 'text':
        path.write_text('{"a": 1}')
    elif kind == 'empty':
        torch.save({'state_dict': {}}, path)
    elif kind == 'trap':
        path.write_bytes(pickle.dumps({'state_dict': Trap()}))
    elif kind == 'folder':
        path, out = checkpoint, tmp_path
    with pytest.raises(SystemExit) as ended:
        publish(path, '--out', out)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count('publish_model.py: error: ') == 1
    assert message in error and 'Traceback' not in error
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('file_format', ['pth', 'safetensors'])
def test_published_file_is_tested_like_the_checkpoint(
    publish, tmp_path, test_args, file_format
):
    if file_format == 'safetensors':
        pytest.importorskip('safetensors')
    root = tmp_path / 'scenes'
    write_sounding_scenes(root, 'hard', clips=(1, 1, 2), size=32, workers=0)
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(CONFIG).model)
    weights = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': META}, weights)
    publish(
        *(weights, '--out', tmp_path / 'out/full'),
        *('--format', file_format),
    )
    scores = {}
    for path in (weights, only_file(tmp_path / 'out')):
        run_test(
            test_args(
                str(CONFIG),
                str(path),
                data_root=str(root),
                out=str(tmp_path / path.suffix / path.stem),
                work_dir=str(tmp_path / 'work'),
                scores=str(tmp_path / 'scores.json'),
                cfg_options=['test_dataloader.dataset.indices=2'],
            )
        )
        done = json.loads((tmp_path / 'scores.json').read_text())
        scores[path] = {
            key: value
            for key, value in done['metrics'].items()
            if 'time' not in key
        }
    first, second = scores.values()
    assert first == pytest.approx(second, nan_ok=True) and first
