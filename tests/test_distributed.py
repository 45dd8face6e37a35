"""Several ranks train and evaluate as one would; no GPU is needed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
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

# Takes steps on two ranks and writes what their gradients have in common.
STEPS = '''
import copy
import json
import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.modules.batchnorm import _BatchNorm

from mmcpm.compat import leave_launcher, prepare_launcher
from mmcpm.engine.hooks import GradientShareHook
from mmcpm.models.utils.mixing import sounds_of_others

prepare_launcher('pytorch')
RANK = dist.get_rank()
init_default_scope('mmseg')


def build(config):
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    prepare_launcher('pytorch', cfg)
    model = MODELS.build(cfg.model)
    model.init_weights()
    # Batch statistics of one frame are not those of two.
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    return model


def batch(classes, rank):
    """Two frames; None stands for a label map to ignore."""
    torch.manual_seed(rank)
    inputs, data_samples = [], []
    for shift in range(2):
        label = torch.full((1, 64, 64), 255 if classes is None else 0)
        for slot, class_id in enumerate(classes or ()):
            area = slice(30 * slot + shift, 30 * slot + 20)
            label[:, area, :40] = class_id
        data_sample = SegDataSample(metainfo=dict(
            img_shape=(64, 64),
            audio_labels=tuple(classes or ()),
        ))
        data_sample.gt_sem_seg = PixelData(data=label)
        data_sample.audio = 0.1 * torch.randn(1, 16000)
        data_samples.append(data_sample)
        inputs.append(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=data_samples)


def step(model, classes_of_ranks):
    """One forward and backward pass of this rank."""
    module = getattr(model, 'module', model)
    module.zero_grad()
    parts = [batch(classes, rank) for rank, classes in classes_of_ranks]
    raw = {key: sum((part[key] for part in parts), []) for key in parts[0]}
    data = module.data_preprocessor(raw, True)
    torch.manual_seed(100 + RANK)
    losses = model(**data, mode='loss')
    total, _ = module.parse_losses(losses)
    total.backward()
    missing = [n for n, p in module.named_parameters() if p.grad is None]
    assert not missing, missing
    gradient = torch.cat([p.grad.flatten() for p in module.parameters()])
    losses = {
        name: float(value) for name, value in losses.items() if 'loss' in name
    }
    return gradient, losses


def everyones(tensor):
    parts = [torch.empty_like(tensor) for _ in range(2)]
    dist.all_gather(parts, tensor.contiguous())
    return parts


def different(model):
    """Names of what a checkpoint holds, but statistics of the batches."""
    return [
        name
        for name, value in model.state_dict().items()
        if not torch.equal(*everyones(value.detach().to(torch.float64)))
        and 'running_' not in name
    ]


def share(losses):
    """Means over the ranks."""
    values = torch.tensor(list(losses.values()), dtype=torch.float64)
    dist.all_reduce(values)
    return dict(zip(losses, (values / 2).tolist()))


def far(one, other):
    return float((one - other).abs().max() / other.abs().max())


def same_points(*size, rand=torch.rand, **kwargs):
    """Random points that are the same for every mask."""
    size = tuple(size[0]) if len(size) == 1 else size
    state = torch.get_rng_state()
    torch.manual_seed(sum(size[1:]))
    drawn = rand(1, *size[1:], **kwargs).expand(size).clone()
    torch.set_rng_state(state)
    return drawn


CASES = {
    'equal': [(1, 3), (2, 5)],
    'no foreground': [(1, 3), ()],
    'ignored': [(1, 3), None],
    'all ignored': [None, None],
}
results = {}
for name, config in (('base', sys.argv[1]), ('cpm', sys.argv[2])):
    local = build(config)
    wrapped = MMDistributedDataParallel(
        copy.deepcopy(local), device_ids=None, broadcast_buffers=False
    )
    for case, classes in CASES.items():
        mine = [(RANK, classes[RANK])]
        gradients = everyones(step(local, mine)[0])
        gradient, losses = step(wrapped, mine)
        results[f'{name}, {case}'] = dict(
            finite=bool(gradient.isfinite().all()),
            nonzero=bool(gradient.any()),
            ranks_agree=torch.equal(*everyones(gradient)),
            is_mean=torch.equal(gradient, (gradients[0] + gradients[1]) / 2),
            different=different(wrapped),
        )
        if name == 'base':
            torch.rand, rand = same_points, torch.rand
            gradient, losses = step(wrapped, mine)
            together, losses_together = step(local, list(enumerate(classes)))
            torch.rand = rand
            results[f'{name}, {case}'].update(
                far=far(gradient, together),
                losses=share(losses),
                losses_together=losses_together,
            )
    if name == 'cpm':
        mixtures = wrapped.module.decode_head.cls_embed
        results['mixtures'] = dict(
            updates=int(mixtures.num_updates.sum()),
            members=int(mixtures.count.sum()),
        )
# A frozen audio decoder has no shares of the gradient to tell.
local.decode_head.audio_query_decoder.requires_grad_(False)
frozen = MMDistributedDataParallel(
    local, device_ids=None, broadcast_buffers=False
)
gradients, state = [], copy.deepcopy(local.state_dict())
for watched in (False, True):
    torch.manual_seed(0)
    local.load_state_dict(state)
    runner = SimpleNamespace(model=local, iter=1, logger=None)
    GradientShareHook(interval=int(watched)).before_train_iter(runner, 1)
    local.zero_grad()
    data = local.data_preprocessor(batch((1, 3), RANK), True)
    total, logged = local.parse_losses(frozen(**data, mode='loss'))
    total.backward()
    gradients.append(torch.cat([
        p.grad.flatten() for p in local.parameters() if p.requires_grad
    ]))
results['frozen audio'] = dict(
    unchanged=torch.equal(*gradients),
    shares=[name for name in logged if 'gradient' in name],
)

# One frame on the first rank, two of one clip on the second: partners come
# from the other rank.
sounds = sounds_of_others(
    torch.full((1 + RANK, 1, 2, 3), 5.0 + RANK),
    torch.zeros(1 + RANK, 2, dtype=torch.bool),
    [dict(uid=f'clip {RANK}')] * (1 + RANK),
)
sounds = torch.stack([sounds.amin(), sounds.amax()])
results['partners'] = torch.stack(everyones(sounds)).tolist()
if RANK == 0:
    print('RESULTS', json.dumps(results), flush=True)
del local, wrapped
leave_launcher()
'''


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


@pytest.fixture(scope='module')
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
    (folder / 'steps.py').write_text(STEPS)
    (folder / 'rank_report.py').write_text(RANK_REPORT)
    return Ranks(folder)


@pytest.fixture(scope='module')
def trained(ranks):
    """Work dir of an uninterrupted training on two ranks, and its output."""
    work_dir = ranks.folder / 'whole'
    return work_dir, ranks.train(work_dir)


def test_ranks_hold_the_same_model(trained):
    work_dir, output = trained
    first, second = (
        torch.load(work_dir / f'rank_{rank}.state') for rank in range(2)
    )
    assert first['iterations'] == second['iterations'] == 4
    assert not set(first['samples']) & set(second['samples'])
    assert len(first['samples']) == len(second['samples']) == 4
    saved = torch.load(work_dir / 'epoch_2.pth')['state_dict']
    assert first['weights'].keys() == second['weights'].keys() == saved.keys()
    for name, weight in saved.items():
        assert torch.equal(first['weights'][name], weight), name
        assert torch.equal(second['weights'][name], weight), name
    # Once, not by both.
    assert output.count('SyncBN needs CUDA') == 1
    assert output.count('Saving checkpoint at 2 epochs') == 1


def test_killed_rank_ends_the_run_and_resuming_is_exact(trained, ranks):
    whole, _ = trained
    work_dir = ranks.folder / 'parts'
    output = ranks.train(work_dir, expected=1, KILL_AT='rank 1 iteration 4')
    assert 'Rank 1 was ended by SIGKILL' in output
    assert not (work_dir / 'epoch_2.pth').exists()
    ranks.train(work_dir, '--resume')
    for name in ('epoch_2.pth', 'rank_0.state', 'rank_1.state'):
        one, other = torch.load(work_dir / name), torch.load(whole / name)
        for key in {'state_dict', 'optimizer', 'weights'} & one.keys():
            assert_same(one[key], other[key])


def assert_same(one, other):
    """Nested states are equal, tensors bit by bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def test_scores_are_those_of_one_rank(trained, ranks):
    """To the last bit, with a number of frames that two do not divide."""
    work_dir, output = trained
    best = next(work_dir.glob('best_*.pth'))
    scores = {}
    for name, tool in (
        ('two', [ROOT / 'tools/dist_test.sh', ranks.config, best, 2]),
        ('one', [sys.executable, ROOT / 'tools/test.py', ranks.config, best]),
    ):
        file = ranks.folder / f'{name}.json'
        arguments = ['--scores', file, '--work-dir', ranks.folder / name]
        log = run([*tool, *arguments], **ranks.environment)
        assert 'over 5 frames' in log
        scores[name] = json.loads(file.read_text())['metrics']
    assert scores['two'] == scores['one']
    # The validation of the training saw the weights that were saved.
    epoch = best.stem[-1]
    lines = [line for line in output.split('\n') if f'(val) [{epoch}]' in line]
    shown = f'dataset/mIoU: {scores["one"]["dataset/mIoU"]:.4f}'
    assert shown in lines[-1]


def test_one_rank_cannot_continue_two(trained, ranks, tmp_path):
    """Its epochs would be twice as long."""
    work_dir, _ = trained
    output = run(
        [
            sys.executable,
            ROOT / 'tools/train.py',
            ranks.config,
            '--work-dir',
            tmp_path,
            '--resume',
            work_dir / 'epoch_1.pth',
        ],
        expected=2,
        **ranks.environment,
    )
    message = output.rsplit('train.py: error: ', 1)[-1]
    assert '2 per epoch' in message
    assert '4 per epoch (batch 2 on 1 process(es))' in message
    assert 'Traceback' not in output


def test_fault_of_all_ranks_is_told_once(ranks, tmp_path):
    output = ranks.train(tmp_path, '--data-root', 'nowhere', expected=2)
    assert output.count('error: --data-root is not a folder') == 1
    assert 'Traceback' not in output


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_scripts_show_their_usage(script):
    output = run([ROOT / 'tools' / script, 'config.py'], expected=2)
    assert output.startswith('usage:') and 'GPUS' in output


@pytest.fixture(scope='module')
def steps(ranks):
    """What the ranks have in common after steps on various frames."""
    output = run(
        [
            sys.executable,
            *('-m', 'torch.distributed.run', '--standalone'),
            *('--local-addr=127.0.0.1', '--nproc-per-node=2'),
            ranks.folder / 'steps.py',
            ranks.folder / 'avmask2former.py',
            ranks.folder / 'cpm.py',
        ],
        **ranks.environment,
    )
    line = next(x for x in output.split('\n') if x.startswith('RESULTS '))
    return json.loads(line.removeprefix('RESULTS '))


@pytest.mark.parametrize('model', ['base', 'cpm'])
@pytest.mark.parametrize(
    'case', ['equal', 'no foreground', 'ignored', 'all ignored']
)
def test_gradients_are_the_means_of_the_ranks(steps, model, case):
    """None is missing, none waits for a rank that has nothing to learn."""
    result = steps[f'{model}, {case}']
    assert result['finite'] and result['nonzero']
    assert result['ranks_agree'] and result['is_mean']
    assert result['different'] == []


def test_a_frozen_audio_decoder_is_watched(steps):
    assert steps['frozen audio'] == dict(unchanged=True, shares=[])


def test_partners_come_from_the_other_rank(steps):
    assert steps['partners'] == [[6, 6], [5, 5]]


def test_mixtures_have_learned_from_both_ranks(steps):
    """All 4 queries of 2 frames on 2 ranks in 4 steps.

    Mixtures and bank are among what is not "different" after each case.
    """
    assert steps['mixtures']['updates'] > 0
    assert steps['mixtures']['members'] == 2 * 2 * 4 * 4


def test_two_ranks_are_one_with_twice_the_frames(steps):
    """As long as no normalizer is the average of unequal ones.

    Masks are divided by their number over all ranks. The class loss is
    averaged on each rank: with unequal numbers of classes, the mean of two
    averages is not the average of all.
    """
    result = steps['base, equal']
    assert result['far'] < 1e-4
    assert result['losses'] == pytest.approx(
        result['losses_together'], rel=1e-4
    )
    result = steps['base, no foreground']
    for name, value in result['losses_together'].items():
        if 'cls' not in name:
            assert result['losses'][name] == pytest.approx(value, rel=1e-4)
    assert result['losses']['decode.loss_cls'] != pytest.approx(
        result['losses_together']['decode.loss_cls'], rel=1e-4
    )
