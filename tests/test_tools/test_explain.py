import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS

from mmcpm.analysis_tools.explain.report import check_head
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
FULL = ROOT / 'configs/cpm/cpm_r18_scenes_hard.py'
BASE = ROOT / 'configs/avmask2former/avmask2former_r18_scenes_hard.py'
NUM_CLASSES = 13


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    write_sounding_scenes(root, 'hard', clips=(5, 5, 8), size=32, workers=0)
    return root


def save(config, path, feed=True):
    """Save random weights and, of CPM, mixtures that know every class."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    mixtures = getattr(model.decode_head, 'mixtures', None)
    if mixtures is not None and feed:
        labels = torch.arange(NUM_CLASSES + 1).repeat(10)
        mixtures.train().enqueue(torch.randn(len(labels), 64), labels)
        mixtures.update()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save(FULL, tmp_path_factory.mktemp('weights') / 'full.pth')


@pytest.fixture
def explain(monkeypatch, data_root):
    """Run the tool; returns the folder of the pictures."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'explain', raising=False)
    import explain as tool

    def run(config, checkpoint, out, *options, root=data_root):
        arguments = (config, checkpoint, '--out', out, '--data-root', root)
        tool.main([*map(str, arguments), *options])
        return {path.name: path.read_bytes() for path in out.iterdir()}

    return run


def test_three_pictures_that_are_the_same_again(
    explain, checkpoint, tmp_path, capsys
):
    first = explain(FULL, checkpoint, tmp_path / 'a', '--num-frames', '2')
    assert set(first) == {'spectrograms.png', 'mixtures.png', 'queries.png'}
    for name in first:
        picture = cv2.imread(str(tmp_path / 'a' / name))
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 10
    printed = capsys.readouterr().out
    assert 'queries.png' in printed and 'left out' not in printed
    # Whatever random numbers were drawn before.
    torch.rand(7)
    again = explain(FULL, checkpoint, tmp_path / 'b', '--num-frames', '2')
    assert again == first


def test_other_seed_other_pictures(explain, checkpoint, tmp_path):
    """The bank is the same, but other prompts are drawn."""
    first, second = (
        explain(
            FULL,
            checkpoint,
            tmp_path / seed,
            *('--num-frames', '1', '--seed', seed),
        )
        for seed in '01'
    )
    assert first['mixtures.png'] != second['mixtures.png']


def test_spectrograms_have_the_scale_of_the_frontend(
    explain, checkpoint, tmp_path, monkeypatch
):
    """The config has 512 points every 320 samples at 16 kHz."""
    from mmcpm.analysis_tools.explain import report as module

    scales = []
    draw = module.draw_spectrograms
    monkeypatch.setattr(
        module,
        'draw_spectrograms',
        lambda rows, **scale: scales.append(scale) or draw(rows, **scale),
    )
    explain(FULL, checkpoint, tmp_path, '--num-frames', '2')
    assert scales == [{'seconds_per_frame': 0.02, 'hertz_per_bin': 31.25}]


def test_baseline_has_queries_only(explain, tmp_path, capsys):
    weights = save(BASE, tmp_path / 'base.pth')
    pictures = explain(BASE, weights, tmp_path / 'out', '--num-frames', '1')
    assert set(pictures) == {'queries.png'}
    printed = capsys.readouterr().out
    assert 'spectrograms.png: left out' in printed and 'loss_acp' in printed
    assert 'mixtures.png: left out, the head has no mixtures' in printed


def test_untaught_mixtures_are_told(explain, tmp_path, capsys):
    weights = save(FULL, tmp_path / 'empty.pth', feed=False)
    pictures = explain(FULL, weights, tmp_path / 'out', '--num-frames', '2')
    assert set(pictures) == {'queries.png'}
    printed = capsys.readouterr().out
    assert 'not every class could be prompted' in printed
    assert 'memory bank of the checkpoint is empty' in printed


def refused(capsys, explain, *arguments, **options):
    with pytest.raises(SystemExit) as ended:
        explain(*arguments, **options)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count('explain.py: error: ') == 1
    assert 'Traceback' not in error
    return error


def test_bad_input_ends_with_a_message(
    explain, checkpoint, tmp_path, capsys, data_root
):
    out = tmp_path / 'out'
    absent = tmp_path / 'absent.pth'
    assert 'checkpoint not found' in refused(
        capsys, explain, FULL, absent, out
    )
    assert "no frame 'clip/77'" in refused(
        capsys, explain, FULL, checkpoint, out, '--frames', 'clip/77'
    )
    assert 'at least 1' in refused(
        capsys, explain, FULL, checkpoint, out, '--num-frames', '0'
    )
    assert 'does not fit the model' in refused(
        capsys, explain, BASE, checkpoint, out
    )
    assert not list(out.glob('*.png'))


def test_models_without_an_audio_first_head_are_refused(
    explain, checkpoint, tmp_path, capsys
):
    config = tmp_path / 'stock.py'
    config.write_text(
        f"_base_ = '{FULL}'\n"
        "model = dict(_delete_=True, type='EncoderDecoder', "
        "backbone=dict(type='ResNet', depth=18), decode_head=dict("
        "type='FCNHead', in_channels=512, channels=8, num_classes=13))\n"
    )
    error = refused(capsys, explain, config, checkpoint, tmp_path / 'out')
    assert 'EncoderDecoder, which takes no sound' in error
    head = FCNHead(in_channels=8, channels=8, num_classes=13)
    with pytest.raises(UsageError, match='audio-first.*FCNHead'):
        check_head(SimpleNamespace(decode_head=head))


def test_empty_and_silent_splits_are_refused(
    explain, checkpoint, tmp_path, capsys, data_root
):
    root = tmp_path / 'data'
    shutil.copytree(data_root, root)
    table = (root / 'metadata.csv').read_text().splitlines(True)
    (root / 'metadata.csv').write_text(
        ''.join(line for line in table if ',test,' not in line)
    )
    out = tmp_path / 'out'
    error = refused(capsys, explain, FULL, checkpoint, out, root=root)
    assert 'test' in error

    (root / 'metadata.csv').write_text(''.join(table))
    for folder in root.glob('v*/test*/labels_semantic'):
        for file in folder.iterdir():
            cv2.imwrite(str(file), 0 * cv2.imread(str(file), 0))
    error = refused(capsys, explain, FULL, checkpoint, out, root=root)
    assert 'nothing sounds in any' in error
