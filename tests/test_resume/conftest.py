"""Trainings that are killed at given moments, and what they are made of."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


# A hang is a failure, not a wait.
PATIENCE = 120


CONFIG = """
_base_ = [{config!r}]
custom_imports = dict(
    imports=['mmcpm', 'killing'], allow_failed_imports=False
)
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(base_channels=8, stem_channels=8),
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
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(data_root={data!r}, indices=6),
)
val_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root={data!r}, indices=2)
)
val_evaluator = dict(_delete_=True, type='GivenScores')
default_hooks = dict(killer=dict(type='KillerHook'))
train_cfg = dict(max_epochs=3)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=3)
]
"""


# The whole CPM with one random frame of each clip, every augmentation, and
# averaged weights.
AUGMENTED = """
_base_ = ['cpm.py']
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        frame_sampling='random',
        pipeline=[
            dict(type='LoadFrameFromFile'),
            dict(type='LoadAudioFromFile'),
            dict(type='CutAudioToFrame'),
            dict(type='LoadAVSAnnotations'),
            dict(type='RecordSoundingClasses'),
            dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
            dict(type='RandomCrop', crop_size=(48, 48), cat_max_ratio=0.9),
            dict(type='RandomFlip', prob=0.5),
            dict(type='SwapStereoOnFlip'),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackAVSInputs'),
        ],
    ),
)
model = dict(
    data_preprocessor=dict(size=(48, 48)),
    decode_head=dict(classifier=dict(em_interval=2, min_members=1)),
)
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook')]
"""


# The same without epochs, the averages over the buffers as well.
ITERATIONS = """
_base_ = ['augmented.py']
train_dataloader = dict(
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True)
)
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=8, val_interval=4
)
param_scheduler = [dict(type='PolyLR', power=0.9, end=8, by_epoch=False)]
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=2),
)
log_processor = dict(by_epoch=False)
custom_hooks = [
    *_base_.custom_hooks[:-1], dict(type='EMAHook', update_buffers=True)
]
"""


# Starts from a weight file that is gone.
PRETRAINED = """
_base_ = ['plain.py']
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True, type='Pretrained', checkpoint='gone.pth'
        )
    )
)
"""


# Kills its own process at a moment given by the environment.
KILLING = '''
import os
import signal

from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, METRICS

from mmcpm.engine.checkpoint_files import AtomicLocalBackend, LateRemoval
from mmcpm.utils import io


def reach(moment):
    if os.environ.get('KILL_AT') == moment:
        os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class KillerHook(Hook):
    epoch = 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        reach(f'epoch {runner.epoch + 1} iteration {batch_idx + 1}')

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        KillerHook.epoch = runner.epoch
        reach(f'validation {runner.epoch}')


@METRICS.register_module()
class GivenScores(BaseMetric):
    """The score of an epoch is given by the environment."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        scores = os.environ.get('SCORES', '0.1 0.2 0.3').split()
        return {'dataset/mIoU': float(scores[KillerHook.epoch - 1])}


class HalfWritten:
    """A file that kills the process when half of it is on disk."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        self.name = self.file.__enter__().name
        return self

    def __exit__(self, *args):
        return self.file.__exit__(*args)

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def half_open(path, mode, open=open):
    file = open(path, mode)
    stem, _, rest = os.path.basename(path).strip('.').partition(io.PARTIAL)
    name = stem + os.path.splitext(rest)[1]
    if os.environ.get('KILL_AT') == f'half of {name}':
        return HalfWritten(file)
    return file


def flush(self, keep, flush=LateRemoval.flush):
    for path in self.pending:
        reach(f'before removing {os.path.basename(path)}')
    flush(self, keep)


io.open = half_open
LateRemoval.flush = flush
'''


# Imports once, then runs tools/train.py in a process of its own per line.
# Listing compilers and beautifying the configuration would take most time.
SERVER = """
import contextlib
import json
import os
import runpy
import sys

import mmcpm.apis.train_and_test
import mmengine.config.config
import mmengine.runner.runner

with contextlib.suppress(ImportError):
    import torchvision

mmengine.config.config.FormatCode = lambda text, **kwargs: (text, True)
mmengine.runner.runner.collect_env = dict

for line in sys.stdin:
    task = json.loads(line)
    process = os.fork()
    if not process:
        os.setsid()
        log = os.open(task['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(task['environment'])
        sys.argv = task['command']
        code = 0
        try:
            runpy.run_path(sys.argv[0], run_name='__main__')
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)
    print(process, flush=True)
    _, status = os.waitpid(process, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def kill_group(process: int) -> None:
    """Kill a process and its data-loading workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


class Trainings:
    """Runs tools/train.py in processes that may be killed.

    Args:
        folder (Path): With the configurations.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}',
                'OMP_NUM_THREADS': '1',
            },
        )

    def run(
        self, work_dir, *arguments, config='plain', kill_after=None, **env
    ):
        """Train.

        Returns:
            tuple[int, str]: Exit code (-9 after SIGKILL) and output.
        """
        log = self.folder / 'output.log'
        log.unlink(missing_ok=True)
        command = [
            str(ROOT / 'tools/train.py'),
            str(self.folder / f'{config}.py'),
            '--work-dir',
            str(work_dir),
            *map(str, arguments),
        ]
        task = dict(command=command, log=str(log), environment=env)
        print(json.dumps(task), file=self.server.stdin, flush=True)
        process = int(self.server.stdout.readline())
        seconds = PATIENCE if kill_after is None else kill_after
        killer = threading.Timer(seconds, kill_group, [process])
        killer.start()
        code = int(self.server.stdout.readline())
        killer.cancel()
        return code, log.read_text()

    def close(self) -> None:
        """End the server."""
        self.server.kill()
        self.server.communicate()


@pytest.fixture(scope='session')
def trainings(tmp_path_factory):
    from mmcpm.dataset_converters.sounding_scenes.writer import (
        write_sounding_scenes,
    )

    folder = tmp_path_factory.mktemp('trainings')
    data = folder / 'scenes'
    write_sounding_scenes(data, size=64, clips=(6, 1, 1), workers=0)
    for name, file in (('plain', 'avmask2former'), ('cpm', 'cpm')):
        config = ROOT / f'configs/{file}/{file}_r18_scenes.py'
        (folder / f'{name}.py').write_text(
            CONFIG.format(config=str(config), data=str(data))
        )
    (folder / 'augmented.py').write_text(AUGMENTED)
    (folder / 'iterations.py').write_text(ITERATIONS)
    (folder / 'pretrained.py').write_text(PRETRAINED)
    (folder / 'killing.py').write_text(KILLING)
    trainings = Trainings(folder)
    yield trainings
    trainings.close()


@pytest.fixture(scope='session')
def whole(trainings):
    """Work dir of an uninterrupted training."""
    code, output = trainings.run(trainings.folder / 'whole')
    assert code == 0, output
    return trainings.folder / 'whole'


@pytest.fixture(scope='session')
def checkpoints():
    """The function that names the checkpoints of a folder."""
    return lambda work_dir: sorted(
        path.name for path in Path(work_dir).iterdir() if 'pth' in path.name
    )


@pytest.fixture
def assert_same_training(assert_same, checkpoints):
    """Checks that two folders hold the same checkpoints and states."""

    def check(work_dir, reference):
        assert checkpoints(work_dir) == checkpoints(reference)
        for name in checkpoints(reference):
            one = torch.load(Path(work_dir, name))
            other = torch.load(Path(reference, name))
            assert one.keys() == other.keys()
            for key in one.keys() - {'meta', 'message_hub'}:
                assert_same(one[key], other[key])
            for key in ('epoch', 'iter', 'seed', 'validated'):
                assert one['meta'][key] == other['meta'][key]
            infos = [
                {
                    key: value
                    for key, value in state['message_hub'][
                        'runtime_info'
                    ].items()
                    if key in ('best_score', 'keep_ckpt_ids')
                }
                for state in (one, other)
            ]
            assert infos[0] == infos[1]
            losses = [
                state['message_hub']['log_scalars']['train/loss']._log_history
                for state in (one, other)
            ]
            assert losses[0].tolist() == losses[1].tolist()

    return check
