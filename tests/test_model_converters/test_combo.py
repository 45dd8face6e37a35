"""The published layout of COMBO, written down by its parts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.model_converters import convert_keys, find_code_base
from mmcpm.model_converters.combo import combo_rules, describe_variant
from mmcpm.model_converters.combo_trace import (
    audio_rows,
    reference_losses,
    trace,
)
from mmcpm.model_converters.conversion import convert_weights
from mmcpm.utils.errors import UsageError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FROZEN_NORM = ('weight', 'bias', 'running_mean', 'running_var')
BOTH = ('weight', 'bias')


def resnet_keys(prefix):
    convs = ['stem.conv1']
    for stage, blocks in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True):
        convs.append(f'res{stage}.0.shortcut')
        convs += [
            f'res{stage}.{block}.conv{conv}'
            for block in range(blocks)
            for conv in (1, 2, 3)
        ]
    for conv in convs:
        yield f'{prefix}{conv}.weight'
        yield from (f'{prefix}{conv}.norm.{name}' for name in FROZEN_NORM)


def pvt_keys(prefix):
    blocks = ['norm1', 'attn.q', 'attn.kv', 'attn.proj', 'norm2']
    blocks += ['mlp.fc1', 'mlp.dwconv.dwconv', 'mlp.fc2']
    modules = []
    for stage, depth in enumerate((3, 6, 40, 3), 1):
        modules += [f'patch_embed{stage}.proj', f'patch_embed{stage}.norm']
        modules.append(f'norm{stage}')
        own = blocks + ['attn.sr', 'attn.norm'] * (stage < 4)
        for block in range(depth):
            modules += [f'block{stage}.{block}.{name}' for name in own]
    for module in modules:
        yield from (f'{prefix}{module}.{name}' for name in BOTH)


def pixel_decoder_keys():
    prefix = 'sem_seg_head.pixel_decoder.'
    attention = ('sampling_offsets', 'attention_weights')
    attention += ('value_proj', 'output_proj')
    modules = [f'input_proj.{level}.{n}' for level in range(3) for n in (0, 1)]
    layers = [f'self_attn.{name}' for name in attention]
    layers += ['norm1', 'linear1', 'linear2', 'norm2']
    modules += [
        f'transformer.encoder.layers.{layer}.{name}'
        for layer in range(6)
        for name in layers
    ]
    modules += ['mask_features', 'adapter_1.norm', 'layer_1.norm']
    for module in modules:
        yield from (f'{prefix}{module}.{name}' for name in BOTH)
    yield f'{prefix}transformer.level_embed'
    yield f'{prefix}adapter_1.weight'
    yield f'{prefix}layer_1.weight'


def fusion_keys():
    prefix = 'sem_seg_head.fusion_module.'
    attention = [
        f'b_attn.attn_list.0.{name}'
        for letter in 'va'
        for name in (
            f'{letter}_proj',
            f'values_{letter}_proj',
            f'out_{letter}_proj',
        )
    ]
    norms = [f'b_attn.layer_norm_{letter}_list.0' for letter in 'va']
    for module in attention + norms:
        yield from (f'{prefix}{module}.{name}' for name in BOTH)
    for name in ('audio_pos.weight', 'level_embed.weight'):
        yield prefix + name
    yield from (f'{prefix}b_attn.{k}' for k in ('gamma_a', 'gamma_v_list.0'))
    for layer in (0, 2, 4):
        module = f'sem_seg_head.audio_transformation.embeddings.{layer}'
        yield from (f'{module}.{name}' for name in BOTH)


def predictor_keys():
    prefix = 'sem_seg_head.predictor.'
    for layer in range(9):
        for kind, attention in (
            ('self', 'self_attn'),
            ('cross', 'multihead_attn'),
        ):
            own = f'{prefix}transformer_{kind}_attention_layers.{layer}.'
            yield from (f'{own}{attention}.in_proj_{name}' for name in BOTH)
            for module in (f'{attention}.out_proj', 'norm'):
                yield from (f'{own}{module}.{name}' for name in BOTH)
        for module in ('linear1', 'linear2', 'norm'):
            own = f'{prefix}transformer_ffn_layers.{layer}.{module}'
            yield from (f'{own}.{name}' for name in BOTH)
    modules = ['decoder_norm', 'class_embed']
    modules += [f'mask_embed.layers.{layer}' for layer in range(3)]
    for module in modules:
        yield from (f'{prefix}{module}.{name}' for name in BOTH)
    for table in ('query_feat', 'query_embed', 'level_embed'):
        yield f'{prefix}{table}.weight'


def published(backbone_keys):
    keys = [*backbone_keys('backbone.'), *backbone_keys('pre_sam_backbone.')]
    for layer in (0, 3, 6, 8, 11, 13):
        keys += [f'audio_backbone.features.{layer}.{name}' for name in BOTH]
    for layer in (0, 2, 4):
        keys += [f'audio_backbone.embeddings.{layer}.{name}' for name in BOTH]
    for level in range(4):
        for layer in ('fc1', 'fc2'):
            module = f'scale_factor_module.{level}.{layer}'
            keys += [f'{module}.{name}' for name in BOTH]
    keys += [*pixel_decoder_keys(), *fusion_keys(), *predictor_keys()]
    return [*keys, 'criterion.empty_weight']


# Keys of the published files.
LAYOUTS = {'r50': (resnet_keys, 883), 'pvt': (pvt_keys, 2457)}


def build_narrow(backbone):
    """A model of the published depth, hence with its names."""
    cfg = Config.fromfile(CONFIGS / '_base_/models/combo_r18_tiny.py').model
    published = CONFIGS / f'combo/combo_{backbone}_s4_published.py'
    cfg.backbone = Config.fromfile(published).model.backbone
    if backbone == 'r50':
        cfg.backbone.update(base_channels=8, stem_channels=8)
    else:
        cfg.backbone.embed_dims = 8
        cfg.decode_head.in_channels = [8, 16, 40, 64]
    cfg.maskige_backbone = cfg.backbone
    cfg.audio_backbone.norm_cfg = None
    cfg.decode_head.transformer_decoder.num_layers = 9
    cfg.decode_head.pixel_decoder.encoder.num_layers = 6
    init_default_scope('mmseg')
    return MODELS.build(cfg)


@pytest.mark.parametrize('backbone', LAYOUTS)
def test_every_key_has_its_place(backbone):
    make, count = LAYOUTS[backbone]
    keys = published(make)
    assert len(keys) == len(set(keys)) == count
    state = {key: torch.zeros(2, 1) for key in keys}
    assert find_code_base(state).name == 'COMBO'
    converted, report = convert_keys(state, combo_rules(keys))
    assert list(report.dropped) == ['criterion.empty_weight']
    expected = {
        name
        for name in build_narrow(backbone).state_dict()
        if not name.endswith('num_batches_tracked')
    }
    assert converted.keys() == expected


def test_frozen_norms_of_the_file_have_no_counters():
    """The model's count from zero; all other weights come from the file."""
    source, target = build_narrow('r50'), build_narrow('r50')
    state = source.state_dict()
    keys = published(resnet_keys)
    _, report = convert_keys(
        {key: torch.zeros(1) for key in keys}, combo_rules(keys)
    )
    weights = {key: state[name] for name, (key,) in report.mapped.items()}
    weights['criterion.empty_weight'] = torch.ones(10)
    code_base = find_code_base(weights)
    convert_weights(target, weights, code_base, {}, 'a config')
    for name, value in target.state_dict().items():
        expected = state[name]
        if name.endswith('num_batches_tracked'):
            expected = torch.tensor(0)
        assert torch.equal(value, expected), name
    del weights['backbone.stem.conv1.norm.running_var']
    with pytest.raises(UsageError, match='backbone.bn1'):
        convert_weights(target, weights, code_base, {}, 'a config')


def test_trace_is_the_model_as_coded_in_float64():
    torch.manual_seed(0)
    model = build_narrow('r50').eval()
    inputs = {
        name: torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        for name in ('images', 'pre_masks')
    }
    inputs['audio'] = torch.randn(2, 1, 96, 64)
    with torch.no_grad():
        found = trace(model, inputs)
        # The model is as it was before.
        head, mean = model.decode_head, model.data_preprocessor.mean
        assert head.audio_broadcast == 'frame'
        assert next(model.parameters()).dtype == torch.float32
        head.audio_broadcast = 'as_coded'
        pictures = [
            (inputs[name] - mean) / model.data_preprocessor.std
            for name in ('images', 'pre_masks')
        ]
        levels = model.extract_feat(torch.cat(pictures, 1))
        audio = model.encode_spectrogram(inputs['audio'])
        logits, masks = head(levels, audio)
    assert found['predictor.pred_masks'].dtype == torch.float64
    expected = {f'predictor.aux_outputs[{i}]': i for i in range(9)}
    for name, layer in {**expected, 'predictor': 9}.items():
        torch.testing.assert_close(
            found[f'{name}.pred_logits'].float(),
            logits[layer],
            rtol=1e-3,
            atol=1e-3,
        )
    assert found['predictor.pred_masks'].shape == masks[-1].shape
    assert found['sem_seg'].shape == (2, 9, 64, 64)
    assert found['backbone[res5]'].shape == (2, 256, 2, 2)
    assert found['scale_factor_module.3'].shape == (2, 256)
    assert found['fusion_module.b_attn audio'].shape == (2, 128)


def test_names_of_mask2former_and_of_the_backbone():
    """Places that are easily taken for each other."""
    keys = {
        'backbone.res3.0.shortcut.norm.running_var': (
            'backbone.layer2.0.downsample.1.running_var'
        ),
        'pre_sam_backbone.stem.conv1.norm.bias': 'maskige_backbone.bn1.bias',
        'sem_seg_head.predictor.transformer_self_attention_layers.7.norm.bias':
            'decode_head.transformer_decoder.layers.7.norms.1.bias',
        'sem_seg_head.predictor.transformer_cross_attention_layers.7.'
        'norm.bias': 'decode_head.transformer_decoder.layers.7.norms.0.bias',
        'sem_seg_head.pixel_decoder.input_proj.0.0.weight':
            'decode_head.pixel_decoder.input_convs.0.conv.weight',
        'sem_seg_head.fusion_module.b_attn.attn_list.0.out_a_proj.bias':
            'decode_head.fusion.attention.audio_out_proj.bias',
    }  # fmt: skip
    converted, _ = convert_keys(
        {key: torch.zeros(1) for key in keys}, combo_rules(keys)
    )
    assert list(converted) == list(keys.values())


def test_unknown_keys_are_refused():
    with pytest.raises(UsageError, match='sem_seg_head.new'):
        convert_keys({'sem_seg_head.new': torch.zeros(1)}, combo_rules([]))


def test_variants_are_told_apart():
    bias = 'sem_seg_head.predictor.class_embed.bias'
    weights = {bias: torch.zeros(72), 'backbone.stem.conv1.weight': None}
    assert describe_variant(weights) == 'ResNet-50, 71 classes'
    weights = {bias: torch.zeros(3), 'backbone.patch_embed1.proj.bias': None}
    assert describe_variant(weights) == 'PVTv2-b5, 2 classes'


def test_sounds_of_frames_that_are_there():
    audio, images = torch.arange(10.0), torch.zeros(3, 3, 1, 1)
    flag = torch.tensor([1, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    inputs = dict(images=images, audio=audio, vid_flag=flag)
    assert audio_rows(inputs).tolist() == [0, 2, 3]
    assert audio_rows({**inputs, 'vid_flag': None}).tolist() == [0, 1, 2]
    # Sounds that were selected before.
    assert audio_rows({**inputs, 'audio': audio[:3]}).tolist() == [0, 1, 2]


def test_trace_of_a_clip_that_is_padded():
    """As without the padding, but for what VGGish makes of it."""
    torch.manual_seed(0)
    model = build_narrow('r50').eval()
    inputs = {
        name: torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        for name in ('images', 'pre_masks')
    }
    inputs['audio'] = torch.randn(4, 1, 96, 64)
    flag = torch.tensor([1.0, 0.0, 1.0, 0.0])
    with torch.no_grad():
        found = trace(model, {**inputs, 'vid_flag': flag})
        expected = trace(model, {**inputs, 'audio': inputs['audio'][::2]})
    torch.testing.assert_close(found['sem_seg'], expected['sem_seg'])
    own, every = found['audio_backbone']
    assert own.shape == (2, 128) and every.shape == (4, 128)
    assert torch.equal(own, every[::2])


def test_reference_losses():
    """Values that the published code gives."""
    values = [float(value) for value in reference_losses().values()]
    np.testing.assert_allclose(
        values,
        [0.36784273386001587, 0.36782100796699524, 0.009801393374800682],
        rtol=1e-5,
    )
