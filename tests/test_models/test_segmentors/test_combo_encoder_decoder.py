import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmcpm.models.layers.maskige_gate import MaskigeGate


@pytest.fixture
def model(combo_cfg):
    """A model with a maskige branch."""
    torch.manual_seed(0)
    combo_cfg.maskige_backbone = combo_cfg.backbone
    return MODELS.build(combo_cfg).eval()


@pytest.fixture
def batch(make_batch):
    """A batch of clips of two frames with maskiges."""
    torch.manual_seed(1)
    batch = make_batch(batch_size=4)
    for place, sample in enumerate(batch['data_samples']):
        sample.maskige = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
        sample.set_metainfo(
            dict(clip_length=2, uid=str(place // 2), frame_index=place % 2)
        )
    return batch


def run(model, batch, mode):
    data = model.data_preprocessor(batch, mode == 'loss')
    return model(**data, mode=mode)


def test_gate_is_squeeze_and_excitation():
    torch.manual_seed(0)
    gate = MaskigeGate(32)
    image, maskige = torch.randn(2, 32, 3, 4), torch.randn(2, 32, 3, 4)
    first, _, second, _ = gate.gate
    assert first.out_features == 2
    squeezed = maskige.mean((2, 3)) @ first.weight.T + first.bias
    excited = squeezed.clamp(min=0) @ second.weight.T + second.bias
    weight = 1 / (1 + torch.exp(-excited))
    expected = image + weight[:, :, None, None] * maskige
    torch.testing.assert_close(gate(image, maskige), expected)


def test_losses_of_clips_and_predictions(model, batch):
    model.train()
    losses = run(model, batch, 'loss')
    assert losses['decode.loss_frame'] > 0
    model.eval()
    with torch.no_grad():
        results = run(model, batch, 'predict')
    assert results[0].seg_logits.data.shape == (9, 64, 64)
    assert not {'maskige', 'audio'} & set(results[0].keys())


def test_maskiges_are_normalized_as_the_frames_are(model, batch):
    """The same picture in both places."""
    for image, sample in zip(
        batch['inputs'], batch['data_samples'], strict=True
    ):
        sample.maskige = image
    data = model.data_preprocessor(batch, False)
    maskiges = model.stack_maskiges(data['inputs'], data['data_samples'])
    torch.testing.assert_close(maskiges, data['inputs'])


def test_smaller_maskiges_are_padded_with_the_mean(model, batch):
    sample = batch['data_samples'][0]
    sample.maskige = sample.maskige[:, :40, :50]
    data = model.data_preprocessor(batch, False)
    first = model.stack_maskiges(data['inputs'], data['data_samples'])[0]
    assert not first[:, 40:].any() and not first[:, :, 50:].any()
    assert first[:, :40, :50].any()
    sample.maskige = torch.zeros(3, 80, 64, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r'\(3, 80, 64\).*64 x 64'):
        run(model, batch, 'predict')


def test_maskige_changes_the_scores(model, batch):
    with torch.no_grad():
        one = run(model, batch, 'tensor')[1][-1]
        batch['data_samples'][0].maskige.fill_(0)
        other = run(model, batch, 'tensor')[1][-1]
    assert (one[0] - other[0]).abs().max() > 1e-4
    torch.testing.assert_close(one[1:], other[1:], rtol=1e-4, atol=1e-4)


def test_missing_maskige_is_explained(model, make_batch):
    with pytest.raises(KeyError, match='LoadMaskige and PackMaskigeInputs'):
        run(model, make_batch(), 'predict')


def test_windows_share_the_sound_and_cut_the_maskige(model, batch):
    model.test_cfg = Config(
        dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    )
    with torch.no_grad():
        slid = run(model, batch, 'predict')[0].seg_logits.data
        model.test_cfg = Config(dict(mode='whole'))
        whole = run(model, batch, 'predict')[0].seg_logits.data
    torch.testing.assert_close(slid, whole)


def test_off_without_a_second_backbone(combo_cfg, make_batch):
    model = MODELS.build(combo_cfg).eval()
    assert not any('maskige' in name for name in model.state_dict())
    with torch.no_grad():
        (result, _) = run(model, make_batch(), 'predict')
    assert result.pred_sem_seg.data.shape == (1, 64, 64)
