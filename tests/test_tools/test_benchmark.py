import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = str(ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py')
FULL = str(ROOT / 'configs/cpm/cpm_r18_scenes.py')


def load_tool(name):
    path = ROOT / 'tools/analysis_tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(tmp_path, *arguments):
    out = tmp_path / 'results' / 'out.json'
    options = ('--size', '64', '64', '--repeats', '1', '--warmup', '0')
    load_tool('benchmark').main([*arguments, *options, '--out', str(out)])
    return json.loads(out.read_text())


def test_training_step_beside_stock(tmp_path, capsys):
    report = measure(
        tmp_path, FULL, '--task', 'train', '--vs', 'stock', '--no-memory'
    )
    expected = {'config', 'peer', 'task', 'size', 'batch', 'device', 'dtype'}
    expected |= {'median_s', 'peer_median_s', 'ratio', 'parts', 'threads'}
    expected |= {'peak_mb', 'peer_peak_mb'}
    assert expected <= set(report)
    assert report['peer'] == 'stock'
    assert report['size'] == [64, 64]
    common = {'image backbone', 'pixel decoder', 'decoder', 'matching'}
    common |= {'losses', 'backward', 'optimizer', 'other'}
    assert common <= set(report['peer_parts'])
    assert common | {'audio', 'TD-A', 'GMM'} <= set(report['parts'])
    assert 'ratio' in capsys.readouterr().out


def test_inference_beside_a_config(tmp_path):
    report = measure(
        tmp_path, FULL, '--task', 'infer', '--vs', BASE, '--no-memory'
    )
    assert report['peer'] == BASE
    assert report['parts']['post-processing'] > 0
    assert 'GMM' not in report['peer_parts']
    assert 'backward' not in report['parts']


def test_memory_of_a_child_process(tmp_path):
    report = measure(tmp_path, BASE, '--task', 'infer', '--batch', '1')
    # The weights alone take more than 10 MiB.
    assert 10 < report['peak_mb'] < 4000
    assert 'ratio' not in report


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--checkpoint', 'missing.pth'), 'missing.pth'),
        (('--vs', 'missing.py'), 'config not found'),
        (('--batch', '0'), '--batch must be at least 1'),
    ],
)
def test_bad_arguments(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        measure(tmp_path, BASE, '--no-memory', *arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_sizes_that_the_backbone_cannot_halve(capsys):
    with pytest.raises(SystemExit):
        load_tool('benchmark').main([BASE, '--size', '100', '64'])
    assert 'multiples of 32' in capsys.readouterr().err


PURE = """
from mmcv.transforms import RandomFlip
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.transforms import (
    CutAudioToFrame, LoadAudioFromFile, LoadAVSAnnotations,
    LoadFrameFromFile, PackAVSInputs)
from mmcpm.models import VGGish
from mmengine.optim import OptimWrapper
from mmseg.datasets.transforms import RandomCrop

model = dict(type=VGGish)
optim_wrapper = dict(type=OptimWrapper)
part = dict(
    type=AVSBenchSemanticDataset, data_root='x', subset='v2',
    pipeline=[
        dict(type=LoadFrameFromFile), dict(type=LoadAudioFromFile),
        dict(type=CutAudioToFrame), dict(type=LoadAVSAnnotations),
        dict(type=RandomCrop, crop_size=(8, 8)),
        dict(type=RandomFlip, prob=0.5), dict(type=PackAVSInputs)])
train_dataloader = dict(dataset=dict(type=RepeatDataset, times=3, dataset=dict(
    type=ConcatDataset, datasets=[part, part])))
"""


def test_data_of_wrapped_datasets_in_pure_python(tmp_path, avss_root):
    path = tmp_path / 'pure.py'
    path.write_text(PURE)
    arguments = ('--task', 'data', '--vs', 'stock', '--batch', '2')
    root = ('--data-root', str(avss_root))
    report = measure(tmp_path, str(path), *arguments, *root)
    # Twice the two clips of v2, three times.
    assert report['samples'] == 12
    assert {'LoadFrameFromFile', 'LoadAudioFromFile'} < set(report['parts'])
    assert set(report['peer_parts']) == {
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomCrop',
        'RandomFlip',
        'PackSegInputs',
    }


def test_flops_of_the_stock_model(capsys):
    load_tool('get_flops').main([BASE, '--size', '64', '64', '--stock'])
    printed = capsys.readouterr().out
    assert '(EncoderDecoder)' in printed
    assert 'decode_head.pixel_decoder' in printed
    assert 'audio' not in printed.replace(BASE, '')


def test_flops_of_a_model_of_pixels(tmp_path, capsys):
    """One convolution of 8 to 5 channels, at 64 x 64 / 4 x 4 pixels."""
    path = tmp_path / 'fcn.py'
    path.write_text("""
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor'),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    decode_head=dict(
        type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=0,
        concat_input=False, num_classes=5))
""")
    out = tmp_path / 'flops.json'
    load_tool('get_flops').main(
        [str(path), '--size', '64', '64', '--out', str(out)]
    )
    head = json.loads(out.read_text())['parts']['decode_head.conv_seg']
    assert head['multiply_adds'] == 8 * 5 * 16 * 16


def test_flops(tmp_path, capsys):
    out = tmp_path / 'flops.json'
    load_tool('get_flops').main(
        [BASE, '--size', '64', '64', '--out', str(out)]
    )
    report = json.loads(out.read_text())
    parts = report['parts']
    assert parts['audio_backbone']['multiply_adds'] > 0
    assert report['multiply_adds'] >= sum(
        part['multiply_adds'] for part in parts.values()
    )
    assert 'prim::PythonOp._DeformableAttention' in report['not_counted']
    assert 'not counted' in capsys.readouterr().out
