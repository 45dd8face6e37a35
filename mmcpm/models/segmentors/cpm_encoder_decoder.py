"""What only CPM asks of a segmentor: mixtures of sounds."""

import torch
import torch.nn as nn
from mmengine.dist import get_world_size
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.audio_labels import get_audio_labels
from ..losses.acp_loss import ratio_mask
from ..losses.point_sampling import classes_present
from ..utils.batch_statistics import (
    frozen_running_statistics,
    has_batch_statistics,
)
from ..utils.mixing import MixedAudio, MixedAudioFeatures, sounds_of_others
from .av_encoder_decoder import AVEncoderDecoder


@MODELS.register_module()
class CPMEncoderDecoder(AVEncoderDecoder):
    """AVEncoderDecoder for CPMHead.

    During training the head gets the features of mixtures of sounds beside
    those of the clean ones, if it has ``loss_acp``.

    Args:
        **kwargs: Arguments of AVEncoderDecoder.
    """

    def extract_training_audio(
        self, waveform: Tensor, data_samples: list[SegDataSample]
    ) -> AudioFeatures:
        """Encode the sounds and, if the head asks for them, mixtures.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.
            data_samples (list[SegDataSample]): Samples of the batch.

        Returns:
            AudioFeatures: With ``mixture`` if the head asks for it.
        """
        if getattr(self.decode_head, 'use_mixtures', False):
            return self.extract_mixed_audio(waveform, data_samples)
        return self.extract_audio(waveform)

    def extract_mixed_audio(
        self, waveform: Tensor, data_samples: list[SegDataSample]
    ) -> MixedAudioFeatures:
        """Encode the sounds, and their mixtures with something off-screen.

        Magnitudes are added, so that the ratio of clean to mixture lies in
        0..1 (CPM, Section 3.2.2). What is mixed in is the
        ``offscreen_audio`` of a sample (see LoadOffscreenAudio), or else the
        sound of another one, see :func:`.mixing.sounds_of_others`.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.
            data_samples (list[SegDataSample]): Tell the sounding classes.

        Returns:
            MixedAudioFeatures: The clean sounds as :meth:`extract_audio`
            gives them, and the mixtures.
        """
        magnitude, spectrogram = self.audio_frontend(waveform)
        recorded = ['offscreen_audio' in sample for sample in data_samples]
        offscreen = torch.zeros_like(magnitude)
        # All ranks take part, whatever their own samples carry.
        if get_world_size() > 1 or not all(recorded):
            offscreen = sounds_of_others(
                magnitude,
                self._labels(data_samples),
                [sample.metainfo for sample in data_samples],
            )
        if any(recorded):
            sounds = [
                sample.offscreen_audio if found else torch.zeros_like(own)
                for sample, found, own in zip(
                    data_samples, recorded, waveform, strict=True
                )
            ]
            sounds, _ = self.audio_frontend(
                torch.stack([s.to(waveform.device) for s in sounds])
            )
            offscreen = torch.stack(
                [
                    sounds[i] if found else offscreen[i]
                    for i, found in enumerate(recorded)
                ]
            )
        mixed = offscreen.flatten(1).any(1)
        mixture = magnitude + offscreen
        mixed_spectrogram = self.audio_frontend.compress(mixture)
        parts = [self.audio_backbone, self.audio_neck]
        encoder = nn.ModuleList(part for part in parts if part is not None)
        if has_batch_statistics(encoder):
            # One call would let the mixtures change the clean features.
            clean = self.encode_spectrogram(spectrogram)
            levels, embedding = clean.levels, clean.embedding
            with frozen_running_statistics(encoder):
                mixed_levels = self.encode_spectrogram(
                    mixed_spectrogram
                ).levels
        else:
            both = self.encode_spectrogram(
                torch.cat([spectrogram, mixed_spectrogram])
            )
            pairs = [level.chunk(2) for level in both.levels]
            levels = [pair[0] for pair in pairs]
            mixed_levels = [pair[1] for pair in pairs]
            embedding = both.embedding
            if embedding is not None:
                embedding = embedding.chunk(2)[0]
        ratio = ratio_mask(magnitude, mixture)
        return MixedAudioFeatures(
            levels,
            embedding,
            mixture=MixedAudio(mixed_levels, ratio, mixed, mixture),
        )

    def _labels(self, data_samples: list[SegDataSample]) -> Tensor:
        """Foreground classes that sound, ``[B, classes]`` bool."""
        head, visible = self.decode_head, None
        # Of the whole frame: the sound of what the crop has lost remains.
        if any('audio_labels' not in s.metainfo for s in data_samples):
            visible = classes_present(
                torch.cat([s.gt_sem_seg.data for s in data_samples]),
                head.ignore_index,
            )
        classes = get_audio_labels(
            data_samples, self.num_classes, head.ignore_index, visible
        )
        labels = torch.zeros(len(classes), self.num_classes, dtype=torch.bool)
        for row, found in zip(labels, classes, strict=True):
            row[found] = True
        return labels
