"""Collection of what prompts, mixtures and queries of a model stand for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn as nn
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample
from torch import Tensor

from mmcpm.models.losses.acp_loss import recovered_ratio, unexplained_ratio
from mmcpm.models.segmentors import AVEncoderDecoder, CPMEncoderDecoder
from mmcpm.models.utils.mixing import MixedAudio, MixedAudioFeatures
from mmcpm.structures import get_audio_labels

from .mixture_figure import MixturePoints
from .query_figure import FrameQueries
from .sounding_frames import sounding_labels
from .spectrogram_figure import Recovery, masked_magnitude


@torch.no_grad()
def separate_sources(
    model: AVEncoderDecoder,
    frames: Sequence[dict],
    classes: Sequence[str],
    seed: int,
) -> tuple[list[Recovery], list[str]]:
    """Let the prompts of the labeled classes undo mixtures of the frames.

    Args:
        model (AVEncoderDecoder): Model in evaluation mode.
        frames (Sequence[dict]): Packed samples. What is mixed in is the sound
            of another of them, or their own ``offscreen_audio``.
        classes (Sequence[str]): Names of the classes.
        seed (int): Seed of partners and prompts.

    Returns:
        tuple[list[Recovery], list[str]]: What was recovered, and why nothing
        was for other frames, or for all.
    """
    head = model.decode_head
    if not getattr(head, 'use_mixtures', False):
        return [], [
            'left out, the head was not taught to recover sounds (it has no '
            'loss_acp)'
        ]
    if not isinstance(model, CPMEncoderDecoder):
        return [], [
            "left out, model.type is not 'CPMEncoderDecoder', which makes "
            'mixtures of sounds'
        ]
    prepared = [_prepare(model, frame) for frame in frames]
    samples = [sample for _, sample in prepared]
    if head.num_classes > 2:
        # Names are those of whole clips. Of a few frames hardly two share
        # none; the classes of the second tell enough for a picture.
        samples = [sample.clone() for sample in samples]
        for sample in samples:
            sample.pop('sound_sources', None)
    rows, notes = [], []
    with _seeded(seed, prepared[0][0].device):
        audio = model.extract_mixed_audio(
            model.stack_audio(prepared[0][0], samples), samples
        )
        for i, (inputs, sample) in enumerate(prepared):
            # One by one: frames of a dataset may differ in size.
            one = slice(i, i + 1)
            mine = MixedAudioFeatures(
                [level[one] for level in audio.levels],
                mixture=MixedAudio(
                    [level[one] for level in audio.mixture.levels],
                    *(part[one] for part in audio.mixture[1:]),
                ),
            )
            row = _recover(
                model, inputs, sample, mine, frame_title(sample, classes)
            )
            if isinstance(row, str):
                notes.append(f'without {sample.sample_id}, {row}')
            else:
                rows.append(row)
    if not rows:
        notes.append('left out, no frame remains')
    return rows, notes


def _recover(
    model: AVEncoderDecoder,
    inputs: Tensor,
    sample: SegDataSample,
    audio: MixedAudioFeatures,
    title: str,
) -> Recovery | str:
    """Recover the sound of one frame, or say why that means nothing."""
    head, mixed = model.decode_head, audio.mixture
    classes = get_audio_labels([sample], head.num_classes, head.ignore_index)
    if not classes[0]:
        return 'in which nothing sounds'
    if not mixed.mixed:
        return (
            'for which no other frame has another sound (of another clip, '
            'without a class in common): choose more or others'
        )
    prompted = head.decode_prompts(
        head.forward_pixel_decoder(model.extract_feat(inputs)), audio, classes
    )
    # As in the loss: prompts of some classes cannot recover the sound of all.
    sounding = prompted.labels > 0
    if not (
        set(classes[0]) <= set(prompted.classes[0])
        and prompted.valid[sounding].all()
    ):
        return 'of which not every class could be prompted'
    logits = head.audio_masks(prompted, mixed)
    ratio = recovered_ratio(
        logits, tuple(mixed.ratio.shape[-2:]), sounding.to(logits)
    )
    mixture = _array(mixed.magnitude.mean(1)[0])  # [T, F]
    target = masked_magnitude(mixture, _array(mixed.ratio[0]))
    return Recovery(
        title,
        mixture=mixture,
        noise=mixture - target,
        target=target,
        recovered=masked_magnitude(mixture, _array(ratio[0])),
        unexplained=float(unexplained_ratio(logits, mixed.ratio, sounding)),
    )


@torch.no_grad()
def mixture_points(
    mixtures: nn.Module, per_class: int, seed: int, noise: bool = True
) -> MixturePoints:
    """Read the mixtures, and draw prompts from them."""
    known = mixtures.count > 0  # [C + 1]
    slots = torch.arange(mixtures.bank.shape[1], device=known.device)
    valid = slots < mixtures.count[:, None]  # [C + 1, S]
    fitted = (known & (mixtures.num_updates > 0)).nonzero()[:, 0]
    prompted = torch.arange(1, mixtures.num_classes, device=known.device)
    prompted = prompted[mixtures.ready(prompted)]
    sample_labels = prompted.repeat_interleave(per_class)
    with _seeded(seed, known.device):
        samples = mixtures.sample(sample_labels, noise=noise)
    return MixturePoints(
        members=_array(mixtures.bank[valid]),
        labels=_array(valid.nonzero()[:, 0]),
        means=_array(mixtures.mean[fitted]),
        weights=_array(mixtures.log_weight[fitted].exp()),
        mean_labels=_array(fitted),
        samples=_array(samples),
        sample_labels=_array(sample_labels),
    )


@torch.no_grad()
def collect_query_classes(
    model: AVEncoderDecoder, frames: Sequence[dict], classes: Sequence[str]
) -> list[FrameQueries]:
    """Segment frames, and ask their queries for their classes."""
    rows = []
    for frame in frames:
        inputs, sample = _prepare(model, frame)
        title = frame_title(sample, classes)
        (result,) = model.predict(inputs, [sample])
        rows.append(
            FrameQueries(
                title,
                # As the model sees it, but RGB.
                frame=np.ascontiguousarray(
                    frame['inputs'].permute(1, 2, 0).numpy()[..., ::-1]
                ),
                labels=_array(sample.gt_sem_seg.data[0]),
                prediction=_array(result.pred_sem_seg.data[0]),
                audio_query_classes=_array(result.audio_query_classes),
                query_classes=_array(result.query_classes).reshape(
                    -1, model.decode_head.num_queries
                ),
            )
        )
    return rows


def frame_title(sample: SegDataSample, classes: Sequence[str]) -> str:
    """Name a frame and what sounds in it.

    Returns:
        str: E.g. ``'clip/3: dog, violin'``.
    """
    names = [classes[k] for k in sounding_labels(sample)]
    return f'{sample.sample_id}: {", ".join(names) or "nothing sounds"}'


def _prepare(
    model: AVEncoderDecoder, frame: dict
) -> tuple[Tensor, SegDataSample]:
    """Make a batch of one frame: image ``[1, 3, H, W]`` and data sample."""
    data = model.data_preprocessor(pseudo_collate([frame]), False)
    (sample,) = data['data_samples']
    sounding_labels(sample)
    return data['inputs'], sample


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw with a seed of one's own; other GPUs are not touched."""
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(seed)
        yield


def _array(tensor: Tensor) -> np.ndarray:
    """Bring a tensor to numpy."""
    return tensor.detach().cpu().numpy()
