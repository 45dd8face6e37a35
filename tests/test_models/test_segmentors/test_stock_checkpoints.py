"""Weights of a stock Mask2Former load into the visual part of the models.

From mmseg's EncoderDecoder the names are the same; from mmdet's detectors
``panoptic_head.`` becomes ``decode_head.``. Weights of another number of
classes stay behind, which is the classification layer only.
"""

import copy

import pytest
import torch
from mmdet.models.detectors import Mask2Former
from mmengine.config import ConfigDict
from mmengine.runner.checkpoint import load_checkpoint
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS

from mmcpm.structures import AudioFeatures

MINE = ('audio_query_decoder', 'no_object_weight')
CPM = (
    'classifier',
    'prompts',
    'loss_vcp',
    'loss_acp',
    'loss_pcl',
    'cpm_weight',
    'label_source',
    'acp_embedding',
)
CLASS_LAYER = {'decode_head.cls_embed.weight', 'decode_head.cls_embed.bias'}
# What a stock model cannot have.
AUDIO = ('audio_', 'decode_head.audio_', 'decode_head.prompts.')


def visual_head(cfg, num_classes):
    """Arguments of a stock head with the sizes of ours."""
    cfg = copy.deepcopy(cfg.decode_head)
    for name in (*MINE, *CPM, 'type', 'num_classes'):
        cfg.pop(name, None)
    cfg.loss_cls.class_weight = [1.0] * num_classes + [0.1]
    cfg.pixel_decoder.type = 'mmdet.MSDeformAttnPixelDecoder'
    cfg.train_cfg.assigner.type = 'mmdet.HungarianAssigner'
    return cfg


def from_mmseg(cfg, num_classes):
    torch.manual_seed(1)
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=cfg.backbone,
            decode_head=dict(
                type='Mask2FormerHead',
                num_classes=num_classes,
                **visual_head(cfg, num_classes),
            ),
            test_cfg=dict(mode='whole'),
        )
    )
    assert type(model) is EncoderDecoder
    return model


def from_mmdet(cfg, num_classes):
    head = visual_head(cfg, num_classes)
    for name in ('align_corners', 'ignore_index'):
        head.pop(name, None)
    torch.manual_seed(1)
    model = MODELS.build(
        ConfigDict(
            type='mmdet.Mask2Former',
            backbone=cfg.backbone,
            panoptic_head=dict(
                head,
                type='mmdet.Mask2FormerHead',
                num_things_classes=num_classes - 1,
                num_stuff_classes=1,
            ),
            panoptic_fusion_head=dict(
                type='mmdet.MaskFormerFusionHead',
                num_things_classes=num_classes - 1,
                num_stuff_classes=1,
            ),
        )
    )
    assert type(model) is Mask2Former
    return model


# How to build them, and what to call their weights.
SOURCES = {
    'mmseg': (from_mmseg, []),
    'mmdet': (from_mmdet, [(r'^panoptic_head\.', 'decode_head.')]),
}


def load(stock, model, rename, path):
    """Load as ``load_from`` does; return the stock weights by our names."""
    torch.save(dict(state_dict=stock.state_dict(), meta={}), path)
    load_checkpoint(model, str(path), 'cpu', revise_keys=rename)
    return {
        name.replace('panoptic_head.', 'decode_head.'): value
        for name, value in stock.state_dict().items()
    }


@pytest.mark.parametrize('source', SOURCES)
@pytest.mark.parametrize('num_classes', [9, 133])
def test_all_that_is_visual_loads(tiny_cfg, tmp_path, source, num_classes):
    build, rename = SOURCES[source]
    stock = build(tiny_cfg, num_classes)
    torch.manual_seed(0)
    model = MODELS.build(tiny_cfg)
    before = copy.deepcopy(model.state_dict())
    theirs = load(stock, model, rename, tmp_path / 'stock.pth')
    after = model.state_dict()
    assert set(theirs) <= set(after)
    fits = num_classes == 9
    for name, value in after.items():
        if name in theirs and (fits or name not in CLASS_LAYER):
            assert torch.equal(value, theirs[name]), name
        else:
            assert name.startswith(AUDIO) or name in CLASS_LAYER, name
            assert torch.equal(value, before[name]), name


@pytest.mark.parametrize('source', SOURCES)
def test_mixtures_take_the_place_of_the_class_layer(cpm_cfg, tmp_path, source):
    build, rename = SOURCES[source]
    stock = build(cpm_cfg, 9)
    model = MODELS.build(cpm_cfg)
    theirs = load(stock, model, rename, tmp_path / 'stock.pth')
    after = model.state_dict()
    assert set(theirs) - set(after) == CLASS_LAYER
    mixtures = ('decode_head.cls_embed.', 'decode_head.loss_pcl.')
    for name, value in after.items():
        if name in theirs:
            assert torch.equal(value, theirs[name]), name
        else:
            assert name.startswith((*AUDIO, *mixtures)), name


def test_loaded_it_sees_what_the_stock_model_sees(tiny_cfg, tmp_path):
    """As long as it is deaf."""
    stock = from_mmseg(tiny_cfg, 9).eval()
    model = MODELS.build(tiny_cfg).eval()
    load(stock, model, [], tmp_path / 'stock.pth')
    head = model.decode_head
    head.audio_query_decoder.forward = lambda query, *args: query
    image = torch.randn(2, 3, 64, 64)
    metas = [dict(img_shape=(64, 64), batch_input_shape=(64, 64))] * 2
    with torch.no_grad():
        expected = stock.encode_decode(image, metas)
        silence = AudioFeatures([torch.zeros(2, 64, 2, 2)] * 3)
        query = head.encode_audio(silence)
        actual = head.predict(model.extract_feat(image), query, (64, 64))
    actual = actual.scores
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
