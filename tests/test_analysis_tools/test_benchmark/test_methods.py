import json
from argparse import Namespace
from pathlib import Path

import pytest

from mmcpm.analysis_tools.benchmark import methods

ROOT = Path(__file__).resolve().parents[3]
BASE = str(ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py')
TPAVI = str(ROOT / 'configs/tpavi/tpavi_r18_scenes.py')


def method(name, seconds, ratio, peak):
    return dict(
        config=f'configs/x/{name}.py',
        parameters=12_340_000,
        multiply_adds=5_670_000_000,
        median_s=seconds,
        ratio=ratio,
        peak_mb=peak,
    )


def test_table_by_hand(tmp_path):
    report = dict(
        task='infer',
        size=[512, 640],
        batch=5,
        device='cpu',
        dtype='fp32',
        methods=[
            method('stock', 2.0, 1.0, 1000.0),
            method('tpavi_r50_s4', 1.236, 0.618, 900.0),
            method('cavp_r50_s4', 3.0, 1.5, None),
        ],
    )
    file = tmp_path / 'one.json'
    file.write_text(json.dumps(report))
    lines = methods.methods_table([str(file)]).splitlines()[3:]
    assert lines == [
        '| `tpavi_r50_s4` | infer | 512 x 640, 5 | cpu fp32 | 12.3 | 5.7 '
        '| 1.24 | 0.62 | 0.90 |',
        '| `cavp_r50_s4` | infer | 512 x 640, 5 | cpu fp32 | 12.3 | 5.7 '
        '| 3.00 | 1.50 | - |',
    ]


@pytest.mark.parametrize('task', ['train', 'infer'])
def test_methods_take_turns_with_stock(tmp_path, monkeypatch, task):
    groups = []

    def interleave(functions, repeats, warmup, device):
        groups.append(len(functions))
        for function in functions:
            function()
        # 2 s for stock, then 1 and 3.
        return [[2.0, 2.0], [1.0, 1.0], [3.0, 3.0]][: len(functions)]

    monkeypatch.setattr(methods, 'interleave', interleave)
    out = tmp_path / 'out.json'
    report = methods.run(
        Namespace(
            configs=[BASE, TPAVI],
            stock=BASE,
            task=task,
            size=(64, 64),
            batch=2,
            repeats=2,
            warmup=0,
            device='cpu',
            dtype='fp32',
            no_memory=True,
            out=str(out),
        )
    )
    assert json.loads(out.read_text()) == report
    # The optimizers of all would not fit into memory together.
    assert groups == ([2, 2] if task == 'train' else [3])
    stock, base, clips = report['methods']
    assert stock['ratio'] == 1 and base['ratio'] == 0.5
    assert clips['ratio'] == (0.5 if task == 'train' else 1.5)
    # The audio comes on top of the same visual model.
    assert 0 < stock['parameters'] < base['parameters']
    assert 0 < stock['multiply_adds'] < base['multiply_adds']


def test_frames_of_a_step_are_one_clip_of_methods_of_clips():
    args = Namespace(
        task='infer', size=(32, 32), batch=3, device='cpu', dtype='fp32'
    )
    frames = methods._settings(args, BASE)['batch']['data_samples']
    assert [s.metainfo['clip_length'] for s in frames] == [1, 1, 1]
    clip = methods._settings(args, TPAVI)['batch']['data_samples']
    assert [s.metainfo['clip_length'] for s in clip] == [3, 3, 3]
    assert [s.metainfo['frame_index'] for s in clip] == [0, 1, 2]
