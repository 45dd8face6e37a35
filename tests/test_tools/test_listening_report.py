"""listening_report.py, from a checkpoint to a report."""

import json
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py'
STEREO = ROOT / 'configs/cpm/cpm_r18_scenes_vpo_msmi.py'


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    write_sounding_scenes(root, 'demo', clips=(1, 1, 4), size=32, workers=0)
    return root


def save(config, path):
    """Save random weights that segment something."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    head = model.decode_head
    for name, parameter in head.named_parameters():
        if name.startswith('cls_embed'):
            parameter.data.mul_(30)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save(CONFIG, tmp_path_factory.mktemp('weights') / 'base.pth')


def tool(monkeypatch, folder, name):
    monkeypatch.syspath_prepend(ROOT / folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


@pytest.fixture
def report(monkeypatch, capsys):
    """Run the tool; returns the content of its file and what it printed."""
    module = tool(monkeypatch, 'tools/analysis_tools', 'listening_report')

    def run(config, checkpoint, out, root, *options):
        arguments = [config, checkpoint, '--out', out, '--data-root', root]
        module.main(
            [*map(str, arguments), *map(str, options)]
            + ['--cfg-options', 'test_dataloader.num_workers=0']
        )
        content = json.loads((out / 'listening_report.json').read_text())
        return content, capsys.readouterr()

    return run


def test_report(report, checkpoint, data_root, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    content, printed = report(
        CONFIG,
        checkpoint,
        out,
        data_root,
        *('--snr', 0, '--shift', 1, '--clips', 2, '--resamples', 50),
    )
    assert list(content['sounds']) == [
        'true',
        'silence',
        'noise',
        'offscreen',
        'swapped',
        'offscreen_0dB',
        'noise_0dB',
        'shifted_+1s',
    ]
    # Sounding scenes are mono.
    assert 'left and right exchanged: left out' in content['notes'][0]
    assert 'left out' in printed.out and 'G-mIoU' in printed.out
    assert content['clips_scored'] == 4
    for name in ('scores', 'classes', 'most', 'least'):
        picture = cv2.imread(str(out / f'{name}.png'))
        assert min(picture.shape[:2]) > 200 and picture.std() > 10
    for each in content['scores'].values():
        for interval in each.values():
            assert interval['low'] <= interval['value'] <= interval['high']
    zero = content['differences']['dataset/mIoU']['true']
    assert zero == {'value': 0, 'low': 0, 'high': 0}
    # The same as the project's own tests with these sounds.
    test = tool(monkeypatch, 'tools', 'test')
    for sound in ('true', 'silence', 'swapped'):
        expected = test.main(
            [str(CONFIG), str(checkpoint), '--data-root', str(data_root)]
            + ['--sound', sound, '--work-dir', str(tmp_path / 'work')]
            + ['--cfg-options', 'test_dataloader.num_workers=0']
        )
        for key in ('dataset/mIoU', 'dataset/Fbeta'):
            found = content['scores'][key][sound]['value']
            assert found == pytest.approx(expected[key]), (sound, key)
    silent = content['false_positive_rate']['silence']['value']
    assert 0 <= silent <= 1


def test_report_is_the_same_again(report, checkpoint, data_root, tmp_path):
    options = ('--snr', '--shift', '--clips', 0, '--resamples', 20)
    first, _ = report(CONFIG, checkpoint, tmp_path / 'a', data_root, *options)
    torch.rand(5)
    again, _ = report(CONFIG, checkpoint, tmp_path / 'b', data_root, *options)
    assert first == again
    assert not (tmp_path / 'a/most.png').exists()


def test_stereo_can_be_exchanged_and_images_not_shifted(report, tmp_path):
    root = tmp_path / 'data'
    write_sounding_scenes(
        root, 'demo', clips=(4, 1, 4), size=32, workers=0, layout='vpo_msmi'
    )
    weights = save(STEREO, tmp_path / 'stereo.pth')
    content, printed = report(
        STEREO,
        weights,
        tmp_path / 'out',
        root,
        *('--snr', '--shift', 1, '--clips', 1, '--resamples', 5),
    )
    assert 'exchanged' in content['sounds']
    assert 'shifted_+1s' not in content['sounds']
    assert any('CutAudioToFrame' in note for note in content['notes'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--shift', '0'], '--shift 0 is the true sound'),
        (['--resamples', '0'], '--resamples must be at least 1'),
        (['--offscreen-folder', '/nowhere'], 'found no .wav'),
    ],
)
def test_bad_options(
    report, checkpoint, data_root, tmp_path, capsys, options, message
):
    with pytest.raises(SystemExit) as info:
        report(CONFIG, checkpoint, tmp_path / 'out', data_root, *options)
    assert info.value.code == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / 'out').glob('*.json'))


def test_table_of_reports(monkeypatch, tmp_path, capsys):
    main = tool(monkeypatch, 'tools/analysis_tools', 'listening_report').main
    each = {'value': 0.5, 'low': 0.4, 'high': 0.6}
    content = {
        'config': 'configs/cpm/cpm_r18_scenes.py',
        'sounds': {'true': {'title': 'true sound'}},
        'scores': {'dataset/mIoU': {'true': each}},
        'robustness': {
            'dataset': {'G-mIoU': each, 'G-F': each},
            'G-FPR': each,
        },
    }
    file = tmp_path / 'listening_report.json'
    file.write_text(json.dumps(content))
    main(['--table', str(file)])
    printed = capsys.readouterr().out
    assert '| sound | `cpm_r18_scenes`: dataset/mIoU |' in printed
    for arguments, message in (
        (['--table', str(file), str(file)], 'two of the reports are of'),
        (['--table', str(tmp_path)], 'is no listening_report.json'),
        ([str(CONFIG)], 'CONFIG CHECKPOINT --out DIR, or --table'),
    ):
        with pytest.raises(SystemExit) as info:
            main(arguments)
        assert info.value.code == 2
        assert message in capsys.readouterr().err
