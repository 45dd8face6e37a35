import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from mmcpm.analysis_tools.quickstart import StepFailed
from mmcpm.analysis_tools.study import runs as study
from mmcpm.analysis_tools.vision_only_ceiling import vision_only_ceiling
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

ROOT = Path(__file__).resolve().parents[3]
ABLATIONS = ROOT / 'configs/cpm/ablations/hard'


@pytest.fixture
def tools(monkeypatch):
    """Stand in for the tools: notes commands, leaves their files behind."""
    commands = []

    def run_step(command, log, title):
        commands.append(command)
        folder = Path(command[command.index('--work-dir') + 1])
        if 'train.py' in command[0]:
            (folder / 'best_dataset_mIoU_epoch_1.pth').touch()
            newest = folder / 'epoch_1.pth'
            weights = {'w': torch.ones(1)}
            torch.save({'meta': {'iter': 12}, 'state_dict': weights}, newest)
            (folder / 'last_checkpoint').write_text(str(newest))
            logged = folder / '20260101/vis_data'
            logged.mkdir(parents=True)
            lines = [
                {'loss': 3.0, 'decode.loss_acp': 0.5, 'time': 0.2, 'step': 7},
                {'stability_score': 1.23456, 'step': 1},
                {'dataset/mIoU': 0.25, 'step': 1},
            ]
            (logged / 'scalars.json').write_text(
                '\n'.join(json.dumps(line) for line in lines)
            )
        else:
            sound = command[command.index('--sound') + 1]
            value = {'true': 0.9, 'silence': 0.1, 'swapped': 0.2}[sound]
            metrics = {
                'dataset/mIoU': value,
                'dataset/Fbeta': value / 2,
                'coverage/td_a': 0.75,
                'coverage/final': 0.875,
            }
            scores = Path(command[command.index('--scores') + 1])
            scores.write_text(json.dumps({'metrics': metrics}))
        return 1.0

    monkeypatch.setattr(study, 'run_step', run_step)
    return commands


def make_study(folder, **kwargs):
    return study.Study(
        ROOT, folder / 'out.json', folder / 'work', folder / 'data', **kwargs
    )


def test_a_run_is_one_record(tools, tmp_path):
    make_study(tmp_path, epochs=2, split='val', options=['a=1']).run(
        [str(ABLATIONS / 'hard_full.py')], [3]
    )
    (record,) = json.loads((tmp_path / 'out.json').read_text())
    assert record.pop('seconds') >= 0
    assert record == {
        'config': 'configs/cpm/ablations/hard/hard_full.py',
        'seed': 3,
        'epochs': 2,
        'split': 'val',
        'options': ['a=1'],
        'iterations': 12,
        'mIoU': 0.9,
        'Fbeta': 0.45,
        'sts': [1.2346],
        'coverage': 0.75,
        'coverage_final': 0.875,
        'mIoU_ceiling': None,
        'mIoU_silence': 0.1,
        'mIoU_swapped': 0.2,
        'mIoU_val': [0.25],
        'health': {'loss_acp': 0.5},
        'seconds_per_step': 0.2,
    }
    train, *tests = tools
    assert {'train_cfg.max_epochs=2', 'param_scheduler.1.end=2'} < set(train)
    assert train[train.index('--seed') + 1] == '3'
    assert len(tests) == 3
    assert all('test_dataloader.dataset.split=val' in test for test in tests)
    # Weights of many runs would fill the disk.
    assert not list((tmp_path / 'work').rglob('*.pth'))


def test_finished_runs_are_not_repeated(tools, tmp_path):
    configs = [str(ABLATIONS / f'hard_{n}.py') for n in ('base', 'full')]
    make_study(tmp_path).run(configs[:1], [0])
    assert len(tools) == 4
    make_study(tmp_path).run(configs, [0, 1])
    assert len(tools) == 16
    records = study.read_records(tmp_path / 'out.json')
    assert [(r['config'][-7:-3], r['seed']) for r in records] == [
        ('base', 0),
        ('full', 0),
        ('base', 1),
        ('full', 1),
    ]
    # A record stays that of its config when the config moves.
    moved = [
        {**record, 'config': f'configs/{Path(record["config"]).name}'}
        for record in records
    ]
    (tmp_path / 'out.json').write_text(json.dumps(moved))
    make_study(tmp_path).run(configs, [0, 1])
    assert len(tools) == 16
    # The same with another length is another run.
    make_study(tmp_path, epochs=1).run(configs[:1], [0])
    assert len(tools) == 20


def test_settings_of_wrapped_datasets_and_other_schedules(tools, tmp_path):
    config = tmp_path / 'wrapped.py'
    config.write_text(
        f"_base_ = ['{ROOT}/configs/cpm/cpm_r18_scenes.py']\n"
        'part = {{_base_.test_dataloader.dataset}}\n'
        'test_dataloader = dict(dataset=dict(\n'
        "    _delete_=True, type='ConcatDataset', datasets=[part, dict(\n"
        "        type='RepeatDataset', times=2, dataset=part)]))\n"
        'train_cfg = dict(max_epochs=4)\n'
        "param_scheduler = [dict(type='PolyLR', end=4), "
        "dict(type='LinearLR', end=4, by_epoch=False)]\n"
    )
    make_study(tmp_path, epochs=2, split='val').run([str(config)], [3])
    train, *tests = tools
    chosen = train[train.index('--cfg-options') + 1 :]
    # The second schedule counts iterations.
    assert chosen == ['train_cfg.max_epochs=2', 'param_scheduler.0.end=2']
    for test in tests:
        assert test[test.index('--cfg-options') + 1 :] == [
            'test_dataloader.dataset.datasets.0.split=val',
            'test_dataloader.dataset.datasets.1.dataset.split=val',
        ]


def test_an_interrupted_run_is_resumed(tools, tmp_path):
    make_study(tmp_path).run([str(ABLATIONS / 'hard_base.py')], [0])
    assert '--resume' in tools[0]


def append_many(file, start):
    for number in range(start, start + 20):
        study.append_record(file, {'number': number})


def test_several_studies_share_a_file(tmp_path):
    file = tmp_path / 'out.json'
    context = multiprocessing.get_context('fork')
    workers = [
        context.Process(target=append_many, args=(file, start))
        for start in (0, 100)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    numbers = {record['number'] for record in study.read_records(file)}
    assert numbers == {*range(20), *range(100, 120)}
    assert study.read_records(tmp_path / 'none.json') == []


def test_runs_at_a_time_are_those_of_one_after_the_other(tools, tmp_path):
    configs = [str(ABLATIONS / f'hard_{n}.py') for n in ('base', 'full')]
    make_study(tmp_path).run(configs, [0, 1, 2], jobs=3)
    records = study.read_records(tmp_path / 'out.json')
    assert {(r['config'][-7:-3], r['seed']) for r in records} == {
        (name, seed) for name in ('base', 'full') for seed in (0, 1, 2)
    }
    assert len(tools) == 6 * 4


def test_a_failed_run_ends_the_study(tools, tmp_path, monkeypatch):
    succeed = study.run_step

    def run_step(command, log, title):
        if 'seed1' in title:
            raise StepFailed(title)
        return succeed(command, log, title)

    monkeypatch.setattr(study, 'run_step', run_step)
    configs = [str(ABLATIONS / 'hard_base.py')]
    with pytest.raises(StepFailed, match='hard_base_seed1'):
        make_study(tmp_path).run(configs, [0, 1, 2, 3])
    records = study.read_records(tmp_path / 'out.json')
    assert [record['seed'] for record in records] == [0]


def test_what_another_study_is_at_is_left_to_it(tools, tmp_path):
    configs = [str(ABLATIONS / 'hard_base.py')]
    with study.locked(tmp_path / 'work/hard_base_seed1.lock', False) as mine:
        assert mine
        make_study(tmp_path).run(configs, [0, 1, 2])
    records = study.read_records(tmp_path / 'out.json')
    assert [record['seed'] for record in records] == [0, 2]
    make_study(tmp_path).run(configs, [0, 1, 2])
    records = study.read_records(tmp_path / 'out.json')
    assert [record['seed'] for record in records] == [0, 2, 1]


def test_a_checkpoint_can_be_kept(tools, tmp_path):
    configs = [str(ABLATIONS / 'hard_base.py')]
    make_study(tmp_path, keep_checkpoints=True).run(configs, [0])
    (kept,) = (tmp_path / 'work').rglob('*.pth')
    assert kept.name == 'best_dataset_mIoU_epoch_1.pth'


def test_the_ceiling_of_scenes_is_recorded(tools, tmp_path):
    root = tmp_path / 'data'
    write_sounding_scenes(root, 'hard', clips=(5, 5, 5), size=32, workers=0)
    make_study(tmp_path).run([str(ABLATIONS / 'hard_base.py')], [0])
    (record,) = study.read_records(tmp_path / 'out.json')
    ceiling = vision_only_ceiling(root)['vision_only_ceiling']['mIoU']
    assert record['mIoU_ceiling'] == ceiling > 0
