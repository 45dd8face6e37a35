"""Every shipped config builds and takes a step, in a fresh interpreter that
was started outside the repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)

SCRIPT = """
import json, logging, sys, warnings
warnings.simplefilter('ignore')
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

outcome, stepped = {}, {}
# Every weight's learning rate is no news.
MMLogger.get_instance('quiet', log_level='ERROR')
for name in sys.argv[2:]:
    torch.manual_seed(0)
    cfg = Config.fromfile(f'{sys.argv[1]}/configs/{name}')
    from mmcpm.apis.unused_settings import check_files
    check_files(cfg)
    schedule = dict(
        ends=[cfg.param_scheduler[-1].end,
              cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters],
        batches=[cfg.auto_scale_lr.base_batch_size,
                 cfg.train_dataloader.batch_size],
        imports=cfg.custom_imports['imports'])
    if cfg.model.decode_head.num_classes == 'auto':
        cfg.model.decode_head.num_classes = 4
    # What follows needs nothing but what the config imports.
    from mmseg.registry import HOOKS, MODELS, VISUALIZERS
    from mmseg.structures import SegDataSample
    from mmengine.optim import build_optim_wrapper
    init_default_scope(cfg.default_scope)
    for hook in (*cfg.default_hooks.values(), *cfg.custom_hooks):
        HOOKS.build(hook)
    # No weights are fetched here, frames are smaller, and sounds shorter.
    cfg.model.backbone.init_cfg = None
    if 'drop_path_rate' in cfg.model.backbone:
        # Of two frames it may drop both; and of PVTv2-b5's 52 blocks, four
        # do.
        cfg.model.backbone.drop_path_rate = 0.0
        if 'num_layers' in cfg.model.backbone:
            cfg.model.backbone.num_layers = [1, 1, 1, 1]
    cfg.model.audio_backbone.init_cfg = None
    if cfg.model.get('maskige_backbone'):
        cfg.model.maskige_backbone = cfg.model.backbone
    if cfg.model.audio_backbone.get('with_embedding'):
        # It takes spectrograms of one size only.
        cfg.model.audio_backbone.fc_channels = 64
    else:
        cfg.model.audio_frontend.num_frames = 32
    head_cfg = cfg.model.decode_head
    if 'num_points' in (head_cfg.get('train_cfg') or {}):
        head_cfg.train_cfg.num_points = 784
    if 'max_views' in (head_cfg.get('loss_contrast') or {}):
        head_cfg.loss_contrast.max_views = 64
    size = min(64, cfg.model.data_preprocessor.size[0])
    cfg.model.data_preprocessor.size = (size, size)
    if cfg.model.get('sound_bank'):
        frontend = MODELS.build(cfg.model.audio_frontend)
        cfg.model.sound_bank.samples = frontend.min_samples
    # Configs of one model and optimizer, for other data, take the same step.
    key = json.dumps([cfg.model.to_dict(), cfg.optim_wrapper.to_dict()],
                     sort_keys=True)
    if key in stepped:
        outcome[name] = {**outcome[stepped[key]], **schedule}
        continue
    stepped[key] = name
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    head = model.decode_head
    last = cfg.model.decode_head.num_classes - 1
    data_samples = []
    # Two frames of other classes (if there are two) and clips, so that each
    # can be the other's sound from off the screen.
    for clip, sounding in enumerate((last, 1)):
        sample = SegDataSample()
        label = torch.zeros(1, size, size, dtype=torch.long)
        label[:, :size // 2] = sounding
        sample.gt_sem_seg = PixelData(data=label)
        sample.audio = 0.1 * torch.randn(
            cfg.model.audio_backbone.get('in_channels', 1),
            model.audio_frontend.min_samples)
        if cfg.model.get('maskige_backbone'):
            sample.maskige = torch.randint(
                0, 256, (3, size, size), dtype=torch.uint8)
        sample.set_metainfo(dict(
            sample_id=f'{clip}/0', uid=str(clip), audio_labels=(sounding,)))
        if cfg.train_dataloader.dataset.get('type') == 'ClipDataset':
            # Models of clips get one of two frames.
            sample.set_metainfo(dict(
                uid='0', frame_index=clip, clip_length=2))
        data_samples.append(sample)
    inputs = [
        torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
        for _ in range(2)
    ]
    data = dict(inputs=inputs, data_samples=data_samples)
    mixtures = getattr(head, 'mixtures', None)
    if mixtures is not None:
        # Prompts are drawn from the first step on.
        known = torch.tensor(sorted({0, 1, last})).repeat(mixtures.min_members)
        centers = torch.randn(last + 1, mixtures.embed_dims)
        for part in known.split(20):
            noise = 0.5 * torch.randn(len(part), mixtures.embed_dims)
            mixtures.enqueue(centers[part] + noise, part)
        mixtures.update()
    for parameter in model.parameters():
        # What begins with zeros would hide what comes before it.
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    before = {k: p.detach().clone() for k, p in trained.items()}
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    total, logs = model.parse_losses(losses)
    total.backward()
    unused = [k for k, p in trained.items() if p.grad is None]
    untaught = [
        k for k, p in trained.items()
        if p.grad is not None and not p.grad.any()]
    wrapper.step()
    changed = sum(not torch.equal(before[k], p) for k, p in trained.items())
    outcome[name] = dict(
        wanted=[k for k, v in head_cfg.items()
                if k.startswith('loss_') and v],
        losses={k: float(v) for k, v in logs.items() if 'loss' in k},
        unused=unused, untaught=untaught, changed=changed / len(before),
        **schedule)
# mmcpm came first, and is no hindrance.
import mmdet.models, mmseg.apis
assert MODELS.get('AVEncoderDecoder') and MODELS.get('mmdet.DiceLoss')
print(json.dumps(outcome))
"""


@pytest.fixture(scope='module')
def outcome(tmp_path_factory):
    """What a fresh interpreter says of every config."""
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, str(ROOT), *LEAVES],
        cwd=tmp_path_factory.mktemp('elsewhere'),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_there_are_configs():
    assert 'avmask2former/avmask2former_r50_avss.py' in LEAVES


@pytest.mark.parametrize('name', LEAVES)
def test_config_builds_and_takes_a_step(outcome, name):
    """Every loss of it says something, to every parameter."""
    result = outcome[name]
    losses = result['losses']
    assert losses['loss'] < 1e4
    assert [k for k, v in losses.items() if not v > 0] == []
    assert result['wanted']
    for part in result['wanted']:
        assert any(f'decode.{part}' in k for k in losses), part
    assert not result['unused']
    assert result['untaught'] == []
    assert result['changed'] > 0.9


@pytest.mark.parametrize('name', LEAVES)
def test_leaf_is_short(name):
    """Leaves state differences."""
    lines = (ROOT / 'configs' / name).read_text().splitlines()
    assert len(lines) <= 30


@pytest.mark.parametrize('name', LEAVES)
def test_schedule_covers_the_training(outcome, name):
    result = outcome[name]
    assert len({*result['ends']}) == len({*result['batches']}) == 1
    assert result['imports'] == ['mmcpm']
