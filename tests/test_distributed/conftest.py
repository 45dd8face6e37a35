"""Trainings and tests on two ranks; no GPU is needed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


# A hang is a failure, not a wait.
PATIENCE = 180


MODEL = """
_base_ = [{config!r}]
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        base_channels=8, stem_channels=8, norm_cfg=dict(type='SyncBN')
    ),
    audio_backbone=dict(base_channels=4),
    audio_neck=dict(in_channels=[8, 16, 32]),
    decode_head=dict(
        in_channels=[8, 16, 32, 64],
        num_queries=4,
        pixel_decoder=dict(encoder=dict(num_layers=1)),
        transformer_decoder=dict(num_layers=1),
        train_cfg=dict(num_points=64),
    ),
)
"""


# Mixtures are to learn within a handful of steps.
MIXTURES = """
model['decode_head']['classifier'] = dict(em_interval=2)
"""


CONFIG = """
_base_ = ['cpm.py']
custom_imports = dict(
    imports=['mmcpm', 'rank_report'], allow_failed_imports=False
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(data_root={data!r}, indices=8),
)
# An odd number of frames: no rank may score one twice.
val_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root={data!r}, indices=5)
)
test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(data_root={data!r}, indices=5, split='val'),
)
train_cfg = dict(max_epochs=2)
default_hooks = dict(report=dict(type='RankReportHook'))
"""


# Every rank saves what it holds; one of them may be killed.
RANK_REPORT = """
import os
import signal

import mmengine.config.config
import mmengine.runner.runner
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

# Listing compilers and beautifying the configuration would take most time.
mmengine.config.config.FormatCode = lambda text, **kwargs: (text, True)
mmengine.runner.runner.collect_env = dict


@HOOKS.register_module()
class RankReportHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        moment = f'rank {get_rank()} iteration {runner.iter + 1}'
        if os.environ.get('KILL_AT') == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train(self, runner):
        state = {
            'weights': runner.model.module.state_dict(),
            'iterations': runner.iter,
            'samples': list(runner.train_dataloader.sampler),
        }
        torch.save(state, f'{runner.work_dir}/rank_{get_rank()}.state')
"""


def run(command, expected=0, **environment):
    """Run a command; the whole group dies if it takes too long."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            'PYTHON': sys.executable,
            'PYTHONWARNINGS': 'ignore',
            'OMP_NUM_THREADS': '1',
            **environment,
        },
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        # torchrun ends its ranks, which are in groups of their own and would
        # keep the pipe open.
        process.terminate()
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output = 'and it does not end'
        pytest.fail(f'still running after {PATIENCE} s:\n{output}')
    if expected is not None:
        assert process.returncode == expected, output
    return output


class Ranks:
    """Trains and tests on two ranks by the users' scripts.

    Args:
        folder (Path): With ``config.py``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}'}
        self.config = folder / 'config.py'

    def run(self, command, expected=0):
        return run(command, expected, **self.environment)

    def train(self, work_dir, *arguments, expected=0, **environment):
        return run(
            [
                ROOT / 'tools/dist_train.sh',
                self.config,
                2,
                '--work-dir',
                work_dir,
                *arguments,
            ],
            expected,
            **self.environment,
            **environment,
        )


@pytest.fixture(scope='session')
def ranks(tmp_path_factory):
    from mmcpm.dataset_converters.sounding_scenes.writer import (
        write_sounding_scenes,
    )

    folder = tmp_path_factory.mktemp('ranks')
    data = folder / 'scenes'
    write_sounding_scenes(data, size=64, clips=(2, 1, 1), workers=0)
    for name in ('avmask2former', 'cpm'):
        config = ROOT / f'configs/{name}/{name}_r18_scenes.py'
        text = MODEL.format(config=str(config))
        if name == 'cpm':
            text += MIXTURES
        (folder / f'{name}.py').write_text(text)
    (folder / 'config.py').write_text(CONFIG.format(data=str(data)))
    (folder / 'rank_report.py').write_text(RANK_REPORT)
    return Ranks(folder)
