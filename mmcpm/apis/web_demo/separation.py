"""One source out of a clip's sound, by the ratio masks of CPM's prompts.

Training taught the masks to undo mixtures with a sound from off the screen,
all classes of a frame together (CPM, equation (5)). The mask of one class
alone is a by-product, and as good as the model is.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate

from mmcpm.models.losses.acp_loss import recovered_ratio
from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.errors import UsageError

from ..av_inferencer import AVSInferencer
from ..clips import choose_frames, open_clip
from .time_line import Span, classes_between

SEED = 0
# Seconds after a frame within which its prediction surely holds.
NEAR = 1e-3
# Windows of the transform that is masked overlap by three quarters.
OVERLAP = 4


def why_not(model: AVEncoderDecoder) -> str:
    """Tell why a model cannot separate sources.

    Args:
        model (AVEncoderDecoder): Any model.

    Returns:
        str: Reason; empty if it can.
    """
    head = model.decode_head
    if not getattr(head, 'use_mixtures', False):
        return (
            f'{type(head).__name__} predicts no masks of sounds: that takes '
            'CPMHead with loss_acp'
        )
    if getattr(head, 'prompts', None) is None:
        return f'{type(head).__name__} has no prompts'
    return ''


def resample_ratio(
    centers: np.ndarray, ratio: np.ndarray, times: np.ndarray, bins: int
) -> np.ndarray:
    """Bring ratio masks to the times and frequencies of a transform.

    Args:
        centers (np.ndarray): Ascending times of the columns, seconds, shape
            (T,).
        ratio (np.ndarray): Masks in 0..1, shape (T, F).
        times (np.ndarray): Wanted times, shape (N,). Outside of the centers
            the nearest column counts.
        bins (int): Wanted frequencies, at least F; the highest is repeated.

    Returns:
        np.ndarray: Shape (N, bins).
    """
    columns = np.stack(
        [np.interp(times, centers, one) for one in ratio.T], axis=1
    )
    missing = bins - columns.shape[1]
    return np.pad(columns, ((0, 0), (0, missing)), mode='edge')


def apply_ratio(
    waveform: np.ndarray,
    sample_rate: int,
    centers: np.ndarray,
    ratio: np.ndarray,
    n_fft: int,
    win_length: int,
) -> np.ndarray:
    """Weaken a sound by a ratio mask; its phases stay.

    Args:
        waveform (np.ndarray): Samples, float32, shape (channels, samples).
        sample_rate (int): Hz.
        centers (np.ndarray): See :func:`resample_ratio`.
        ratio (np.ndarray): Masks in 0..1, shape (T, F).
        n_fft (int): Length of the transform, samples.
        win_length (int): Length of the Hann window, samples.

    Returns:
        np.ndarray: float32, shape (channels, samples).
    """
    samples = torch.from_numpy(np.ascontiguousarray(waveform))
    hop = max(1, win_length // OVERLAP)
    form = dict(
        n_fft=n_fft,
        hop_length=hop,
        win_length=win_length,
        window=torch.hann_window(win_length),
    )
    length = samples.shape[1]
    short = max(0, n_fft // 2 + 1 - length)
    samples = torch.nn.functional.pad(samples, (0, short))
    spectrum = torch.stft(samples, return_complex=True, **form)  # [C, F, N]
    times = np.arange(spectrum.shape[2]) * hop / sample_rate
    mask = resample_ratio(centers, ratio, times, spectrum.shape[1])
    masked = spectrum * torch.from_numpy(mask.T.astype(np.float32))
    sound = torch.istft(masked, length=samples.shape[1], **form)
    return sound[:, :length].numpy()


def share_ratio(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Divide what prompts recover together among them.

    Of one prompt, this is the mask that training teaches.

    Args:
        logits (Tensor): Audio mask logits of K prompts, shape (K, t, f).
        size (tuple[int, int]): T and F.

    Returns:
        Tensor: Ratio masks in 0..1, shape (K, T, F).
    """
    together = recovered_ratio(
        logits[None], size, logits.new_ones(1, len(logits))
    )
    shares = F.interpolate(
        logits[None], size=size, mode='bilinear', align_corners=False
    )[0].softmax(0)
    return shares * together


@torch.no_grad()
def predict_ratio(
    model: AVEncoderDecoder, packed: dict, classes: list[int], wanted: int
) -> np.ndarray | None:
    """Let the prompts of classes mask the spectrogram of a frame's sound.

    Args:
        model (AVEncoderDecoder): Model in evaluation mode.
        packed (dict): Packed frame.
        classes (list[int]): Classes to prompt, with the wanted one.
        wanted (int): The class.

    Returns:
        np.ndarray, optional: Ratio mask of the wanted class in 0..1, shape
        (T, F); None if the mixtures do not know it.
    """
    head = model.decode_head
    data = model.data_preprocessor(pseudo_collate([packed]), False)
    waveform = model.stack_audio(data['inputs'], data['data_samples'])
    audio = model.extract_audio(waveform)
    devices = [waveform.device] if waveform.device.type == 'cuda' else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(SEED)
        prompted = head.decode_prompts(
            head.forward_pixel_decoder(model.extract_feat(data['inputs'])),
            audio,
            [classes],
        )
    valid = prompted.valid[0]
    labels = prompted.labels[0][valid].tolist()
    if wanted not in labels:
        return None
    logits = head.audio_masks(prompted, audio)[0][valid]
    size = model.audio_frontend.num_frames, model.audio_frontend.num_bins
    return share_ratio(logits, size)[labels.index(wanted)].cpu().numpy()


def separate(
    inferencer: AVSInferencer,
    path: str,
    wanted: int,
    spans: Sequence[Span],
    seconds: float,
) -> np.ndarray:
    """Separate the sound of a class from that of a clip.

    Where the model does not find the class, there is silence.

    Args:
        inferencer (AVSInferencer): Has the model.
        path (str): Video.
        wanted (int): The class.
        spans (Sequence[Span]): What the model finds in the clip.
        seconds (float): Length of the clip.

    Returns:
        np.ndarray: Samples at the model's rate, float32, shape (channels,
        samples).

    Raises:
        UsageError: If the model has no masks, or does not know the class.
    """
    model, pipeline = inferencer.model, inferencer.pipeline
    reason = why_not(model)
    if reason:
        raise UsageError(f'no source can be separated: {reason}')
    most = model.decode_head.prompts.max_prompts
    frontend, rate = model.audio_frontend, pipeline.sample_rate
    centers, ratios = [], []
    with open_clip(path, pipeline) as clip:
        sound = pipeline.open_sound(clip.sound, clip.sound_name)
        waveform = sound.cut(0, math.ceil(seconds * rate))
        frames = choose_frames(clip.frames, 1 / pipeline.audio_step)
        for frame, is_chosen in frames:
            if not is_chosen:
                continue
            start = pipeline.window_start(frame.time)
            found = classes_between(spans, frame.time, frame.time + NEAR)
            ratio = np.zeros((frontend.num_frames, frontend.num_bins))
            if wanted in found:
                others = [k for k in found if k != wanted][: most - 1]
                packed = pipeline(frame.image, sound, frame.time, 'clip/0')
                ratio = predict_ratio(
                    model, packed, sorted([wanted, *others]), wanted
                )
            if ratio is None:
                raise UsageError(
                    f'the model has met {inferencer.classes[wanted]} too '
                    'seldom to separate it'
                )
            hops = np.arange(len(ratio)) * frontend.hop_length
            centers.append(start + hops / rate)
            ratios.append(ratio)
    times = np.concatenate(centers)
    # Windows that are longer than their steps overlap.
    order = np.argsort(times, kind='stable')
    return apply_ratio(
        waveform,
        rate,
        times[order],
        np.concatenate(ratios)[order],
        frontend.n_fft,
        frontend.window.numel(),
    )
