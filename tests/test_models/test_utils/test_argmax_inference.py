import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmcpm.models.utils.semantic_inference import argmax_inference
from mmcpm.structures import AudioFeatures


def test_pixels_belong_to_one_query_by_hand():
    # Two objects and one query that is none, two classes, two pixels.
    probability = torch.tensor(
        [[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.0, 0.4, 0.6]]]
    )
    mask = torch.tensor([[[[0.9, 0.2]], [[0.5, 0.8]], [[0.99, 0.99]]]])
    scores = argmax_inference(probability.log(), mask.logit(), (1, 2))
    torch.testing.assert_close(
        scores[0, :, 0], torch.tensor([[0.63, 0.14], [0.3, 0.48]])
    )
    assert scores.argmax(1).tolist() == [[[0, 1]]]


@pytest.mark.parametrize('size', [(12, 20), (7, 9)])
def test_argmax_inference_by_loops(size):
    generator = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(2, 8, 5, generator=generator)
    logits = torch.randn(2, 8, 6, 10, generator=generator)
    merged = argmax_inference(scores, logits, size)
    masks = F.interpolate(logits, size, mode='bilinear').sigmoid()
    probability, best = scores.softmax(-1).max(-1)
    expected = torch.zeros(2, 4, *size)
    for image in range(2):
        for query in range(8):
            k = int(best[image, query])
            if k < 4:
                score = probability[image, query] * masks[image, query]
                expected[image, k] = expected[image, k].maximum(score)
    assert (best == 4).any() and (best < 4).any()
    torch.testing.assert_close(merged, expected)


def test_no_object_at_all_is_background():
    scores = torch.zeros(1, 3, 5)
    scores[..., -1] = 5.0
    merged = argmax_inference(scores, torch.randn(1, 3, 4, 4), (8, 8))
    assert (merged == 0).all()
    assert (merged.max(1).indices == 0).all()


def test_head_takes_the_inference_mode(tiny_cfg):
    heads = {}
    for mode in ('semantic', 'argmax'):
        cfg = copy.deepcopy(tiny_cfg.decode_head)
        cfg['inference_mode'] = mode
        torch.manual_seed(0)
        heads[mode] = MODELS.build(cfg)
    image = [
        torch.randn(1, c, 64 // s, 64 // s)
        for c, s in ((32, 4), (64, 8), (128, 16), (256, 32))
    ]
    audio = AudioFeatures(
        [torch.randn(1, 64, t, f) for t, f in ((6, 16), (12, 32), (24, 64))]
    )
    results = [
        head.predict(image, head.encode_audio(audio), (16, 16)).scores
        for head in heads.values()
    ]
    assert results[0].shape == results[1].shape
    assert not torch.allclose(*results)
    cfg['inference_mode'] = 'mean'
    with pytest.raises(ValueError, match='mean'):
        MODELS.build(cfg)
