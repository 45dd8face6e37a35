import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from mmcpm.utils import study

ROOT = Path(__file__).resolve().parents[2]
ABLATIONS = ROOT / 'configs/cpm/ablations'


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
        [str(ABLATIONS / 'scenes_full.py')], [3]
    )
    (record,) = json.loads((tmp_path / 'out.json').read_text())
    assert record.pop('seconds') >= 0
    assert record == {
        'config': 'configs/cpm/ablations/scenes_full.py',
        'seed': 3,
        'epochs': 2,
        'split': 'val',
        'options': ['a=1'],
        'iterations': 12,
        'mIoU': 0.9,
        'Fbeta': 0.45,
        'sts': [1.2346],
        'coverage': 0.75,
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
    configs = [str(ABLATIONS / f'scenes_{n}.py') for n in ('base', 'full')]
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
    # The same with another length is another run.
    make_study(tmp_path, epochs=1).run(configs[:1], [0])
    assert len(tools) == 20


def test_an_interrupted_run_is_resumed(tools, tmp_path):
    make_study(tmp_path).run([str(ABLATIONS / 'scenes_base.py')], [0])
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


def test_table_by_hand():
    def run(config, mean, **other):
        return {
            'config': f'configs/{config}.py',
            'mIoU': mean,
            'mIoU_silence': 0.1,
            'mIoU_swapped': 0.25,
            'coverage': 0.5,
            'sts': [2.0, 1.0],
            **other,
        }

    records = [run('b', 0.5), run('a', 0.7), run('b', 0.6, sts=[0.5])]
    assert study.study_table(records).splitlines()[2:] == [
        '| `b` | 2 | 55.0 ± 7.1 | 10.0 | 25.0 | 50.0 | 0.75 |',
        '| `a` | 1 | 70.0 | 10.0 | 25.0 | 50.0 | 1.00 |',
    ]
