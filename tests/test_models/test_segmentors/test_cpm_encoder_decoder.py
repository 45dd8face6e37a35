"""CPM as a whole: CPMEncoderDecoder with CPMHead, from waveform to loss."""

import copy

import pytest
import torch
import torch.nn as nn
from mmseg.registry import MODELS

from mmcpm.models.utils import mixing

CLASSES = 9


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg))
    model.decode_head.init_weights()
    return model


def teach(model):
    """Let the mixtures know every class, so that prompts are ready."""
    classifier = model.decode_head.cls_embed
    generator = torch.Generator().manual_seed(1)
    centers = torch.randn(CLASSES + 1, 64, generator=generator)
    labels = torch.arange(CLASSES + 1).repeat(10)
    noise = torch.randn(len(labels), 64, generator=generator)
    classifier.enqueue(centers[labels] + 0.5 * noise, labels)
    classifier.update()
    return model


@pytest.fixture
def model(cpm_cfg):
    return teach(build(cpm_cfg))


@pytest.fixture
def batch(make_batch):
    """Two frames of which each can be the other's off-screen sound."""
    batch = make_batch(labels=(1, 3))
    other = make_batch(labels=(2,))['data_samples'][0]
    second = batch['data_samples'][1]
    second.gt_sem_seg = other.gt_sem_seg
    second.set_metainfo(dict(audio_labels=(2,)))
    return batch


def run(model, batch, mode='loss'):
    data = model.data_preprocessor(copy.deepcopy(batch), mode == 'loss')
    return model(**data, mode=mode)


def waveforms(batch):
    return torch.stack([sample.audio for sample in batch['data_samples']])


def test_mixtures_by_hand(model, batch, monkeypatch):
    """Magnitudes add up; the ratio is clean to mixture."""
    partner, mixed = torch.tensor([1, 1]), torch.tensor([True, False])
    monkeypatch.setattr(
        mixing, 'choose_partners', lambda *args: (partner, mixed)
    )
    model.eval()
    magnitude, spectrogram = model.audio_frontend(waveforms(batch))
    mixture = magnitude.clone()
    mixture[0] += magnitude[1]
    with torch.no_grad():
        both = model.extract_mixed_audio(
            waveforms(batch), batch['data_samples']
        )
        # log(a + .01) is what the backbone is fed with.
        expected = model.encode_spectrogram((mixture + 0.01).log()).levels
        plain = model.encode_spectrogram(spectrogram).levels
    clean, audio = both.levels, both.mixture
    torch.testing.assert_close(audio.levels, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(clean, plain, rtol=1e-4, atol=1e-4)
    ratio = magnitude[0, 0] / (magnitude[0, 0] + magnitude[1, 0])
    torch.testing.assert_close(audio.ratio[0], ratio)
    assert (audio.ratio[1] == 1).all()
    assert audio.ratio.shape == (2, 96, 256)
    assert torch.equal(audio.mixed, mixed)


@pytest.mark.parametrize('one_call', [True, False])
def test_levels_of_sounds_and_mixtures(
    model, batch, marked_levels, monkeypatch, one_call
):
    """Queries and prompts take levels from coarse to fine; (5) and (7) use
    the finest level of the mixtures."""
    marked_levels(model, waveforms(batch))
    if not one_call:
        model.audio_backbone = nn.BatchNorm2d(1, affine=False)
        model.audio_backbone.forward = lambda spectrogram: spectrogram
    head, seen = model.decode_head, {}
    forward = head.audio_query_decoder.forward_with_prompts

    def spy(query, query_pos, levels, mixed_levels, *args):
        seen['sounds'], seen['mixtures'] = levels, mixed_levels
        return forward(query, query_pos, levels, mixed_levels, *args)

    monkeypatch.setattr(head.audio_query_decoder, 'forward_with_prompts', spy)
    for name, part in (
        ('acp', head.audio_mask_feature),
        ('pcl', head.loss_pcl),
    ):
        part.register_forward_pre_hook(
            lambda module, args, name=name: seen.update({name: args[:1]})
        )
    losses = run(model, batch)
    assert losses['decode.loss_acp'] > 0
    values = {
        name: [level.unique().tolist() for level in levels]
        for name, levels in seen.items()
    }
    assert values == {
        'sounds': [[3], [2], [1]],
        'mixtures': [[13], [12], [11]],
        'acp': [[11]],
        'pcl': [[11]],
    }


def test_partners_know_the_classes(model, batch, monkeypatch):
    calls = []
    choose = mixing.choose_partners
    monkeypatch.setattr(
        mixing,
        'choose_partners',
        lambda *args: calls.append(args[0]) or choose(*args),
    )
    run(model, batch)
    expected = torch.zeros(2, CLASSES).bool()
    expected[0, [1, 3]] = expected[1, 2] = True
    assert torch.equal(calls[0], expected)


def test_recordings_from_elsewhere_are_mixed_in(model, batch):
    for sample, level in zip(batch['data_samples'], (0.2, 0), strict=True):
        sample.offscreen_audio = level * torch.randn(1, 16000)
    recorded = torch.stack(
        [sample.offscreen_audio for sample in batch['data_samples']]
    )
    magnitude, _ = model.audio_frontend(waveforms(batch))
    noise, _ = model.audio_frontend(recorded)
    audio = model.extract_mixed_audio(
        waveforms(batch), batch['data_samples']
    ).mixture
    torch.testing.assert_close(
        audio.ratio, (magnitude / (magnitude + noise))[:, 0]
    )
    assert audio.mixed.tolist() == [True, False]
    # It is for training: predictions do not carry it.
    model.eval()
    with torch.no_grad():
        results = run(model, batch, 'predict')
    assert not any('offscreen_audio' in result for result in results)


def test_some_samples_have_recordings(model, batch):
    """The others are mixed with one another, as if there were none."""
    noise = 0.2 * torch.randn(1, 16000)
    batch['data_samples'][1].offscreen_audio = noise
    magnitude, _ = model.audio_frontend(waveforms(batch))
    recorded, _ = model.audio_frontend(noise[None])
    audio = model.extract_mixed_audio(
        waveforms(batch), batch['data_samples']
    ).mixture
    expected = magnitude + torch.stack([magnitude[1], recorded[0]])
    torch.testing.assert_close(audio.magnitude, expected)
    assert audio.mixed.all()


@pytest.mark.parametrize('known', ['name', 'clip', 'nothing'])
def test_two_classes_do_not_tell_who_sounds(cpm_cfg, make_batch, known):
    """As in S4 and MS3, where class 1 sounds in every frame."""
    cpm_cfg.decode_head.num_classes = 2
    model = build(cpm_cfg)
    batch = make_batch(batch_size=3, labels=(1,))
    names = ('dog', 'cat', 'dog'), ('a', 'b', 'a')
    for sample, name, clip in zip(batch['data_samples'], *names, strict=True):
        if known == 'name':
            sample.set_metainfo(dict(sound_sources=(name,)))
        if known == 'clip':
            sample.set_metainfo(dict(uid=clip))
    magnitude, _ = model.audio_frontend(waveforms(batch))
    audio = model.extract_mixed_audio(
        waveforms(batch), batch['data_samples']
    ).mixture
    assert audio.mixed.all()
    if known != 'nothing':
        # The second may have either of the others.
        assert torch.equal(audio.magnitude[0], magnitude[0] + magnitude[1])
        assert torch.equal(audio.magnitude[2], magnitude[2] + magnitude[1])


@pytest.mark.parametrize('norm', ['backbone', 'neck', 'both', 'none'])
def test_mixtures_leave_no_trace_in_clean_features(cpm_cfg, batch, norm):
    """In training, whatever normalizes by statistics of its batch."""
    kind = dict(type='BN')
    cpm_cfg.audio_backbone.norm_cfg = (
        kind if norm in ('backbone', 'both') else None
    )
    cpm_cfg.audio_neck.norm_cfg = kind if norm in ('neck', 'both') else None
    model = build(cpm_cfg)
    twin = copy.deepcopy(model)
    plain = twin.extract_audio(waveforms(batch)).levels
    clean = model.extract_mixed_audio(
        waveforms(batch), batch['data_samples']
    ).levels
    exactly = dict(rtol=0, atol=0 if norm != 'none' else 1e-5)
    torch.testing.assert_close(clean, plain, **exactly)
    # Running statistics took one step, that of the clean sounds.
    counted = 0
    for name, value in model.state_dict().items():
        if name.startswith(('audio_backbone', 'audio_neck')):
            assert torch.equal(value, twin.state_dict()[name]), name
            if name.endswith('num_batches_tracked'):
                counted += 1
                assert value == 1
    assert (counted > 0) == (norm != 'none')


@pytest.mark.parametrize('training', [True, False])
def test_one_call_suffices_without_batch_statistics(model, batch, training):
    sizes = []
    model.audio_backbone.register_forward_pre_hook(
        lambda module, args: sizes.append(len(args[0]))
    )
    model.train(training)
    model.extract_mixed_audio(waveforms(batch), batch['data_samples'])
    assert sizes == ([2, 2] if training else [4])


@pytest.mark.parametrize(
    'case', ['normal', 'silent', 'ignored', 'alone', 'not disjoint']
)
def test_every_parameter_gets_a_gradient(model, batch, make_batch, case):
    if case == 'silent':
        batch = make_batch(labels=())
        for sample in batch['data_samples']:
            sample.audio = torch.zeros(1, 16000)
    elif case == 'ignored':
        for sample in batch['data_samples']:
            sample.gt_sem_seg.data.fill_(255)
    elif case == 'alone':
        # Batch statistics of one frame need no map of one pixel.
        batch = make_batch(batch_size=1, size=64)
    elif case == 'not disjoint':
        batch = make_batch(labels=(1, 3))
    losses = run(model, batch)
    total, logged = model.parse_losses(losses)
    assert all(value.isfinite() for value in logged.values())
    taught = case in ('normal', 'ignored')
    assert (losses['decode.loss_acp'] > 0) == taught
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_total_is_the_sum_of_the_losses(model, batch):
    losses = run(model, batch)
    total, logged = model.parse_losses(losses)
    named = [v.mean() for key, v in losses.items() if 'loss' in key]
    torch.testing.assert_close(total, sum(named))
    assert len(named) == 4 * 3 + 5
    for key in ('gmm_ready', 'gmm_bank_accuracy', 'prompts_ready'):
        assert f'decode.{key}' in logged


def test_steps_are_a_matter_of_the_seed(cpm_cfg, batch):
    """Four steps, over an update of the mixtures, twice."""
    states = []
    for _ in range(2):
        model = build(cpm_cfg)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        for _ in range(6):
            total, _ = model.parse_losses(run(model, batch))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        states.append(model.state_dict())
    assert states[0]['decode_head.cls_embed.num_updates'].sum() > 0
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_bfloat16_keeps_mixtures_and_losses_in_float32(model, batch):
    with torch.autocast('cpu', torch.bfloat16):
        losses = run(model, batch)
    total, logged = model.parse_losses(losses)
    assert all(value.isfinite() for value in logged.values())
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    for name in ('vcp_cls', 'vcp_mask', 'vcp_dice', 'acp', 'pcl'):
        assert losses[f'decode.loss_{name}'].dtype == torch.float32
    classifier = model.decode_head.cls_embed
    assert classifier.bank.isfinite().all()
    members = classifier.bank[1, : classifier.count[1]]
    torch.testing.assert_close(members.norm(dim=-1), torch.ones(len(members)))


def test_predictions_use_no_prompts(cpm_cfg, model, batch):
    """They need no labels, and equal those of CCDM alone."""
    parts = ('prompts', 'loss_vcp', 'loss_acp', 'loss_pcl')
    cpm_cfg.decode_head.update(dict.fromkeys(parts))
    plain = build(cpm_cfg)
    report = plain.load_state_dict(model.state_dict(), strict=False)
    assert not report.missing_keys
    unlabeled = copy.deepcopy(batch)
    for sample in unlabeled['data_samples']:
        del sample.audio_labels, sample.gt_sem_seg
    model.eval()
    plain.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(1)
    with torch.no_grad():
        first = run(model, batch, 'predict')
        second = run(model, unlabeled, 'predict')
        third = run(plain, unlabeled, 'predict')
    for a, b, c in zip(first, second, third, strict=True):
        assert torch.equal(a.seg_logits.data, b.seg_logits.data)
        assert torch.equal(a.seg_logits.data, c.seg_logits.data)
        assert torch.equal(a.audio_query_classes, c.audio_query_classes)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_raw_outputs_hold_queries_only(model, batch):
    classes, masks = run(model, batch, 'tensor')
    assert classes[-1].shape == (2, 20, CLASSES + 1)
    assert masks[-1].shape == (2, 20, 16, 16)


@pytest.mark.parametrize('where', ['audio_labels', 'label map'])
def test_classes_out_of_range_are_named(model, batch, where):
    sample = batch['data_samples'][1]
    if where == 'audio_labels':
        sample.set_metainfo(dict(audio_labels=(2, 70)))
    else:
        sample.gt_sem_seg.data[0, 5, 5] = 70
    with pytest.raises(ValueError, match=r'clip/1\.jpg.*\[70\].*0\.\.8'):
        run(model, batch)


def test_broken_sound_never_reaches_the_bank(model, make_batch):
    """Nothing is learned from a frame of NaN, the other is left alone."""
    batch = make_batch(labels=(2,))
    batch['data_samples'][0].audio.fill_(torch.nan)
    classifier = model.decode_head.cls_embed
    before = classifier.count.clone()
    model.audio_backbone.eval()
    run(model, batch)
    assert all(b.isfinite().all() for b in classifier.buffers())
    # The other frame: background and class 2; the rest has no object.
    gained = (classifier.count - before).tolist()
    assert gained[:3] == [1, 0, 1] and gained[3:CLASSES] == [0] * 6


def test_gradient_of_the_audio_objective_reaches_the_audio_path(model, batch):
    losses = run(model, batch)
    losses['decode.loss_acp'].backward(retain_graph=True)
    head = model.decode_head
    for part in (
        head.prompts,
        head.audio_query_decoder,
        model.audio_backbone,
        model.audio_neck,
        head.audio_mask_embed,
    ):
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        assert sum(float(g.abs().sum()) for g in grads) > 0
    assert (
        head.query_feat.weight.grad is None
        or (head.query_feat.weight.grad == 0).all()
    )
    assert isinstance(head.prompts.projection, nn.Linear)
