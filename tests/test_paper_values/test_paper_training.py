"""Data, optimizer, schedule and scores are those of the paper."""

from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.optim import build_optim_wrapper
from mmseg.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    METRICS,
    PARAM_SCHEDULERS,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Appendix A: AdamW, 1e-4, weight decay 1e-4, power 0.9, batch 16, 100 epochs.
RATE = DECAY = 1e-4
POWER, BATCH, EPOCHS = 0.9, 16, 100
# Mask2Former: a tenth for the backbones, gradients of at most 0.01 in norm, no
# decay of norms (but, as in mmseg, of the backbones') and of queries.
BACKBONE_RATE = 0.1 * RATE
CLIP = 0.01
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
QUERIES = ('query_feat', 'query_embed', 'level_embed')

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def test_every_config_of_the_paper_is_in_the_table(paper_configs):
    folders = ('avmask2former', 'cpm')
    names = {
        path.stem
        for folder in folders
        for path in (CONFIGS / folder).glob('*_r50_*.py')
    }
    # The paper does not have your data.
    assert names - {'cpm_r50_folder'} == paper_configs


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_data(config, paper, split):
    loader = config[f'{split}_dataloader']
    # Appendix A: 16 for training, 1 for testing, frame by frame.
    assert loader.batch_size == (BATCH if split == 'train' else 1)
    dataset = DATASETS.build(dict(loader.dataset, lazy_init=True))
    assert type(dataset).__name__ == paper.dataset
    assert (dataset.subset, dataset.split) == (paper.subset, split)
    assert dataset.test_mode == (split != 'train')
    # All of it: no part, none skipped, no rest of an epoch dropped.
    assert dataset._indices is None and dataset.skip_unreadable == 0
    assert not loader.get('drop_last', False)
    assert len(dataset.metainfo['classes']) == paper.classes
    if paper.sampling is None:
        # VPO has no validation split: a tenth of the training images.
        assert dataset.holdout == (0.1 if split != 'test' else dataset.holdout)
    elif split == 'train':
        assert dataset.frame_sampling == paper.sampling
    else:
        assert dataset.frame_sampling == 'all'
    sampler = DATA_SAMPLERS.build(dict(loader.sampler, dataset=range(5)))
    assert sampler.shuffle == (split == 'train')
    # No frame is scored twice.
    assert split == 'train' or not sampler.round_up


def test_optimizer(config, model):
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    assert type(wrapper).__name__ == 'OptimWrapper'  # Neither half precision
    assert wrapper._accumulative_counts == 1  # nor larger batches.
    optimizer = wrapper.optimizer
    assert type(optimizer) is torch.optim.AdamW
    found = {
        id(parameter): group
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    wrong = []
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            rate, decay = RATE, DECAY
            if prefix.startswith(('backbone.', 'audio_backbone.')):
                rate = BACKBONE_RATE
            elif isinstance(module, NORMS) or prefix.endswith(QUERIES):
                decay = 0.0
            group = found.pop(id(parameter))
            settings = group['lr'], group['weight_decay']
            if settings != pytest.approx((rate, decay)):
                wrong.append((prefix, name, settings))
            assert (group['betas'], group['eps']) == ((0.9, 0.999), 1e-8)
    assert wrong[:3] == []  # All would take a minute to be printed.
    assert len(found) == 0


def test_nothing_else_decides_on_the_weights(config):
    # The rate is that of 16 frames, however many GPUs.
    assert not config.auto_scale_lr.enable
    assert config.auto_scale_lr.base_batch_size == BATCH
    assert 'load_from' not in config or config.load_from is None
    # No hook averages, freezes or exchanges any: these only look.
    assert {hook.type for hook in config.custom_hooks} == {
        'EpochSeedHook',
        'StabilityScoreHook',
        'GradientShareHook',
        'IdleLossHook',
        'NonFiniteGuardHook',
        'SampleReportHook',
    }


def test_gradients_are_clipped(config):
    layer = nn.Linear(10, 10)
    wrapper = build_optim_wrapper(layer, config.optim_wrapper)
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    wrapper._clip_grad()
    total = sum(p.grad.square().sum() for p in layer.parameters()).sqrt()
    assert total.item() == pytest.approx(CLIP, rel=1e-3)


def test_rate_decays_with_every_iteration(config):
    assert config.train_cfg.type == 'EpochBasedTrainLoop'
    assert config.train_cfg.max_epochs == EPOCHS
    assert config.train_cfg.val_interval == 5  # CAVP's.
    (settings,) = config.param_scheduler
    parts = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [dict(params=[parts[0]]), dict(params=[parts[1]], lr=BACKBONE_RATE)],
        lr=RATE,
    )
    length = 10
    scheduler = PARAM_SCHEDULERS.build(
        settings, default_args=dict(optimizer=optimizer, epoch_length=length)
    )
    assert not scheduler.by_epoch
    total = EPOCHS * length
    for iteration in range(total):
        # mmengine's divides by total - 1.
        expected = (1 - iteration / total) ** POWER
        for group, rate in zip(
            optimizer.param_groups, (RATE, BACKBONE_RATE), strict=True
        ):
            assert group['lr'] == pytest.approx(
                rate * expected, abs=2e-3 * rate
            )
        optimizer.step()
        scheduler.step()


def test_scores(config, paper):
    """Table 1: avsbench/ and avss_legacy/; Tables 2 to 5: dataset/.

    Frames that the protocol resizes are scored under the size's name.
    """
    resized = any(
        step['type'] == 'ResizeAsOriginal'
        for step in config.test_dataloader.dataset.pipeline
    )
    for evaluator in (config.val_evaluator, config.test_evaluator):
        metrics = [METRICS.build(settings) for settings in evaluator]
        kinds = tuple(type(metric).__name__ for metric in metrics)
        assert kinds == paper.metrics
        prefixes = [metric.prefix for metric in metrics]
        assert paper.best.split('/')[0] in prefixes
        assert ('dataset_224' if resized else 'dataset') in prefixes
        # Frames that are not there are not scored.
        assert not any(getattr(m, 'include_padded', 0) for m in metrics)
    # Chosen on the validation split.
    checkpoint = HOOKS.build(config.default_hooks.checkpoint)
    assert checkpoint.save_best == [paper.best]
    assert checkpoint.rules == ['greater']
