"""Batches to time a model with: made up, or read from a dataset."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, TRANSFORMS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmcpm.apis.nested_settings import innermost_datasets, nested_datasets
from mmcpm.datasets.clip_dataset import ClipDataset, frame_samples
from mmcpm.datasets.transforms import CutAudioToFrame, LoadSoundSources
from mmcpm.utils.config_types import is_type

# Objects in a made-up frame, as in AVSBench: most frames have one or two
# classes beside the background, some have more.
OBJECTS = (2, 4)
# Meta keys of the frames of a clip.
CLIP_KEYS = ('uid', 'frame_index', 'clip_length', 'frame_valid', 'labeled')


def random_labels(
    size: tuple[int, int], num_classes: int, generator: torch.Generator
) -> Tensor:
    """Draw rectangles and ellipses on background.

    Returns:
        Tensor: Class ids ``[1, H, W]`` int64.
    """
    height, width = size
    label = torch.zeros(1, height, width, dtype=torch.long)
    y = torch.linspace(0, 1, height)[:, None]
    x = torch.linspace(0, 1, width)
    number = torch.randint(
        OBJECTS[0], OBJECTS[1] + 1, (), generator=generator
    ).item()
    for index in range(number):
        center = 0.2 + 0.6 * torch.rand(2, generator=generator)
        radius = 0.1 + 0.15 * torch.rand(2, generator=generator)
        away = torch.stack(
            [
                ((y - center[0]) / radius[0]).abs().expand(height, width),
                ((x - center[1]) / radius[1]).abs().expand(height, width),
            ]
        )
        inside = (away.norm(dim=0) if index % 2 else away.amax(0)) < 1
        label[0, inside] = torch.randint(
            1, num_classes, (), generator=generator
        )
    return label


def audio_shape(cfg: Config) -> tuple[int, int]:
    """Channels and samples of the sound of a frame."""
    channels = cfg.model.get('audio_backbone', {}).get('in_channels', 1)
    rate = cfg.model.get('audio_frontend', {}).get('sample_rate', 16000)
    seconds = 1.0
    for _, dataset in innermost_datasets(cfg, 'train_dataloader')[:1]:
        for transform in dataset.get('pipeline', ()):
            if is_type(transform, CutAudioToFrame, TRANSFORMS):
                seconds = transform.get('seconds', 1.0)
            elif is_type(transform, LoadSoundSources, TRANSFORMS):
                seconds = transform.get('seconds', 3.0)
    return channels, round(seconds * rate)


def clip_settings(cfg: Config) -> list[ConfigDict]:
    """Settings of ClipDataset that the training samples come through."""
    outermost = (cfg.get('train_dataloader') or {}).get('dataset')
    return [
        settings
        for _, settings in nested_datasets(outermost, '')
        if is_type(settings, ClipDataset, DATASETS)
    ]


def clip_length_of(cfg: Config) -> int:
    """Frames of a sample of the training: T of ClipDataset, or 1."""
    return max((s.clip_length for s in clip_settings(cfg)), default=1)


def random_batch(
    cfg: Config, size: tuple[int, int], batch: int, seed: int = 0
) -> dict:
    """Make up a batch as a dataloader gives it.

    Args:
        cfg (Config): Tells classes, sound and, if it trains on clips, their
            length.
        size (tuple[int, int]): Height and width of the images.
        batch (int): Samples: frames, or clips.
        seed (int): Seed of the images.

    Returns:
        dict: ``inputs`` and ``data_samples``.
    """
    length = clip_length_of(cfg)
    generator = torch.Generator().manual_seed(seed)
    inputs, data_samples = [], []
    for index in range(batch * length):
        inputs.append(
            torch.randint(
                0, 256, (3, *size), generator=generator, dtype=torch.uint8
            )
        )
        label = random_labels(
            size, cfg.model.decode_head.num_classes, generator
        )
        audio = 0.1 * torch.randn(audio_shape(cfg), generator=generator)
        clip = dict(
            uid=f'clip {index // length}',
            frame_index=index % length,
            clip_length=length,
        )
        data_samples.append(pack_sample(label, audio, clip))
    return dict(inputs=inputs, data_samples=data_samples)


def pack_sample(
    label: Tensor, audio: Tensor | None, meta: Mapping | None = None
) -> SegDataSample:
    """Make the data sample of a frame.

    Args:
        label (Tensor): Class ids ``[1, H, W]``.
        audio (Tensor, optional): ``[channels, samples]``.
        meta (Mapping, optional): Further meta information.
    """
    size = tuple(label.shape[-2:])
    sounding = [k for k in label.unique().tolist() if k not in (0, 255)]
    sample = SegDataSample(
        metainfo=dict(
            meta or {},
            ori_shape=size,
            img_shape=size,
            audio_labels=tuple(sounding),
        )
    )
    sample.gt_sem_seg = PixelData(data=label)
    if audio is not None:
        sample.set_field(audio, 'audio')
    return sample


def real_batch(
    cfg: Config, size: tuple[int, int], batch: int, split: str
) -> dict:
    """Read frames of the configuration's dataset, brought to one size."""
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    inputs, data_samples = [], []
    frames = [
        frame
        for index in range(batch)
        for frame in frame_samples(dataset[index % len(dataset)])
    ]
    for sample in frames:
        image = F.interpolate(
            sample['inputs'][None].float(), size, mode='bilinear'
        )
        label = sample['data_samples'].gt_sem_seg.data
        label = F.interpolate(label[None].float(), size)[0].long()
        inputs.append(image[0].to(torch.uint8))
        found = sample['data_samples']
        clip = {key: found.get(key) for key in CLIP_KEYS if key in found}
        data_samples.append(pack_sample(label, found.get('audio'), clip))
    return dict(inputs=inputs, data_samples=data_samples)
