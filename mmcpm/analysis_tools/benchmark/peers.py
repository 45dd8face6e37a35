"""Stock models and pipelines that a configuration is compared with."""

import copy

from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS, TRANSFORMS

from mmcpm.compat import revert_sync_bn
from mmcpm.datasets import transforms
from mmcpm.models.losses.class_weights import class_weights
from mmcpm.utils.config_types import is_type, type_name, type_of

# The arguments of mmseg's Mask2FormerHead (and mmdet's beneath it).
STOCK_HEAD_KEYS = (
    'in_channels',
    'feat_channels',
    'out_channels',
    'num_classes',
    'num_queries',
    'num_transformer_feat_level',
    'enforce_decoder_input_project',
    'align_corners',
    'ignore_index',
    'positional_encoding',
    'transformer_decoder',
    'loss_cls',
    'loss_mask',
    'loss_dice',
    'train_cfg',
    'test_cfg',
)
STOCK_MODEL_KEYS = (
    'data_preprocessor',
    'backbone',
    'neck',
    'train_cfg',
    'test_cfg',
)
# Image-only counterparts of the transforms; those of the audio have none.
STOCK_TRANSFORMS = {
    transforms.LoadFrameFromFile: 'LoadImageFromFile',
    transforms.LoadAVSAnnotations: 'LoadAnnotations',
    transforms.PackAVSInputs: 'PackSegInputs',
}
AUDIO_TRANSFORMS = (
    transforms.LoadAudioFromFile,
    transforms.CutAudioToFrame,
    transforms.LoadOffscreenAudio,
    transforms.RecordSoundingClasses,
    transforms.SwapStereoOnFlip,
)


def stock_model(model: dict) -> ConfigDict:
    """Derive mmseg's Mask2Former of the same sizes, without audio.

    Returns:
        ConfigDict: An EncoderDecoder of mmseg with mmdet's parts: the same
        image backbone, pixel decoder, queries, points and classes.

    Raises:
        ValueError: If the decode head is no Mask2Former.
    """
    head = model['decode_head']
    missing = {'pixel_decoder', 'transformer_decoder'} - set(head)
    if missing:
        raise ValueError(
            '--vs stock compares with Mask2Former, but the decode head '
            f'{type_name(head, MODELS)} has no '
            f'{", ".join(sorted(missing))}. Name another config instead: --vs '
            'CONFIG.'
        )
    head = copy.deepcopy({k: head[k] for k in STOCK_HEAD_KEYS if k in head})
    pixel_decoder = copy.deepcopy(dict(model['decode_head']['pixel_decoder']))
    pixel_decoder.pop('backend', None)
    pixel_decoder['type'] = 'mmdet.MSDeformAttnPixelDecoder'
    head['loss_cls']['class_weight'] = class_weights(
        head['loss_cls'].get('class_weight'),
        head['num_classes'],
        model['decode_head'].get('no_object_weight'),
    )
    head['train_cfg']['assigner']['type'] = 'mmdet.HungarianAssigner'
    return ConfigDict(
        type='EncoderDecoder',
        **copy.deepcopy({k: model[k] for k in STOCK_MODEL_KEYS if k in model}),
        decode_head=dict(
            type='Mask2FormerHead', pixel_decoder=pixel_decoder, **head
        ),
    )


def stock_pipeline(pipeline: list[dict]) -> list[dict]:
    """Derive mmseg's image-only pipeline with the same augmentation."""
    kept = []
    for transform in copy.deepcopy(list(pipeline)):
        kind = type_of(transform, TRANSFORMS)
        if not is_type(transform, AUDIO_TRANSFORMS, TRANSFORMS):
            transform['type'] = STOCK_TRANSFORMS.get(kind, transform['type'])
            kept.append(transform)
    return kept


def prepare(cfg: Config, size: tuple[int, int], device: str) -> ConfigDict:
    """Make the model of a configuration ready to be timed.

    Returns:
        ConfigDict: Its model, without pretrained weights, which change no
        time and need files.
    """
    model = copy.deepcopy(cfg.model)
    for part in model.values():
        if isinstance(part, dict) and 'init_cfg' in part:
            part['init_cfg'] = None
    model['data_preprocessor']['size'] = tuple(size)
    if not device.startswith('cuda'):
        revert_sync_bn(model)
    return model
