"""Trainings killed at any moment reach the weights of uninterrupted ones."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from mmcpm.engine.checkpoint_files import find_newest_whole_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.fixture(scope='module')
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


@pytest.fixture(scope='module')
def whole(trainings):
    """Work dir of an uninterrupted training."""
    code, output = trainings.run(trainings.folder / 'whole')
    assert code == 0, output
    return trainings.folder / 'whole'


def checkpoints(work_dir):
    return sorted(
        path.name for path in Path(work_dir).iterdir() if 'pth' in path.name
    )


def assert_same(one, other):
    """Nested states are equal, tensors bit by bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def assert_same_training(work_dir, reference):
    """Both folders hold the same checkpoints with the same states."""
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
                for key, value in state['message_hub']['runtime_info'].items()
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


KILLS = [
    # moment, newest whole checkpoint after it, best checkpoints after it
    ('epoch 1 iteration 2', None, []),
    ('epoch 2 iteration 2', 'epoch_1.pth', [1]),
    ('half of epoch_2.pth', 'epoch_1.pth', [1]),
    ('validation 2', 'epoch_2.pth', [1]),
    ('half of best_dataset_mIoU_epoch_2.pth', 'epoch_2.pth', [1]),
    ('before removing best_dataset_mIoU_epoch_1.pth', 'epoch_2.pth', [1, 2]),
    ('before removing epoch_1.pth', 'epoch_3.pth', [2]),
    ('validation 3', 'epoch_3.pth', [2]),
]


def test_killed_at_every_moment(trainings, whole, tmp_path):
    """One training, killed and resumed eight times."""
    for moment, newest, best in KILLS:
        code, output = trainings.run(tmp_path, '--resume', KILL_AT=moment)
        assert code == -signal.SIGKILL, (moment, output)
        found = find_newest_whole_checkpoint(str(tmp_path))
        assert (found and Path(found).name) == newest, moment
        assert [
            name for name in checkpoints(tmp_path) if name.startswith('best')
        ] == [f'best_dataset_mIoU_epoch_{epoch}.pth' for epoch in best], moment
    assert 'Epoch 2 was not validated' not in output
    code, output = trainings.run(tmp_path, '--resume')
    assert code == 0, output
    assert 'Epoch 3 was not validated before the interruption' in output
    assert 'Nothing is left to train' in output
    assert_same_training(tmp_path, whole)


def test_killed_at_random_moments(trainings, tmp_path):
    """CPM with workers, random frames, augmentation and averaged weights.

    Here another process kills, and it may come at any moment at all.
    """
    reference = trainings.folder / 'whole_augmented'
    scores = '0.3 0.1 0.2'
    code, output = trainings.run(reference, config='augmented', SCORES=scores)
    assert code == 0, output
    state = torch.load(reference / 'epoch_3.pth')
    assert 'ema_state_dict' in state
    # The mixtures have members, and have been fitted.
    assert any(
        name.endswith('cls_embed.bank') and value.any()
        for name, value in state['state_dict'].items()
    )
    assert checkpoints(reference)[0] == 'best_dataset_mIoU_epoch_1.pth'

    moments = random.Random()
    kills = ['epoch 2 iteration 3', 'half of epoch_2.pth', 'random', 'random']
    for moment in kills:
        code, output = trainings.run(
            tmp_path,
            '--resume',
            config='augmented',
            SCORES=scores,
            KILL_AT=moment,
            kill_after=moments.uniform(1, 4) if moment == 'random' else None,
        )
        assert code in (0, -signal.SIGKILL), (moment, output)
    code, output = trainings.run(
        tmp_path, '--resume', config='augmented', SCORES=scores
    )
    assert code == 0, output
    assert_same_training(tmp_path, reference)


def test_killed_where_there_are_no_epochs(trainings, tmp_path):
    """All hooks work, and the same weights are reached."""
    reference = trainings.folder / 'whole_iterations'
    code, output = trainings.run(reference, config='iterations')
    assert code == 0, output
    assert 'Iteration 8: stability_score' in output
    assert 'EpochSeedHook' not in output.rsplit('Checkpoints will be')[-1]
    state = torch.load(reference / 'iter_8.pth')
    averages, weights = state['ema_state_dict'], state['state_dict']
    mixtures = 'decode_head.cls_embed.'
    assert int(weights[f'{mixtures}num_steps']) == 8
    for name in ('num_steps', 'count', 'bank', 'mean', 'log_weight'):
        name = mixtures + name
        assert torch.equal(averages[f'module.{name}'], weights[name])
    code, output = trainings.run(
        tmp_path, config='iterations', KILL_AT='epoch 1 iteration 6'
    )
    assert code == -signal.SIGKILL, output
    code, output = trainings.run(tmp_path, '--resume', config='iterations')
    assert code == 0, output
    assert_same_training(tmp_path, reference)


def test_damaged_newest_checkpoint(trainings, whole, tmp_path):
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    newest = work_dir / 'epoch_3.pth'
    newest.write_bytes(newest.read_bytes()[:-1000])
    code, output = trainings.run(work_dir, '--resume')
    assert code == 0, output
    assert 'epoch_3.pth is damaged (truncated or altered)' in output
    assert 'goes on from epoch 2' in output
    assert_same_training(work_dir, whole)


def test_changed_learning_rate_is_told_and_has_no_effect(
    trainings, whole, tmp_path
):
    """Optimizer and schedule go on as they were."""
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    (work_dir / 'epoch_3.pth').unlink()
    code, output = trainings.run(
        work_dir,
        '--resume',
        '--cfg-options',
        'optim_wrapper.optimizer.lr=0.5',
        'train_dataloader.prefetch_factor=None',
    )
    assert code == 0, output
    assert (
        'The configuration is not that of the checkpoint:\n'
        '  optim_wrapper.optimizer.lr: 0.001 -> 0.5\n' in output
    )
    assert 'have no effect' in output
    assert_same_training(work_dir, whole)


def test_finished_training(trainings, whole, tmp_path):
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    before = {
        name: (work_dir / name).read_bytes() for name in checkpoints(whole)
    }
    code, output = trainings.run(work_dir, '--resume')
    assert code == 0, output
    assert 'The training was finished: 3 of 3 epochs' in output
    assert 'is not that of the checkpoint' not in output
    assert 'Traceback' not in output
    assert before == {
        name: (work_dir / name).read_bytes() for name in checkpoints(work_dir)
    }


def test_resumed_seed_is_that_of_the_first_part(trainings, tmp_path):
    """The command that resumes need not repeat --seed."""
    reference, work_dir = tmp_path / 'whole', tmp_path / 'parts'
    last = ('--cfg-options', 'train_cfg.max_epochs=2')
    code, output = trainings.run(reference, '--seed', 7, *last)
    assert code == 0, output
    code, output = trainings.run(
        work_dir, '--seed', 7, *last, KILL_AT='epoch 2 iteration 1'
    )
    assert code == -signal.SIGKILL, output
    code, output = trainings.run(work_dir, '--resume', *last)
    assert code == 0, output
    assert_same_training(work_dir, reference)


def test_resuming_needs_no_pretrained_weights(trainings, whole, tmp_path):
    """The checkpoint has them all."""
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    code, output = trainings.run(work_dir, '--resume', config='pretrained')
    assert code == 0, output
    assert_same_training(work_dir, whole)
    code, output = trainings.run(tmp_path / 'new', config='pretrained')
    assert code == 2, output
    assert 'The pretrained weights of backbone could not be read' in output
    assert 'gone.pth' in output


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (
            ['train_dataloader.batch_size=3'],
            ['3 per epoch', '2 per epoch (batch 3 on 1', 'load_from='],
        ),
        (['model.decode_head.num_queries=5'], ['does not fit the model']),
    ],
)
def test_another_configuration_is_refused(
    trainings, whole, tmp_path, options, expected
):
    code, output = trainings.run(
        tmp_path,
        '--resume',
        whole / 'epoch_2.pth',
        '--cfg-options',
        *options,
    )
    assert code == 2, output
    assert 'train.py: error: ' in output
    for text in expected:
        assert text in output.rsplit('error: ')[-1]
    assert 'Traceback' not in output
    assert not checkpoints(tmp_path)
