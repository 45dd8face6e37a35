import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmseg.registry import MODELS

from mmcpm.models.utils.windows import window_starts


def run(model, batch, mode):
    data = model.data_preprocessor(batch, mode == 'loss')
    return model(**data, mode=mode)


def test_loss_reaches_every_parameter(tiny_model, make_batch):
    losses = run(tiny_model, make_batch(), 'loss')
    assert all(name.startswith('decode.') for name in losses)
    total, _ = tiny_model.parse_losses(losses)
    total.backward()
    unused = [n for n, p in tiny_model.named_parameters() if p.grad is None]
    assert not unused


def test_predictions(tiny_model, make_batch):
    tiny_model.eval()
    batch = make_batch()
    with torch.no_grad():
        results = run(tiny_model, batch, 'predict')
    for result in results:
        assert result.pred_sem_seg.data.shape == (1, 64, 64)
        assert result.seg_logits.data.shape == (9, 64, 64)
        assert 'audio' not in result
    # The caller's data keep their audio.
    assert all('audio' in sample for sample in batch['data_samples'])


def test_original_size_is_restored(tiny_model, make_batch):
    """A padded, resized frame comes back at its own size."""
    tiny_model.eval()
    batch = make_batch(size=48)
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(ori_shape=(33, 21)))
    with torch.no_grad():
        results = run(tiny_model, batch, 'predict')
    assert results[0].pred_sem_seg.data.shape == (1, 33, 21)


def test_audio_changes_the_prediction(tiny_model, make_batch):
    tiny_model.eval()
    batch = make_batch()
    silent = copy.deepcopy(batch)
    for sample in silent['data_samples']:
        sample.audio = torch.zeros_like(sample.audio)
    with torch.no_grad():
        first = run(tiny_model, batch, 'predict')
        second = run(tiny_model, silent, 'predict')
    difference = first[0].seg_logits.data - second[0].seg_logits.data
    assert difference.abs().max() > 1e-4


def test_no_data_samples_is_silence(tiny_model, make_batch):
    tiny_model.eval()
    batch = make_batch()
    for sample in batch['data_samples']:
        sample.audio = torch.zeros_like(sample.audio)
    with torch.no_grad():
        data = tiny_model.data_preprocessor(batch, False)
        expected = tiny_model(**data, mode='predict')
        results = tiny_model(data['inputs'], mode='predict')
    torch.testing.assert_close(
        results[1].pred_sem_seg.data, expected[1].pred_sem_seg.data
    )


def test_tensor_mode(tiny_model, make_batch):
    classes, masks = run(tiny_model, make_batch(), 'tensor')
    assert classes[-1].shape == (2, 20, 10)
    assert masks[-1].shape == (2, 20, 16, 16)


def test_sliding_windows(tiny_model, make_batch):
    """Overlapping windows are averaged; the audio is encoded once."""
    tiny_model.eval()
    calls = []
    encode = tiny_model.extract_audio
    tiny_model.extract_audio = lambda wave: calls.append(1) or encode(wave)
    tiny_model.test_cfg = ConfigDict(
        mode='slide', crop_size=(64, 64), stride=(32, 32)
    )
    batch = make_batch(size=96)
    with torch.no_grad():
        results = run(tiny_model, batch, 'predict')
        data = tiny_model.data_preprocessor(batch, False)
        query = tiny_model.decode_head.encode_audio(
            encode(
                tiny_model.stack_audio(data['inputs'], data['data_samples'])
            )
        )
        windows = {}
        for top in (0, 32):
            for left in (0, 32):
                crop = data['inputs'][..., top : top + 64, left : left + 64]
                windows[top, left] = tiny_model.whole_inference(
                    crop, query
                ).scores
    assert calls == [1]
    # Pixel (40, 50) lies in all four windows, (10, 90) in one.
    center = (
        sum(
            windows[top, left][0, :, 40 - top, 50 - left]
            for top, left in windows
        )
        / 4
    )
    torch.testing.assert_close(results[0].seg_logits.data[:, 40, 50], center)
    torch.testing.assert_close(
        results[0].seg_logits.data[:, 10, 90], windows[0, 32][0, :, 10, 58]
    )


@given(st.integers(1, 200), st.integers(1, 60), st.integers(1, 60))
def test_windows_cover_the_line(length, window, stride):
    stride = min(stride, window)
    starts = window_starts(length, window, stride)
    assert starts[0] == 0 and starts[-1] == max(length - window, 0)
    assert all(0 < b - a <= stride for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize('mode', ['loss', 'predict', 'tensor'])
def test_levels_are_attended_to_from_coarse_to_fine(
    tiny_model, make_batch, marked_levels, mode
):
    """The neck gives them from fine to coarse."""
    batch = make_batch()
    waveform = torch.stack([s.audio for s in batch['data_samples']])
    sizes = marked_levels(tiny_model, waveform)
    levels = []
    decoder = tiny_model.decode_head.audio_query_decoder
    decoder.register_forward_pre_hook(
        lambda module, args: levels.append(args[2])
    )
    with torch.no_grad():
        run(tiny_model, batch, mode)
    assert [level.shape[-2:] for level in levels[0]] == list(sizes[::-1])
    assert [level.unique().tolist() for level in levels[0]] == [[3], [2], [1]]


def test_missing_audio_is_explained(tiny_model, make_batch):
    batch = make_batch()
    del batch['data_samples'][1].audio
    with pytest.raises(KeyError, match='clip/1.jpg.*LoadAudioFromFile'):
        run(tiny_model, batch, 'loss')


def test_different_durations_are_explained(tiny_model, make_batch):
    batch = make_batch()
    batch['data_samples'][1].audio = torch.zeros(1, 17000)
    with pytest.raises(ValueError, match='one shape.*CutAudioToFrame'):
        run(tiny_model, batch, 'loss')


def test_missing_pretrained_weights_name_part_and_remedy(tiny_cfg):
    tiny_cfg.audio_backbone.init_cfg = dict(
        type='Pretrained', checkpoint='nowhere/vggish.pth'
    )
    model = MODELS.build(tiny_cfg)
    with pytest.raises(RuntimeError) as raised:
        model.init_weights()
    for part in (
        'audio_backbone',
        'nowhere/vggish.pth',
        'model.audio_backbone.init_cfg.checkpoint=FILE',
        'model.audio_backbone.init_cfg=None',
    ):
        assert part in str(raised.value)


def test_local_pretrained_weights_are_used(tiny_cfg, tmp_path):
    torch.manual_seed(3)
    donor = MODELS.build(copy.deepcopy(tiny_cfg)).audio_backbone
    path = tmp_path / 'audio.pth'
    torch.save(donor.state_dict(), path)
    tiny_cfg.audio_backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(path)
    )
    torch.manual_seed(4)
    model = MODELS.build(tiny_cfg)
    model.init_weights()
    torch.testing.assert_close(
        model.audio_backbone.features[0].weight, donor.features[0].weight
    )


def test_a_head_of_images_alone_is_refused(tiny_cfg):
    tiny_cfg.decode_head = dict(
        type='FCNHead', in_channels=64, channels=8, num_classes=3
    )
    with pytest.raises(TypeError, match='FCNHead .* no audio-visual head'):
        MODELS.build(tiny_cfg)


@pytest.mark.parametrize('mode', ['loss', 'predict', 'tensor'])
def test_the_head_learns_of_clips(tiny_model, make_batch, mode):
    """Two frames of one clip, the second of which only fills it up."""
    batch = make_batch()
    for index, sample in enumerate(batch['data_samples']):
        sample.set_metainfo(
            dict(clip_length=2, frame_valid=index == 0, frame_index=index)
        )
    seen = []
    head = tiny_model.decode_head
    encode_audio, loss = head.encode_audio, head.loss
    if mode == 'loss':
        # Frames that fill a clip up leave the head's own steps.
        head.loss = lambda image, audio, samples: (
            seen.append(audio) or loss(image, audio, samples)
        )
    else:
        head.encode_audio = lambda audio: (
            seen.append(audio) or encode_audio(audio)
        )
    run(tiny_model, batch, mode)
    assert seen[0].clip_length == 2
    assert seen[0].valid.tolist() == [True, False]
    batch['data_samples'].reverse()
    with pytest.raises(ValueError, match=r'has the frames \[1, 0\]'):
        run(tiny_model, batch, mode)
