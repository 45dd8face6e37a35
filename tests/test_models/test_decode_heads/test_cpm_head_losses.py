"""The terms of CPMHead's losses against mmdet's own, and which count."""

import copy
import dataclasses

import pytest
import torch
from mmcv.ops import point_sample
from mmdet.models.losses import CrossEntropyLoss, DiceLoss
from mmseg.registry import TASK_UTILS

from mmcpm.models.losses import set_criterion

QUERIES, CLASSES, LAYERS, POINTS = 20, 9, 4, 64


@pytest.fixture
def head(build, teach):
    return teach(build())


def forget(head, *classes):
    """Let the mixtures know some classes no longer."""
    head.cls_embed.count[list(classes)] = 0
    ready = head.cls_embed.ready(torch.arange(CLASSES))
    assert (~ready).nonzero().flatten().tolist() == sorted(classes)


def with_mixed(audio, mixed):
    """Change whether sounds were mixed in."""
    mixture = audio.mixture._replace(mixed=torch.tensor(mixed))
    return dataclasses.replace(audio, mixture=mixture)


def spy_on(module):
    """Collect the arguments of a loss module."""
    calls = []
    module.register_forward_pre_hook(lambda _, args: calls.append(args))
    return calls


@pytest.fixture
def points(monkeypatch):
    """Inject points of each mask's own, ``[L, B, T, P, 2]``."""
    generator = torch.Generator().manual_seed(1)
    table = torch.rand(LAYERS, 3, QUERIES + 8, POINTS, 2, generator=generator)
    collected, collect = [], set_criterion.collect_indices
    monkeypatch.setattr(
        set_criterion,
        'collect_indices',
        lambda *args: collected.append(collect(*args)) or collected[-1],
    )

    def chosen(masks, num_points, oversample, importance):
        assert (num_points, oversample, importance) == (POINTS, 3.0, 0.75)
        rows = collected[-1]
        return table[rows.layer, rows.image, rows.query]

    monkeypatch.setattr(set_criterion, 'uncertain_points', chosen)
    return table


def naive_vcp(predictions, pixels, samples, prompts, points):
    """mmdet's own losses, prompt by prompt and prediction by prediction.

    Args:
        prompts (dict): Class by image and slot, of those that count.
    """
    cls = CrossEntropyLoss(use_sigmoid=False, loss_weight=2.0)
    bce = CrossEntropyLoss(use_sigmoid=True, loss_weight=5.0)
    dice = DiceLoss(naive_dice=True, eps=1.0, loss_weight=5.0)
    totals = dict(cls=0.0, mask=0.0, dice=0.0)
    for layer in range(LAYERS):
        for (b, slot), label in prompts.items():
            row = (layer, b, QUERIES + slot)
            where = points[row][None]
            mask = torch.einsum(
                'c,chw->hw',
                predictions.mask_embedding[row],
                pixels.mask_feature[b],
            )
            wanted = samples[b].gt_sem_seg.data == label
            at = point_sample(mask[None, None], where)[0]
            target = point_sample(wanted[None].float(), where)[0]
            totals['cls'] += cls(
                predictions.class_scores[row][None], torch.tensor([label])
            )
            totals['mask'] += bce(at.view(-1), target.view(-1))
            totals['dice'] += dice(at, target)
    return {k: v / max(len(prompts), 1) for k, v in totals.items()}


def test_vcp_is_that_of_mmdet_prompt_by_prompt(
    head, features, frames, forward, points
):
    """Class 5 is lost by the crop, class 4 not known yet; both vary."""
    samples = frames((0, 1, 3), (0, 4, 2), (0, 8))
    samples[0].set_metainfo(dict(audio_labels=(1, 3, 5)))
    samples[1].set_metainfo(dict(audio_labels=(2, 4)))
    forget(head, 4)
    image, audio, mixed = features(3)
    recorded, loss = [], head.loss
    head.loss = lambda *args: recorded.append(loss(*args))
    (_, _, pixels, _), predictions = forward(
        head, image, mixed, samples, stop=False
    )
    prompts = {(0, 0): 1, (0, 1): 3, (1, 0): 2, (2, 0): 8}
    expected = naive_vcp(predictions, pixels, samples, prompts, points)
    wrong = naive_vcp(
        predictions, pixels, samples, {**prompts, (0, 0): 3}, points
    )
    for name, value in expected.items():
        actual = recorded[0][f'loss_vcp_{name}']
        torch.testing.assert_close(actual, 0.5 * value, rtol=1e-4, atol=1e-6)
        # Another class for one of them is another loss.
        assert abs(wrong[name] / value - 1) > 1e-3


def test_weights_of_vcp_are_those_of_the_head(
    cpm_cfg, build, teach, features, frames, shared_points
):
    image, audio, mixed = features()
    samples = frames((0, 1, 3), (0, 2))
    results = []
    for change in (None, 'loss_cls', 'loss_mask', 'loss_dice', 'loss_vcp'):
        cfg = copy.deepcopy(cpm_cfg.decode_head)
        if change:
            cfg[change].loss_weight = 3 * cfg[change].get('loss_weight', 1.0)
        head = teach(build(cfg=cfg))
        torch.manual_seed(3)
        results.append(head.loss(image, mixed, samples))
    plain, *changed = results
    for name, kind in (('cls', 0), ('mask', 1), ('dice', 2)):
        key = f'loss_vcp_{name}'
        for index, losses in enumerate(changed):
            factor = 3 if index in (kind, 3) else 1
            torch.testing.assert_close(losses[key], factor * plain[key])
    torch.testing.assert_close(changed[3]['loss_mask'], plain['loss_mask'])


def test_prompts_do_not_change_the_losses_of_queries(
    head, build, cpm_cfg, features, frames, forward, shared_points
):
    """What mmdet makes of the queries' rows alone."""
    twin = build(('classifier',))
    twin.assigner = TASK_UTILS.build(
        dict(
            cpm_cfg.decode_head.train_cfg.assigner,
            type='mmdet.HungarianAssigner',
        )
    )
    samples = frames((0, 1, 3), (0, 2))
    image, audio, mixed = features()
    recorded, loss = [], head.loss
    head.loss = lambda *args: recorded.append(loss(*args))
    (_, _, pixels, _), predictions = forward(
        head, image, mixed, samples, stop=False
    )
    masks = torch.einsum(
        'lbtc,bchw->lbthw', predictions.mask_embedding, pixels.mask_feature
    )
    expected = twin.loss_by_feat(
        list(predictions.class_scores[:, :, :QUERIES]),
        list(masks[:, :, :QUERIES]),
        *twin._seg_data_to_instance_data(samples),
    )
    for name, value in expected.items():
        torch.testing.assert_close(
            recorded[0][name], value.squeeze(), rtol=1e-4, atol=1e-6
        )


def test_sounds_of_classes_not_ready_are_no_lesson_for_acp(
    head, features, frames
):
    """The other prompts cannot account for their part of the sound."""
    forget(head, 3)
    samples = frames((0, 1, 3), (0, 2), (0,))
    image, audio, mixed = features(3)
    acp, pcl = spy_on(head.loss_acp), spy_on(head.loss_pcl)
    head.loss(image, mixed, samples)
    assert acp[0][2].tolist() == [[False] * 2, [True, False], [False] * 2]
    # Nor does PCL learn where a mask selects that nothing teaches.
    assert pcl[0][2].tolist() == [[-1, -1], [2, -1], [-1, -1]]


def test_masks_of_sounds_alone_are_no_lesson_for_pcl(head, features, frames):
    """Equation (5) does not teach them in this step."""
    samples = frames((0, 1), (0, 2))
    image, audio, mixed = features()
    pcl = spy_on(head.loss_pcl)
    mixed = with_mixed(mixed, [False, True])
    losses = head.loss(image, mixed, samples)
    assert pcl[0][2].tolist() == [[-1], [2]]
    assert losses['loss_pcl'] > 0
    mixed = with_mixed(mixed, [False, False])
    losses = head.loss(image, mixed, samples)
    assert losses['loss_acp'] == losses['loss_pcl'] == 0


def test_background_is_not_prompted(head, features, frames):
    samples = frames((0, 1, 3), (0,))
    image, audio, mixed = features()
    vcp, acp, pcl = (
        spy_on(m) for m in (head.loss_vcp, head.loss_acp, head.loss_pcl)
    )
    # Nor does it matter whether its mixture is known.
    forget(head, 0)
    head.loss(image, mixed, samples)
    assert vcp[0][3].tolist() == [[True] * 2, [False] * 2]
    assert acp[0][2].tolist() == [[True] * 2, [False] * 2]
    assert pcl[0][2].tolist() == [[1, 3], [-1, -1]]


def test_prompts_do_not_see_those_not_ready(head, features, frames, forward):
    """Whatever is drawn for class 3, class 1's prompt stays the same."""
    forget(head, 3)
    generator = torch.Generator().manual_seed(9)
    table = torch.randn(CLASSES, 64, generator=generator)
    head.cls_embed.sample = lambda labels, noise: table[labels.clamp(min=0)]
    image, audio, mixed = features()
    outputs = []
    for shift in (0.0, 5.0):
        table[3] += shift
        samples = frames((0, 1, 3), (0, 2))
        outputs.append(forward(head, image, mixed, samples)[1].state)
    first, second = outputs
    for b, slot in ((0, 0), (1, 0)):
        row = (slice(None), b, QUERIES + slot)
        assert torch.equal(first[row], second[row])
    assert (first - second)[:, 0, QUERIES + 1].abs().max() > 1e-2


def test_more_sounds_than_prompts_are_no_lesson_for_acp(
    cpm_cfg, build, teach, features, frames
):
    """One prompt cannot recover the sound of two."""
    cpm_cfg.decode_head.prompts.max_prompts = 1
    head = teach(build(cfg=cpm_cfg.decode_head))
    acp = spy_on(head.loss_acp)
    image, audio, mixed = features()
    head.loss(image, mixed, frames((0, 1, 3), (0, 2)))
    assert acp[0][2].tolist() == [[False], [True]]


def test_sounds_lost_by_the_crop_are_no_lesson_if_not_prompted(
    head, features, frames
):
    """With prompts for what is left in the crop alone."""
    samples = frames((0, 1), (0, 2))
    samples[0].set_metainfo(dict(audio_labels=(1, 7)))
    image, audio, mixed = features()
    acp = spy_on(head.loss_acp)
    head.loss(image, mixed, samples)
    assert acp[0][2].tolist() == [[True, True], [True, False]]
    head.label_source = 'crop'
    head.loss(image, mixed, samples)
    assert acp[1][2].tolist() == [[False], [True]]


# --- Class weights ---


LOSS_CLS = dict(
    type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=2.0
)


@pytest.mark.parametrize('mixtures_classify', [True, False])
def test_class_weights_reach_queries_and_prompts(
    build, teach, features, samples_of, mixtures_classify
):
    """Weighted means, whichever classifier makes the scores."""
    generator = torch.Generator().manual_seed(0)
    weights = (3 * torch.rand(CLASSES, generator=generator)).tolist()
    head = teach(
        build(
            mixtures_classify=mixtures_classify,
            loss_cls=dict(LOSS_CLS, class_weight=weights),
        )
    )
    recorded, compute = [], head.criterion.forward

    def record(predictions, *args):
        terms, labels = compute(predictions, *args)
        recorded.append((predictions.class_scores, labels))
        return terms, labels

    head.criterion.forward = record
    image, audio, mixture = features()
    samples = samples_of((1, 3), (5, 8))
    losses = head.loss(image, mixture, samples)
    ((scores, labels),) = recorded
    table = torch.tensor([*weights, 0.1])
    vcp = 0.0
    for layer in range(LAYERS):
        name = 'loss_cls' if layer == LAYERS - 1 else f'd{layer}.loss_cls'
        for part in (slice(0, QUERIES), slice(QUERIES, None)):
            # Each prompt's own class; images have two prompts each.
            expected = 2 * torch.nn.functional.cross_entropy(
                scores[layer, :, part].flatten(0, 1),
                labels[layer, :, part].flatten(),
                weight=table,
            )
            if part.start == 0:
                torch.testing.assert_close(losses[name], expected)
            else:
                vcp = vcp + expected
    torch.testing.assert_close(losses['loss_vcp_cls'], head.cpm_weight * vcp)


def test_only_ratios_of_class_weights_count(
    build, teach, features, samples_of
):
    image, audio, mixture = features()
    found = []
    for factor in (1, 10):
        weights = [factor * w for w in (1, 2, 1, 0.5, 1, 3, 1, 1, 2, 0.1)]
        cfg = dict(LOSS_CLS, class_weight=weights)
        head = teach(build(loss_cls=cfg))
        torch.manual_seed(0)
        samples = samples_of((1, 3), (5, 8))
        found.append(head.loss(image, mixture, samples))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value)
