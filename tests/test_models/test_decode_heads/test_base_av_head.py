"""What does not keep the contract is refused, with the place to look at."""

import pytest
import torch
import torch.nn as nn
from mmseg.registry import MODELS

from mmcpm.models import BaseAVHead
from mmcpm.structures import AVPrediction

CLASSES = 9


@MODELS.register_module(force=True)
class FlatHead(BaseAVHead):
    """Predicts one score everywhere; attributes say what is wrong."""

    result = 'right'

    def __init__(self, result='right'):
        super().__init__(CLASSES)
        self.result = result
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def loss(self, image_features, audio, data_samples):
        total = self.bias.sum()
        return {
            'right': {'loss_ce': total},
            'no loss': {'accuracy': total},
            'a tensor': total,
        }[self.result]

    def predict(self, image_features, encoded_audio, size):
        batch = len(image_features[0])
        if self.result == 'size':
            size = (size[0] // 4, size[1] // 4)
        classes = CLASSES - 1 if self.result == 'classes' else CLASSES
        scores = self.bias.new_zeros(batch, classes, *size)
        return scores if self.result == 'tensor' else AVPrediction(scores)


@MODELS.register_module(force=True)
class NoPredictHead(BaseAVHead):
    def loss(self, image_features, audio, data_samples):
        return {}


@MODELS.register_module(force=True)
class OldPredictHead(FlatHead):
    def predict(self, image_features, metas):
        return None


@MODELS.register_module(force=True)
class DeafHead(nn.Module):
    num_classes = out_channels = CLASSES
    align_corners = False


@pytest.fixture
def make(tiny_cfg):
    def build(**head):
        tiny_cfg.decode_head = head
        return MODELS.build(tiny_cfg)

    return build


def run(model, batch, mode):
    data = model.data_preprocessor(batch, mode == 'loss')
    return model(**data, mode=mode)


def test_a_head_that_keeps_the_contract(make, make_batch):
    model = make(type='FlatHead').eval()
    assert set(run(model, make_batch(), 'loss')) == {'decode.loss_ce'}
    (first, _) = run(model, make_batch(), 'predict')
    assert first.seg_logits.data.shape == (CLASSES, 64, 64)
    # Nothing but the segmentation: the head has no queries.
    assert set(first.keys()) == {'gt_sem_seg', 'seg_logits', 'pred_sem_seg'}
    scores = run(model, make_batch(), 'tensor')
    assert scores.shape == (2, CLASSES, 16, 16)


@pytest.mark.parametrize(
    ('head', 'reason'),
    [
        (dict(type='NoPredictHead', num_classes=9), r'abstract.*predict'),
        (
            dict(type='OldPredictHead'),
            r'test_base_av.*predict\(image_fea',
        ),
        (dict(type='DeafHead'), r'DeafHead.*test_base_av.*BaseAVHead.*loss\('),
    ],
    ids=('no predict', 'another signature', 'another kind'),
)
def test_refused_when_built(make, head, reason):
    with pytest.raises(TypeError, match=reason):
        make(**head)


@pytest.mark.parametrize(
    ('result', 'error', 'reason'),
    [
        ('size', ValueError, r'\(2, 9, 64, 64\).*\(2, 9, 16, 16\)'),
        ('classes', ValueError, r'\(2, 9, 64, 64\).*\(2, 8, 64, 64\)'),
        ('tensor', TypeError, 'must return an AVPrediction.*Tensor'),
    ],
)
@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_predictions_of_another_kind(
    make, make_batch, result, error, reason, mode
):
    model = make(type='FlatHead', result=result)
    size = 64 if mode == 'whole' else 96
    if mode == 'slide':
        model.test_cfg.update(
            mode='slide', crop_size=(64, 64), stride=(32, 32)
        )
    with pytest.raises(error, match=reason) as raised:
        run(model, make_batch(size=size), 'predict')
    assert f'FlatHead.predict ({__file__})' in str(raised.value)


@pytest.mark.parametrize(
    ('result', 'reason'),
    [('no loss', r"names \['accuracy'\]"), ('a tensor', 'returned a Tensor')],
)
def test_losses_of_another_kind(make, make_batch, result, reason):
    model = make(type='FlatHead', result=result)
    with pytest.raises(TypeError, match=reason) as raised:
        run(model, make_batch(), 'loss')
    assert f'FlatHead.loss ({__file__})' in str(raised.value)


@pytest.mark.parametrize(
    ('changes', 'channels'),
    [(dict(out_indices=(2, 3)), [64, 128]), (dict(base_channels=8), [16, 32])],
)
def test_levels_that_the_neck_does_not_expect(
    tiny_cfg, make_batch, changes, channels
):
    tiny_cfg.audio_backbone.update(changes)
    model = MODELS.build(tiny_cfg)
    with pytest.raises(ValueError) as raised:
        run(model, make_batch(), 'loss')
    for part in (
        'audio_neck has in_channels=[32, 64, 128]',
        'vggish.py',
        f'in_channels=[{str(channels)[1:-1]}',
        'shapes (2, ',
        'out_indices',
    ):
        assert part in str(raised.value)


class Embedding(nn.Module):
    """A backbone that gives levels, and their mean as an embedding."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, spectrogram):
        levels = self.backbone(spectrogram)
        return levels, levels[-1].mean((2, 3))


@pytest.mark.parametrize('neck', [True, False])
def test_levels_and_embedding(tiny_model, make_batch, neck):
    tiny_model.eval()
    tiny_model.audio_backbone = Embedding(tiny_model.audio_backbone)
    if not neck:
        tiny_model.audio_neck = None
    waveform = torch.stack([s.audio for s in make_batch()['data_samples']])
    audio = tiny_model.extract_audio(waveform)
    widths = [64] * 3 if neck else [128, 64, 32]
    assert [level.shape[1] for level in audio.levels] == widths
    # Coarse to fine.
    heights = [level.shape[2] for level in audio.levels]
    assert heights == sorted(heights)
    assert audio.embedding.shape == (2, 128)


def test_embeddings_of_the_clean_sounds_alone(cpm_cfg, make_batch):
    """Whether mixtures are encoded in a call of their own or not."""
    model = MODELS.build(cpm_cfg)
    model.audio_backbone = Embedding(model.audio_backbone)
    batch = make_batch(labels=(1,))
    batch['data_samples'][1].set_metainfo(dict(audio_labels=(2,)))
    waveform = torch.stack([s.audio for s in batch['data_samples']])
    for training in (False, True):
        model.train(training)
        expected = model.extract_audio(waveform).embedding
        audio = model.extract_training_audio(waveform, batch['data_samples'])
        assert audio.mixture.mixed.all()
        torch.testing.assert_close(audio.embedding, expected)


def test_a_segmentor_without_mixtures_is_told_apart(cpm_cfg, make_batch):
    """Configs from before CPMEncoderDecoder: they predict, but not train."""
    cpm_cfg.type = 'AVEncoderDecoder'
    model = MODELS.build(cpm_cfg).eval()
    assert len(run(model, make_batch(), 'predict')) == 2
    with pytest.raises(ValueError, match="model.type='CPMEncoderDecoder'"):
        run(model, make_batch(), 'loss')
