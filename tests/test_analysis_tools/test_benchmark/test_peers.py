from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS, TRANSFORMS

from mmcpm.analysis_tools.benchmark.peers import (
    prepare,
    stock_model,
    stock_pipeline,
)
from mmcpm.utils.config_types import type_name

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/cpm'


@pytest.mark.parametrize(
    'name', ['cpm_base_r18_scenes.py', 'cpm_r18_scenes.py']
)
def test_stock_model_has_the_same_sizes(mmseg_scope, name):
    cfg = Config.fromfile(CONFIGS / name)
    model_cfg = prepare(cfg, (64, 64), 'cpu')
    ours = MODELS.build(model_cfg)
    stock = MODELS.build(stock_model(model_cfg))
    assert type(stock) is EncoderDecoder
    assert type(stock.decode_head) is Mask2FormerHead
    # All that stock Mask2Former has is in ours, under the same names, but
    # for the classifier that a mixture model replaces.
    sizes = {k: v.shape for k, v in ours.named_parameters()}
    for parameter, value in stock.named_parameters():
        if 'cls_embed' not in parameter:
            assert sizes[parameter] == value.shape
    head = stock.decode_head
    assert head.num_points == cfg.model.decode_head.train_cfg.num_points
    assert head.loss_cls.class_weight == [1.0] * 9 + [0.1]
    # The configuration itself is left alone.
    assert cfg.model.decode_head.pixel_decoder.type == 'DeformablePixelDecoder'


def test_other_heads_have_no_stock_model():
    with pytest.raises(ValueError, match='FCNHead has no pixel_decoder'):
        stock_model(dict(decode_head=dict(type='FCNHead')))


@pytest.mark.parametrize('form', ['name', 'class', 'address'])
def test_stock_pipeline_keeps_the_augmentation(form):
    pipeline = [
        dict(type='LoadFrameFromFile'),
        dict(type='LoadAudioFromFile'),
        dict(type='CutAudioToFrame'),
        dict(type='LoadAVSAnnotations'),
        dict(type='RecordSoundingClasses'),
        dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackAVSInputs'),
    ]
    for step in pipeline:
        cls = TRANSFORMS.get(step['type'])
        if form == 'class':
            step['type'] = cls
        elif form == 'address':
            step['type'] = f'{cls.__module__}.{cls.__name__}'
    stock = stock_pipeline(pipeline)
    assert [type_name(step, TRANSFORMS) for step in stock] == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomRescale',
        'RandomFlip',
        'PackSegInputs',
    ]
    assert stock[2]['ratio_range'] == (0.5, 2.0)


def test_stock_pipeline_of_vpo_hears_nothing():
    pipeline = [dict(type='LoadFrameFromFile'), dict(type='LoadSoundSources')]
    assert stock_pipeline(pipeline) == [dict(type='LoadImageFromFile')]
