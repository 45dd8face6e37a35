import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmcpm.analysis_tools import quickstart

ROOT = Path(__file__).resolve().parents[2]


def test_the_whole_job_in_small(tmp_path, capfd):
    """Every step by the users' own commands, on a handful of clips."""
    summary = quickstart.run_quickstart(
        ROOT,
        seed=3,
        work_dir=tmp_path / 'work',
        data_root=tmp_path / 'data',
        clips=(6, 2, 3),
        options=['train_cfg.max_epochs=1', 'param_scheduler.1.end=1'],
    )
    saved = json.loads((tmp_path / 'work/summary.json').read_text())
    assert saved == summary
    assert set(saved) == {
        'config',
        'seed',
        'protocol',
        'mIoU',
        'Fbeta',
        'all_background',
        'seconds',
    }
    assert (saved['seed'], saved['protocol']) == (3, 'dataset')
    assert (ROOT / saved['config']).is_file()
    for score in ('mIoU', 'Fbeta'):
        assert set(saved[score]) == {
            'model',
            'vision_only_ceiling',
            'silence',
            'swapped',
        }
        assert all(0 <= value <= 1 for value in saved[score].values())
    assert set(saved['seconds']) == {'install', 'data', 'train', 'test'}
    # Three clips of 10, 5 and 10 frames are drawn.
    assert len(list((tmp_path / 'work/pictures').rglob('*.png'))) == 25
    # Two processes share a batch of eight frames.
    config = Config.fromfile(tmp_path / 'work/cpm_r18_scenes.py')
    assert config.train_dataloader.batch_size == 4
    assert 'GPU number: 2' in (tmp_path / 'work/train.log').read_text() or (
        torch.cuda.is_available()
    )

    shown = capfd.readouterr()
    for command in ('make_sounding_scenes.py', 'train.py', 'test.py'):
        assert f'tools/{command}' in shown.out.replace(
            'dataset_converters/', ''
        )
    model = f'{100 * saved["mIoU"]["model"]:.1f}'
    assert re.search(rf'true sound *\| +{model} ', shown.out)
    assert 'step/s' in shown.err or 's/step' in shown.err


def test_a_failing_step_says_which_and_why(tmp_path, capfd):
    other = tmp_path / 'data'
    other.mkdir()
    (other / 'holiday.jpg').touch()
    with pytest.raises(SystemExit) as raised:
        quickstart.run_quickstart(
            ROOT, seed=0, work_dir=tmp_path / 'work', data_root=other
        )
    assert raised.value.code == 1
    error = capfd.readouterr().err
    assert '"Making sounding scenes' in error and 'data.log' in error
    assert 'holiday.jpg' not in error and 'left alone' in error
    assert not (tmp_path / 'work/summary.json').exists()


def test_best_checkpoint(tmp_path):
    with pytest.raises(quickstart.StepFailed, match='best_'):
        quickstart.best_checkpoint(tmp_path)
    (tmp_path / 'epoch_2.pth').touch()
    best = tmp_path / 'best_dataset_mIoU_epoch_2.pth'
    best.touch()
    assert quickstart.best_checkpoint(tmp_path) == best
