import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from shlex import split

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def load(name):
    spec = importlib.util.spec_from_file_location(
        f'tool_{Path(name).stem}', TOOLS / name
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture(autouse=True)
def unchanged_path(monkeypatch):
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.delenv('RANK', raising=False)


def test_train_defaults():
    args = load('train.py').build_parser().parse_args(['a.py'])
    assert vars(args) == {
        'config': 'a.py',
        'work_dir': None,
        'data_root': None,
        'resume': None,
        'amp': False,
        'auto_scale_lr': False,
        'seed': None,
        'cfg_options': None,
        'launcher': 'none',
        'local_rank': 0,
    }


def test_train_arguments():
    args = (
        load('train.py')
        .build_parser()
        .parse_args(
            [
                *split(
                    'a.py --work-dir w --data-root d --resume --amp '
                    '--auto-scale-lr --seed 3 --launcher pytorch '
                    '--local-rank 1 --cfg-options a=1'
                ),
                'b.c=[1,2]',
            ]
        )
    )
    assert vars(args) == {
        'config': 'a.py',
        'work_dir': 'w',
        'data_root': 'd',
        'resume': 'auto',
        'amp': True,
        'auto_scale_lr': True,
        'seed': 3,
        'cfg_options': ['a=1', 'b.c=[1,2]'],
        'launcher': 'pytorch',
        'local_rank': 1,
    }


def test_resume_from_a_file():
    args = (
        load('train.py')
        .build_parser()
        .parse_args(['a.py', '--resume', 'b.pth', '--local_rank', '2'])
    )
    assert (args.resume, args.local_rank) == ('b.pth', 2)


def test_test_arguments():
    args = (
        load('test.py')
        .build_parser()
        .parse_args(
            split(
                'a.py b.pth --work-dir w --data-root d --out o '
                '--show-dir s --show --wait-time 0.5 --tta --sound '
                'silence --scores scores.json --seed 3 --launcher slurm '
                '--cfg-options a=1'
            )
        )
    )
    assert vars(args) == {
        'config': 'a.py',
        'checkpoint': 'b.pth',
        'work_dir': 'w',
        'data_root': 'd',
        'out': 'o',
        'show_dir': 's',
        'show': True,
        'wait_time': 0.5,
        'tta': True,
        'sound': 'silence',
        'scores': 'scores.json',
        'seed': 3,
        'launcher': 'slurm',
        'cfg_options': ['a=1'],
        'local_rank': 0,
    }


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['--resume', 'a.py'],
        ['a.py', '--launcher', 'ssh'],
        ['a.py', '--seed', 'x'],
    ],
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        load('train.py').main(arguments)
    assert exit.value.code == 2
    assert 'usage: ' in capsys.readouterr().err


@pytest.mark.parametrize(
    'name', ['train.py', 'test.py', 'misc/print_config.py']
)
def test_help_does_not_wait_for_torch(name):
    code = (
        'import runpy, sys\n'
        'sys.argv = [sys.argv[1], "--help"]\n'
        'try: runpy.run_path(sys.argv[0], run_name="__main__")\n'
        'finally: print("torch" in sys.modules)'
    )
    result = subprocess.run(
        [sys.executable, '-c', code, TOOLS / name],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0
    assert result.stdout.startswith('usage: ')
    assert result.stdout.endswith('False\n')


def test_train_from_any_folder(tmp_path):
    result = subprocess.run(
        [sys.executable, TOOLS / 'train.py', 'none.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.endswith(
        f'train.py: error: config not found: {tmp_path}/none.py\n'
    )
    assert 'Traceback' not in result.stderr


def test_test_reports_a_missing_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = TOOLS.parent / 'configs/avmask2former/avmask2former_r18_scenes.py'
    with pytest.raises(SystemExit) as exit:
        load('test.py').main(
            [str(config), 'none.pth', '--data-root', str(tmp_path)]
        )
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f'test.py: error: checkpoint not found: {tmp_path}/none.pth'
    )
    assert len(error.splitlines()) == 1


def test_print_config(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('base.py').write_text('model = dict(b=1, c=2)\n')
    Path('leaf.py').write_text("_base_ = 'base.py'\nmodel = dict(b=3)\n")
    load('misc/print_config.py').main(
        ['leaf.py', '--cfg-options', 'work_dir=x', '--out', 'all.py']
    )
    printed = {}
    exec(capsys.readouterr().out, printed)
    saved = {}
    exec(Path('all.py').read_text(), saved)
    for found in (printed, saved):
        assert found['model'] == {'b': 3, 'c': 2}
        assert found['work_dir'] == 'x'


def test_print_config_refuses(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        load('misc/print_config.py').main([str(tmp_path / 'none.py')])
    assert exit.value.code == 2
    assert 'config not found' in capsys.readouterr().err


def run_script(tmp_path, name, arguments, **environment):
    """Run a shell script with stand-ins for python and srun.

    Returns:
        list[str]: The arguments they got, one per element.
    """
    stand_in = tmp_path / 'srun'
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    for variable in (
        'NNODES',
        'NODE_RANK',
        'PORT',
        'MASTER_ADDR',
        'GPUS',
        'GPUS_PER_NODE',
        'CPUS_PER_TASK',
        'SRUN_ARGS',
    ):
        environment.setdefault(variable, '')
    path = f'{tmp_path}:{os.environ["PATH"]}'
    result = subprocess.run(
        ['bash', TOOLS / name, *arguments],
        env={
            **os.environ,
            'PATH': path,
            'PYTHON': str(stand_in),
            **environment,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_dist_train(tmp_path):
    assert run_script(
        tmp_path, 'dist_train.sh', ['a b.py', '2', '--cfg-options', 'x=[1, 2]']
    ) == [
        f'{TOOLS}/launch.py',
        *split('--standalone --local-addr=127.0.0.1 --nproc-per-node=2'),
        f'{TOOLS}/train.py',
        'a b.py',
        *split('--launcher pytorch --cfg-options'),
        'x=[1, 2]',
    ]


def test_dist_train_on_a_given_port(tmp_path):
    arguments = run_script(
        tmp_path, 'dist_train.sh', ['a.py', '2'], PORT='1234'
    )
    assert arguments[1:5] == [
        '--nnodes=1',
        '--node-rank=0',
        '--master-addr=127.0.0.1',
        '--master-port=1234',
    ]


def test_dist_test_on_several_machines(tmp_path):
    assert run_script(
        tmp_path,
        'dist_test.sh',
        ['a.py', 'b.pth', '8', '--out', 'c d'],
        NNODES='2',
        NODE_RANK='1',
        PORT='1234',
        MASTER_ADDR='10.0.0.1',
    ) == [
        f'{TOOLS}/launch.py',
        *split(
            '--nnodes=2 --node-rank=1 --master-addr=10.0.0.1 '
            '--master-port=1234 --nproc-per-node=8'
        ),
        f'{TOOLS}/test.py',
        *split('a.py b.pth --launcher pytorch --out'),
        'c d',
    ]


def test_slurm_train(tmp_path):
    assert run_script(
        tmp_path,
        'slurm_train.sh',
        ['part', 'job', 'a.py', '--amp'],
        GPUS='16',
        GPUS_PER_NODE='8',
        SRUN_ARGS='-w node1 --quiet',
    ) == [
        *split(
            '--partition=part --job-name=job --gres=gpu:8 '
            '--ntasks=16 --ntasks-per-node=8 --cpus-per-task=5 '
            '--kill-on-bad-exit=1 -w node1 --quiet'
        ),
        str(tmp_path / 'srun'),
        '-u',
        f'{TOOLS}/train.py',
        *split('a.py --launcher slurm --amp'),
    ]


def test_slurm_test_on_few_gpus(tmp_path):
    assert run_script(
        tmp_path,
        'slurm_test.sh',
        ['part', 'job', 'a.py', 'b.pth'],
        GPUS='1',
        CPUS_PER_TASK='2',
    ) == [
        *split(
            '--partition=part --job-name=job --gres=gpu:1 --ntasks=1 '
            '--ntasks-per-node=1 --cpus-per-task=2 '
            '--kill-on-bad-exit=1'
        ),
        str(tmp_path / 'srun'),
        '-u',
        f'{TOOLS}/test.py',
        *split('a.py b.pth --launcher slurm'),
    ]


@pytest.mark.parametrize(
    'name, arguments',
    [
        ('dist_train.sh', ['a.py']),
        ('dist_test.sh', ['a.py', 'b.pth']),
        ('slurm_train.sh', ['part', 'job']),
        ('slurm_test.sh', ['part', 'job', 'a.py']),
    ],
)
def test_scripts_explain_themselves(name, arguments):
    result = subprocess.run(
        ['bash', TOOLS / name, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')
