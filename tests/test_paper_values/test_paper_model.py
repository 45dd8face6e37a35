"""Built models have the sizes, weights and constants of the paper."""

import math

import pytest
import torch
import torch.nn as nn
from mmengine.structures import InstanceData

pytestmark = pytest.mark.usefixtures('mmseg_scope')
# Equations (2) and (3); GMMSeg's momentum, every 5 steps, from random means;
# the rest is not published and stands in configs/cpm/README.md.
MIXTURES = dict(
    estep='em',
    reduction='lse',
    momentum=0.999,
    em_interval=5,
    variance_floor=1e-4,
    shrinkage=8.0,
    logit_norm='layernorm',
    sampling='spread',
    max_no_object=32,
    min_members=8,
    max_enqueue=256,
)


@pytest.fixture(scope='module')
def head(model):
    return model.decode_head


def test_audio_backbone(model, paper):
    backbone = model.audio_backbone
    # Numbers of the published VGGish's convolutions, and of a ResNet-18
    # without its classifier whose first convolution takes two channels.
    numbers = 4_499_712 if paper.channels == 1 else 11_176_512 - 49 * 64
    assert sum(p.numel() for p in backbone.parameters()) == numbers
    backbone.eval()
    spectrogram = torch.zeros(1, paper.channels, paper.frames, 256)
    levels = model.encode_spectrogram(spectrogram.to('meta')).levels
    strides = (16, 8, 4) if paper.channels == 1 else (32, 16, 8)
    assert [tuple(level.shape) for level in levels] == [
        (1, 256, round(paper.frames / s + 0.49), 256 // s) for s in strides
    ]
    weights = {
        1: 'https://github.com/harritaylor/torchvggish/releases/download/'
        'v0.1/vggish-10086976.pth',
        2: 'torchvision://resnet18',
    }
    assert backbone.init_cfg['checkpoint'] == weights[paper.channels]
    # A plain pyramid of 128, 256 and 512 channels: 1 x 1, then 3 x 3.
    numbers = (128 + 256 + 512) * 256 + 3 * 256 + 3 * (9 * 256**2 + 256)
    assert sum(p.numel() for p in model.audio_neck.parameters()) == numbers
    norms = [m for m in backbone.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert len(norms) == (0 if paper.channels == 1 else 20)


def test_image_backbone(model):
    backbone = model.backbone
    assert sum(p.numel() for p in backbone.parameters()) == 23_508_032
    backbone.eval()
    levels = backbone(torch.zeros(1, 3, 64, 64, device='meta'))
    assert [tuple(level.shape) for level in levels] == [
        (1, 256 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)
    ]
    assert backbone.init_cfg['checkpoint'] == 'torchvision://resnet50'
    # torchvision's weights were trained with the stride at the 3 x 3.
    assert backbone.layer2[0].conv2.stride == (2, 2)
    norms = [m for m in backbone.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert len(norms) == 53 and not backbone.norm_eval


def test_everything_is_trained(model, name):
    assert all(p.requires_grad for p in model.parameters())
    kind = (
        'AVMask2FormerHead' if name.startswith('avmask2former') else 'CPMHead'
    )
    assert type(model.decode_head).__name__ == kind
    assert model.test_cfg.mode == 'whole'


def test_decoders(head):
    assert tuple(head.query_feat.weight.shape) == (100, 256)
    assert tuple(head.query_embed.weight.shape) == (100, 256)
    encoder = head.pixel_decoder.encoder.layers
    audio, visual = (
        head.audio_query_decoder.layers,
        (head.transformer_decoder.layers),
    )
    assert (len(encoder), len(audio), len(visual)) == (6, 3, 9)
    assert head.audio_query_decoder.num_levels == 3
    assert head.num_transformer_feat_level == 3
    for layer in (*audio, *visual):
        assert layer.cross_attn.num_heads == layer.self_attn.num_heads == 8
        assert layer.ffn.layers[0][0].out_features == 2048
    for layer in encoder:
        attention = layer.self_attn
        assert (attention.num_heads, attention.num_levels) == (8, 3)
        assert attention.num_points == 4
        assert layer.ffn.layers[0][0].out_features == 1024
    drops = [m.p for m in head.modules() if isinstance(m, nn.Dropout)]
    assert not any(drops)
    for encoding in (
        head.decoder_positional_encoding,
        head.audio_query_decoder.positional_encoding,
        head.pixel_decoder.postional_encoding,
    ):
        assert (encoding.num_feats, encoding.normalize) == (128, True)
    assert list(head.pixel_decoder.strides) == [4, 8, 16, 32]
    assert not head.align_corners
    groups = {
        m.num_groups for m in head.modules() if isinstance(m, nn.GroupNorm)
    }
    assert groups == {32}
    assert head.pixel_decoder.mask_feature.out_channels == 256
    widths = [m.out_features for m in head.mask_embed if hasattr(m, 'bias')]
    assert widths == [256, 256, 256]
    # Section 3.1: masks know no position, and classes are summed up.
    assert head.mask_position is None and head.inference_mode == 'semantic'


def test_losses_and_costs_of_a_prediction_that_knows_nothing(head, paper):
    """Logits of 0, four points that all belong to the target."""
    scores = torch.zeros(1, paper.classes + 1)
    logits, wanted = torch.zeros(1, 4), torch.ones(1, 4)
    surprise = math.log(paper.classes + 1)
    # Weights 2, 5 and 5; "no object" counts a tenth (Mask2Former).
    labels = torch.arange(paper.classes + 1)
    loss = head.loss_cls(
        scores.expand(len(labels), -1), labels, reduction_override='none'
    )
    weights = torch.tensor([2.0] * paper.classes + [0.2])
    torch.testing.assert_close(loss, weights * surprise)
    mask = head.loss_mask(logits[0], wanted[0], reduction_override='none')
    torch.testing.assert_close(mask, torch.full((4,), 5 * math.log(2)))
    # Dice of probabilities p and targets t: 1 - (2 pt + 1) / (p + t + 1).
    dice = 5 * (1 - (2 * 2 + 1) / (2 + 4 + 1))
    loss = head.loss_dice(logits, wanted, reduction_override='none')
    assert loss.item() == pytest.approx(dice)

    predictions = InstanceData(scores=scores, masks=logits)
    targets = InstanceData(labels=torch.tensor([0]), masks=wanted)
    costs = [
        cost(pred_instances=predictions, gt_instances=targets).item()
        for cost in head.assigner.match_costs
    ]
    assert costs == pytest.approx(
        [-2 / (paper.classes + 1), 5 * math.log(2), dice]
    )
    points = head.num_points, head.oversample_ratio
    assert (*points, head.importance_sample_ratio) == (
        12544,
        3.0,
        0.75,
    )


def test_baseline_has_a_linear_classifier_and_no_prompts(head, name, paper):
    if name.startswith('avmask2former'):  # Table 4, row 1
        assert type(head.cls_embed) is nn.Linear
        assert head.cls_embed.out_features == paper.classes + 1
        assert not hasattr(head, 'prompts')


def test_prompting_machine(head, name, paper):
    if name.startswith('avmask2former'):
        return
    mixtures = head.mixtures
    # Section 3.2.1: the mixtures classify, "no object" is a class.
    assert head.cls_embed is mixtures
    # Table 5: M = 3.
    assert tuple(mixtures.mean.shape) == (paper.classes + 1, 3, 256)
    # A bank, momentum, EM and the sum of equation (2).
    assert mixtures.bank.shape[1] == 128
    for setting, value in MIXTURES.items():
        assert getattr(mixtures, setting) == value, setting
    # Section 3.2.2: prompts are drawn, for the classes of the whole frame.
    assert (head.prompts.source, head.prompts.max_prompts) == ('gmm', 8)
    assert head.label_source == 'full'
    # Section 3.2.5 and appendix A: lambda 0.5 on the sum of the three.
    assert head.cpm_weight == 0.5
    terms = torch.ones(2, 1, 1)  # two predictions of one prompt
    vcp = head.loss_vcp(terms, terms, terms, torch.ones(1, 1).bool())
    assert {k: v.item() for k, v in vcp.items()} == dict(
        cls=2.0, mask=2.0, dice=2.0
    )
    # Equation (5): the mean of squares; a mask of one half against nothing.
    logits, nothing = torch.zeros(1, 1, 24, 64), torch.zeros(1, 96, 256)
    acp = head.loss_acp(logits, nothing, torch.ones(1, 1).bool())
    assert acp.item() == pytest.approx(0.25)
    assert head.acp_embedding == 'final'
    # Equation (9) and appendix A: tau 0.1; average pooling (appendix A.1).
    pcl = head.loss_pcl
    assert (pcl.temperature, pcl.loss_weight) == (0.1, 1.0)
    assert (pcl.pooling, pcl.samples_per_class) == ('avg', 512)
