"""What the gradients and the mixtures of two ranks have in common."""

import json
import sys

import pytest

pytestmark = pytest.mark.slow


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

from mmcpm.engine.hooks import GradientShareHook
from mmcpm.engine.launching import leave_launcher, prepare_launcher
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


@pytest.fixture(scope='module')
def steps(ranks):
    """What the ranks have in common after steps on various frames."""
    (ranks.folder / 'steps.py').write_text(STEPS)
    output = ranks.run(
        [
            sys.executable,
            *('-m', 'torch.distributed.run', '--standalone'),
            *('--local-addr=127.0.0.1', '--nproc-per-node=2'),
            ranks.folder / 'steps.py',
            ranks.folder / 'avmask2former.py',
            ranks.folder / 'cpm.py',
        ]
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
