"""What CPMHead is taught: losses, labels, combinations, checkpoints."""

import copy
import dataclasses

import pytest
import torch
import torch.nn as nn
from mmseg.registry import MODELS

QUERIES, CLASSES = 20, 9
PARTS = ('classifier', 'prompts', 'loss_vcp', 'loss_acp', 'loss_pcl')
COMBINATIONS = {
    'linear': (),
    'ccdm': ('classifier',),
    'vcp': ('classifier', 'prompts', 'loss_vcp'),
    'acp': ('classifier', 'prompts', 'loss_acp'),
    'acp_pcl': ('classifier', 'prompts', 'loss_acp', 'loss_pcl'),
    'vcp_acp': ('classifier', 'prompts', 'loss_vcp', 'loss_acp'),
    'full': PARTS,
    'point': PARTS[1:],
}


@pytest.fixture
def head(build, teach):
    return teach(build())


@pytest.mark.parametrize('name', COMBINATIONS)
@pytest.mark.parametrize('case', ['normal', 'silent', 'ignored', 'unready'])
def test_every_parameter_gets_a_gradient(
    make_batch, name, case, build, teach, features
):
    head = build(COMBINATIONS[name])
    if head.has_mixtures and case != 'unready':
        teach(head)
    labels = (1, 3) if case in ('normal', 'unready') else ()
    samples = make_batch(labels=labels)['data_samples']
    if case == 'ignored':
        for sample in samples:
            sample.gt_sem_seg.data.fill_(255)
    image, audio, mixed = features()
    losses = head.loss(image, mixed if head.use_mixtures else audio, samples)
    total = sum(v for k, v in losses.items() if 'loss' in k)
    assert all(value.isfinite().all() for value in losses.values())
    total.backward()
    for parameter, value in head.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
    if case == 'normal':
        idle = [n for n, p in head.named_parameters() if not p.grad.any()]
        # Deformable attention starts with offsets that ignore its query.
        assert idle == ['pixel_decoder.level_encoding.weight']


def loss_names(name):
    plain = [f'loss_{n}' for n in ('cls', 'mask', 'dice')]
    names = {*plain, *(f'd{i}.{n}' for i in range(3) for n in plain)}
    parts = COMBINATIONS[name]
    if 'loss_vcp' in parts:
        names |= {f'loss_vcp_{n}' for n in ('cls', 'mask', 'dice')}
    return names | {p for p in parts if p in ('loss_acp', 'loss_pcl')}


@pytest.mark.parametrize('name', COMBINATIONS)
def test_names_of_losses(make_batch, name, build, features):
    """What is only logged must not be summed as a loss."""
    head = build(COMBINATIONS[name])
    image, audio, mixed = features()
    losses = head.loss(image, mixed, make_batch()['data_samples'])
    assert {key for key in losses if 'loss' in key} == loss_names(name)
    logged = {key for key in losses if 'loss' not in key}
    assert ('gmm_ready' in logged) == ('classifier' in COMBINATIONS[name])
    assert ('prompt_accuracy' in logged) == ('prompts' in COMBINATIONS[name])
    assert not any(losses[key].requires_grad for key in logged)


def test_lambda_scales_the_three_losses_and_no_other(
    head, make_batch, features
):
    image, audio, mixed = features()
    samples = make_batch()['data_samples']
    results = []
    for weight in (0.5, 1.5):
        twin = copy.deepcopy(head)
        twin.cpm_weight = weight
        torch.manual_seed(3)
        results.append(twin.loss(image, mixed, samples))
    ours = {n for n in results[0] if n.split('_')[1] in ('vcp', 'acp', 'pcl')}
    assert len(ours) == 5
    for name, value in results[0].items():
        factor = 3 if name in ours else 1
        torch.testing.assert_close(results[1][name], factor * value)
        assert name not in ours or value > 0


def with_mixed(audio, mixed):
    """Change whether sounds were mixed in."""
    mixture = audio.mixture._replace(mixed=torch.tensor(mixed))
    return dataclasses.replace(audio, mixture=mixture)


def spy_on(module):
    """Collect the arguments of a loss module."""
    calls = []
    module.register_forward_pre_hook(lambda _, args: calls.append(args))
    return calls


def test_class_lost_by_the_crop_has_a_sound_but_no_target(
    head, features, samples_of
):
    """Class 7 sounds; only class 1 is left in the frame."""
    sample, other = samples_of((1,), ())
    sample.set_metainfo(dict(audio_labels=(1, 7)))
    image, audio, mixed = features()
    vcp, acp, pcl = (
        spy_on(m) for m in (head.loss_vcp, head.loss_acp, head.loss_pcl)
    )
    recorded, compare = [], head.criterion.forward
    head.criterion.forward = lambda *args: (
        recorded.append(compare(*args)) or recorded[-1]
    )
    losses = head.loss(image, mixed, [sample, other])
    class_terms, mask_terms, dice_terms, seen, weight = vcp[0]
    assert seen.tolist() == [[True, False], [False, False]]
    _, labels = recorded[0]
    # Of all four predictions, "no object" where nothing is looked for.
    expected = torch.tensor([[1, CLASSES], [CLASSES, CLASSES]])
    assert (labels[:, :, QUERIES:] == expected).all()
    for terms in (mask_terms, dice_terms):
        assert terms.shape == class_terms.shape == (4, 2, 2)
        assert (terms[:, 0, 0] > 0).all()
        assert terms.count_nonzero() == 4
    assert weight.shape == seen.shape and (weight == 1).all()
    assert acp[0][2].tolist() == [[True, True], [False, False]]
    assert pcl[0][2].tolist() == [[1, 7], [-1, -1]]
    # Without class 7 in the crop's labels VCP is the same.
    head.label_source = 'crop'
    head.loss(image, mixed, [sample, other])
    assert vcp[1][3].tolist() == [[True], [False]]
    assert (recorded[1][1][:, :, QUERIES] == expected[:, 0]).all()
    assert losses['loss_vcp_cls'] > 0


def test_what_was_not_mixed_is_no_lesson_for_acp(head, make_batch, features):
    image, audio, mixed = features()
    calls = spy_on(head.loss_acp)
    mixed = with_mixed(mixed, [True, False])
    head.loss(image, mixed, make_batch()['data_samples'])
    _, ratio, valid = calls[0]
    assert torch.equal(ratio, mixed.mixture.ratio)
    assert valid.tolist() == [[True, True], [False, False]]


def test_unready_prompts_weigh_nothing(make_batch, build, features):
    head = build()
    image, audio, mixed = features()
    losses = head.loss(image, mixed, make_batch()['data_samples'])
    for name in loss_names('full') - loss_names('ccdm'):
        assert losses[name] == 0, name
    assert losses['prompts_ready'] == 0 and losses['prompt_accuracy'] == 0


@pytest.mark.parametrize('embedding', ['final', 'td_a'])
def test_embedding_of_the_audio_masks(
    make_batch, embedding, build, teach, features, forward
):
    head = teach(build(acp_embedding=embedding))
    image, audio, mixed = features()
    norms, losses = spy_on(head.audio_post_norm), spy_on(head.loss_acp)
    args, predictions = forward(
        head, image, mixed, make_batch()['data_samples'], stop=False
    )
    wanted = predictions.query if embedding == 'final' else args[0]
    prompts = wanted[:, QUERIES:]
    assert torch.equal(norms[0][0], prompts)
    # Masks: the embedding's dot product with the dense map of the mixture.
    embedded = head.audio_mask_embed(head.audio_post_norm(prompts))
    dense = head.audio_mask_feature(mixed.mixture.levels[-1])
    for b, k, t, f in ((0, 1, 3, 40), (1, 0, 23, 63)):
        torch.testing.assert_close(
            losses[0][0][b, k, t, f], embedded[b, k] @ dense[b, :, t, f]
        )


def test_matched_queries_of_the_last_prediction_feed_the_bank(
    make_batch, build, features, forward
):
    head = build(COMBINATIONS['full'])
    image, audio, mixed = features()
    recorded, match = [], head.assigner.match
    head.assigner.match = lambda *args: (
        recorded.append((args, match(*args))) or recorded[-1][1]
    )
    _, predictions = forward(
        head, image, mixed, make_batch()['data_samples'], stop=False
    )
    (((scores, _, targets), matches),) = recorded
    assert torch.equal(scores, predictions.class_scores[:, :, :QUERIES])
    early, labels = (torch.full((2, QUERIES), CLASSES) for _ in range(2))
    for found, layer in ((early, matches[0]), (labels, matches[-1])):
        for b, (queries, wanted) in enumerate(layer):
            for query, target in zip(queries, wanted, strict=True):
                found[b, query] = targets[b].labels[target]
    assert not torch.equal(labels, early)
    labels = labels.flatten()
    states = head.transformer_decoder.post_norm(
        predictions.query[:, :QUERIES]
    ).flatten(0, 1)
    gmm = head.cls_embed
    # Background and two classes per frame; 32 of 34 without an object.
    expected = torch.zeros(CLASSES + 1, dtype=torch.int64)
    expected[[0, 1, 3]] = 2
    expected[CLASSES] = 32
    assert torch.equal(gmm.count, expected)
    for k in (0, 1, 3):
        torch.testing.assert_close(
            gmm.bank[k, :2], gmm.embed(states[labels == k])
        )
    assert int(gmm.num_steps) == 1
    before = gmm.bank.clone()
    head.eval()
    head.loss(image, mixed, make_batch()['data_samples'])
    assert torch.equal(gmm.bank, before) and int(gmm.num_steps) == 1


def test_linear_weights_and_mixtures_are_told_apart(tiny_cfg, build):
    torch.manual_seed(0)
    linear = MODELS.build(tiny_cfg.decode_head)
    head = build()
    start = copy.deepcopy(head.cls_embed.state_dict())
    report = head.load_state_dict(linear.state_dict(), strict=False)
    assert set(report.unexpected_keys) == {
        'cls_embed.weight',
        'cls_embed.bias',
    }
    assert 'cls_embed.mean' in report.missing_keys
    assert all(
        k.startswith(('cls_embed.', 'prompts.', 'audio_', 'loss_pcl.'))
        for k in report.missing_keys
    )
    for name, value in head.cls_embed.state_dict().items():
        assert torch.equal(value, start[name])
    torch.testing.assert_close(
        head.query_feat.weight, linear.query_feat.weight
    )
    report = linear.load_state_dict(head.state_dict(), strict=False)
    assert set(report.missing_keys) == {'cls_embed.weight', 'cls_embed.bias'}
    assert 'cls_embed.mean' in report.unexpected_keys


@pytest.mark.parametrize(
    ('source', 'expected'),
    [('full', [[1, 3, 6], [2]]), ('crop', [[1, 3], []])],
)
def test_classes_that_are_prompted(
    head, features, samples_of, monkeypatch, source, expected
):
    image, _, mixed = features()
    samples = samples_of((1, 3), (2,))
    samples[0].set_metainfo(dict(audio_labels=(1, 3, 6)))
    samples[1].gt_sem_seg.data[:] = 255
    head.label_source = source

    def stop(pixels, audio, classes):
        raise LookupError(classes)

    monkeypatch.setattr(head, 'decode_prompts', stop)
    with pytest.raises(LookupError) as caught:
        head.loss(image, mixed, samples)
    assert caught.value.args == (expected,)


@pytest.mark.parametrize('source', ['full', 'crop'])
def test_classes_out_of_range_are_named(head, source, features, samples_of):
    image, audio, mixed = features()
    samples = samples_of((1,), (3,))
    head.label_source = source
    if source == 'full':
        samples[1].set_metainfo(dict(audio_labels=(3, 12)))
    samples[1].gt_sem_seg.data[0, 0, 0] = 3 if source == 'full' else 12
    samples[1].set_metainfo(dict(img_path='clip/far.jpg'))
    with pytest.raises(ValueError, match=r'clip/far\.jpg.*\[12\].*0\.\.8'):
        head.loss(image, mixed, samples)


def test_more_classes_than_prompts(
    cpm_cfg, build, teach, features, samples_of
):
    cfg = copy.deepcopy(cpm_cfg)
    cfg.decode_head.prompts.max_prompts = 2
    head = teach(build(cfg=cfg.decode_head))
    calls = spy_on(head.loss_vcp)
    samples = samples_of((1, 3), (2,))
    samples[0].set_metainfo(dict(audio_labels=(1, 3, 5, 6)))
    image, audio, mixed = features()
    head.loss(image, mixed, samples)
    # Terms of four predictions, what counts, and weights of classes.
    assert [t.shape for t in calls[0]] == [(4, 2, 2)] * 3 + [(2, 2)] * 2


@pytest.mark.parametrize(
    'parts,source,reason',
    [
        (('classifier', 'prompts', 'loss_vcp', 'loss_pcl'), 'gmm', 'loss_acp'),
        (('classifier', 'loss_vcp', 'loss_acp'), 'gmm', 'need prompts'),
        (('classifier', 'prompts'), 'gmm', 'teach nothing'),
        (('prompts', 'loss_vcp'), 'gmm', "source='table' or a classifier"),
        (('prompts', 'loss_acp'), 'mean', "source='table' or a classifier"),
        (('prompts', 'loss_pcl'), 'table', 'loss_acp'),
    ],
)
def test_combinations_without_a_meaning(cpm_cfg, parts, source, reason):
    cfg = copy.deepcopy(cpm_cfg.decode_head)
    cfg.prompts.source = source
    cfg.update({part: None for part in PARTS if part not in parts})
    with pytest.raises(ValueError, match=reason):
        MODELS.build(cfg)


@pytest.mark.parametrize(
    'change', [dict(label_source='half'), dict(acp_embedding='first')]
)
def test_bad_arguments(change, build):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=rf'{name} must be.*{value}'):
        build(**change)


def test_classifier_replaces_the_linear_layer(build):
    linear = [
        n
        for n, m in build().named_modules()
        if isinstance(m, nn.Linear) and m.out_features == CLASSES + 1
    ]
    assert not linear


def test_mixtures_that_only_give_the_prompts(
    build, teach, features, make_batch
):
    head = build(mixtures_classify=False)
    assert isinstance(head.cls_embed, nn.Linear)
    teach(head)
    before = head.mixtures.count.clone(), head.mixtures.num_steps.clone()
    image, audio, mixed = features()
    samples = make_batch(labels=(1, 3))['data_samples']
    losses = head.loss(image, mixed, samples)
    # The prompts are drawn from the mixtures, which get new members.
    assert losses['prompts_ready'] == 1
    assert head.mixtures.num_steps == before[1] + 1
    assert (head.mixtures.count >= before[0]).all()
    assert head.mixtures.count.sum() > before[0].sum()
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in head.named_parameters():
        taught = not name.startswith('prompt_mixtures.')
        assert parameter.requires_grad == taught, name
        assert (parameter.grad is not None) == taught, name
    # What they hold is kept, once.
    names = [n for n in head.state_dict() if n.endswith('bank')]
    assert names == ['prompt_mixtures.bank']
