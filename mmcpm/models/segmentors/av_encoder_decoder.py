"""Start here: the whole audio-visual model, in order.

Frame -> image backbone; waveform -> spectrogram -> audio backbone -> audio
pyramid; both -> decode head, where the queries meet the audio, then the image.
"""

import logging

import torch
import torch.nn as nn
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..losses.acp_loss import ratio_mask
from ..utils.batch_statistics import (
    frozen_running_statistics,
    has_batch_statistics,
)
from ..utils.gradient_shares import gradient_shares
from ..utils.mixing import MixedAudio, sounds_of_others
from ..utils.original_size import restore_original
from ..utils.pretrained import check_pretrained_weights
from ..utils.windows import check_test_cfg, window_starts


@MODELS.register_module()
class AVEncoderDecoder(EncoderDecoder):
    """Segments the objects that sound in a frame.

    The waveform travels as ``data_sample.audio``, ``[channels, samples]``
    float32 (see PackAVSInputs): data preprocessing, collation and test-time
    augmentation keep it there and move it to the device.

    Args:
        audio_frontend (dict): Makes the spectrogram, see AudioFrontend.
        audio_backbone (dict): Encodes it, e.g. VGGish.
        audio_neck (dict): Turns the backbone's outputs (fine to coarse) into
            a pyramid of one width (fine to coarse), e.g. mmseg's FPN.
        **kwargs: Of mmseg's EncoderDecoder (``backbone``, ``decode_head``,
            ``neck``, ``train_cfg``, ``test_cfg``, ``data_preprocessor``,
            ``init_cfg``).

    Raises:
        ValueError: If the decode head is one of images alone.
    """

    def __init__(
        self,
        *,
        audio_frontend: dict,
        audio_backbone: dict,
        audio_neck: dict,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not hasattr(self.decode_head, 'listen'):
            raise ValueError(
                'AVEncoderDecoder needs a decode head that listens (methods '
                'listen, loss and predict as those of AVMask2FormerHead), but '
                f'got {type(self.decode_head).__name__}. Models of images '
                "alone are EncoderDecoder's"
            )
        self.test_cfg = self.test_cfg or {}
        check_test_cfg(self.test_cfg)
        self.audio_frontend = MODELS.build(audio_frontend)
        self.audio_backbone = MODELS.build(audio_backbone)
        self.audio_neck = MODELS.build(audio_neck)
        # Set by GradientShareHook.
        self.watch_gradients = False
        self._can_watch_gradients = True

    def init_weights(self) -> None:
        """Initialise; name the part whose pretrained weights are missing."""
        check_pretrained_weights(self)
        super().init_weights()

    def stack_audio(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None
    ) -> Tensor:
        """Batch the waveforms of the data samples.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, for batch size and
                device.
            data_samples (list[SegDataSample], optional): With ``audio``. If
                None the model hears silence.

        Returns:
            Tensor: ``[B, channels, samples]`` float32.

        Raises:
            KeyError: If a data sample carries no audio.
            ValueError: If the waveforms differ in shape.
        """
        if data_samples is None:
            channels = getattr(self.audio_backbone, 'in_channels', 1)
            return inputs.new_zeros(
                (inputs.shape[0], channels, self.audio_frontend.min_samples)
            )
        for data_sample in data_samples:
            if 'audio' not in data_sample:
                raise KeyError(
                    'The data sample of '
                    f'{data_sample.metainfo.get("img_path", "an image")} '
                    'carries no audio. The pipeline needs LoadAudioFromFile, '
                    'CutAudioToFrame and PackAVSInputs (not '
                    'PackSegInputs).'
                )
        waveforms = [data_sample.audio for data_sample in data_samples]
        if len({waveform.shape for waveform in waveforms}) > 1:
            raise ValueError(
                'The waveforms of a batch must have one shape, but got '
                f'{sorted({tuple(w.shape) for w in waveforms})} (channels, '
                'samples). CutAudioToFrame gives every frame the same '
                'duration.'
            )
        return torch.stack(waveforms).to(inputs.device)

    def extract_audio(self, waveform: Tensor) -> list[Tensor]:
        """Encode waveforms into a pyramid.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.

        Returns:
            list[Tensor]: Coarse to fine, each ``[B, C, t, f]``.
        """
        _, spectrogram = self.audio_frontend(waveform)
        return self.encode_audio(spectrogram)

    def encode_audio(self, spectrogram: Tensor) -> list[Tensor]:
        """Encode spectrograms into a pyramid.

        Args:
            spectrogram (Tensor): ``[B, channels, T, F]``.

        Returns:
            list[Tensor]: Coarse to fine, each ``[B, C, t, f]``.
        """
        levels = self.audio_neck(self.audio_backbone(spectrogram))
        return list(levels)[::-1]

    def extract_mixed_audio(
        self, waveform: Tensor, data_samples: list[SegDataSample]
    ) -> tuple[list[Tensor], MixedAudio]:
        """Encode the sounds, and their mixtures with something off-screen.

        Magnitudes are added, so that the ratio of clean to mixture lies in
        0..1 (CPM, Section 3.2.2). What is mixed in is the
        ``offscreen_audio`` of a sample (see LoadOffscreenAudio), or else the
        sound of another one, see :func:`.mixing.sounds_of_others`.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.
            data_samples (list[SegDataSample]): Tell the sounding classes.

        Returns:
            tuple[list[Tensor], MixedAudio]: Levels of the clean sounds as
            :meth:`extract_audio` gives them, and the mixtures.
        """
        magnitude, spectrogram = self.audio_frontend(waveform)
        recorded = ['offscreen_audio' in sample for sample in data_samples]
        offscreen = torch.zeros_like(magnitude)
        # All ranks take part, whatever their own samples carry.
        if get_world_size() > 1 or not all(recorded):
            offscreen = sounds_of_others(
                magnitude,
                self._sounding(data_samples),
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
        encoder = nn.ModuleList([self.audio_backbone, self.audio_neck])
        if has_batch_statistics(encoder):
            # One call would let the mixtures change the clean features.
            levels = self.encode_audio(spectrogram)
            with frozen_running_statistics(encoder):
                mixed_levels = self.encode_audio(mixed_spectrogram)
        else:
            both = self.encode_audio(
                torch.cat([spectrogram, mixed_spectrogram])
            )
            pairs = [level.chunk(2) for level in both]
            levels = [pair[0] for pair in pairs]
            mixed_levels = [pair[1] for pair in pairs]
        return levels, MixedAudio(
            mixed_levels, ratio_mask(magnitude, mixture), mixed, mixture
        )

    def _sounding(self, data_samples: list[SegDataSample]) -> Tensor:
        """Foreground classes of the samples, ``[B, classes]`` bool."""
        head = self.decode_head
        if all('audio_labels' in s.metainfo for s in data_samples):
            # Of the whole frame: what the crop has lost sounds on.
            classes = [
                head.known_classes(s.metainfo['audio_labels'], s.metainfo)
                for s in data_samples
            ]
        else:
            classes = head.sounding_classes(data_samples)
        labels = torch.zeros(len(classes), self.num_classes, dtype=torch.bool)
        for row, found in zip(labels, classes, strict=True):
            row[[k for k in found if k > 0]] = True
        return labels

    def loss(
        self, inputs: Tensor, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, normalised.
            data_samples (list[SegDataSample]): With ``gt_sem_seg`` and
                ``audio``.

        Returns:
            dict[str, Tensor]: Loss terms, prefixed with ``decode.``.
        """
        waveform = self.stack_audio(inputs, data_samples)
        if getattr(self.decode_head, 'hears_mixtures', False):
            audio = self.extract_mixed_audio(waveform, data_samples)
        else:
            audio = (self.extract_audio(waveform),)
        levels, *mixed = audio
        losses = self.decode_head.loss(
            self.extract_feat(inputs), levels, data_samples, *mixed
        )
        return {f'decode.{name}': value for name, value in losses.items()}

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict]:
        """Sum the losses; add the shares of their gradients if asked to.

        Args:
            losses (dict[str, Tensor]): Of :meth:`loss`.

        Returns:
            tuple[Tensor, dict]: Their sum, and what to log.
        """
        total, logged = super().parse_losses(losses)
        decoder = getattr(self.decode_head, 'audio_query_decoder', None)
        wanted = self.watch_gradients and self._can_watch_gradients
        if wanted and decoder is not None:
            try:
                shares = gradient_shares(losses, decoder.parameters())
            except RuntimeError as error:
                # Too little memory, or parts that can be differentiated only
                # once: what is only logged must not end a run.
                print_log(
                    'The shares of the gradient cannot be computed '
                    f'({str(error).strip().splitlines()[0]}).',
                    logger='current',
                    level=logging.WARNING,
                )
                shares, self._can_watch_gradients = {}, False
            logged.update({f'gradient_{k}': v for k, v in shares.items()})
        return total, logged

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment a batch.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, normalised, padded.
            data_samples (list[SegDataSample], optional): With ``audio``;
                without data samples the model hears silence.

        Returns:
            list[SegDataSample]: With ``pred_sem_seg`` ``[1, h, w]``, the
            class scores ``seg_logits`` ``[classes, h, w]`` at the original
            size, and, of heads with queries, the class of each query before
            it looks and after: ``heard_classes`` ``[N]``, ``named_classes``
            ``[N]`` (of all windows). The audio is not kept.
        """
        audio_levels = self.extract_audio(
            self.stack_audio(inputs, data_samples)
        )
        query = self.decode_head.listen(audio_levels)
        named: list[Tensor] = []
        if self.test_cfg.get('mode', 'whole') == 'slide':
            scores = self.slide_inference(inputs, query, named)
        else:
            scores = self.whole_inference(inputs, query, named)
        results = self.postprocess_result(scores, data_samples)
        stages = {}
        if hasattr(self.decode_head, 'heard_classes'):
            stages['heard_classes'] = self.decode_head.heard_classes(query)
        if named:
            stages['named_classes'] = torch.cat(named, 1)
        for index, result in enumerate(results):
            result.pop('audio', None)
            result.pop('offscreen_audio', None)
            result.set_data({k: v[index] for k, v in stages.items()})
        return results

    def whole_inference(
        self, inputs: Tensor, query: Tensor, named: list[Tensor] | None = None
    ) -> Tensor:
        """Score every pixel of the whole images.

        Args:
            inputs (Tensor): ``[B, 3, H, W]``.
            query (Tensor): Queries that have heard the audio, ``[B, N, C]``.
            named (list[Tensor], optional): Receives the classes of the
                queries, see the decode head's ``predict``.

        Returns:
            Tensor: ``[B, classes, H, W]``.
        """
        return self.decode_head.predict(
            self.extract_feat(inputs), query, tuple(inputs.shape[-2:]), named
        )

    def slide_inference(
        self, inputs: Tensor, query: Tensor, named: list[Tensor] | None = None
    ) -> Tensor:
        """Average the scores of overlapping windows; the audio is shared.

        Args:
            inputs (Tensor): ``[B, 3, H, W]``.
            query (Tensor): Queries that have heard the audio, once for all
                windows, ``[B, N, C]``.
            named (list[Tensor], optional): See :meth:`whole_inference`.

        Returns:
            Tensor: ``[B, classes, H, W]``.
        """
        height, width = inputs.shape[-2:]
        window_h, window_w = self.test_cfg.crop_size
        stride_h, stride_w = self.test_cfg.stride
        scores = inputs.new_zeros(
            (inputs.shape[0], self.out_channels, height, width)
        )
        counts = inputs.new_zeros((1, 1, height, width))
        for top in window_starts(height, window_h, stride_h):
            for left in window_starts(width, window_w, stride_w):
                area = (
                    ...,
                    slice(top, top + window_h),
                    slice(left, left + window_w),
                )
                scores[area] += self.whole_inference(
                    inputs[area], query, named
                )
                counts[area] += 1
        return scores / counts

    def postprocess_result(
        self,
        seg_logits: Tensor,
        data_samples: list[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Bring scores to the frames' own sizes, and name the best class.

        Args:
            seg_logits (Tensor): Scores ``[B, classes, H, W]``.
            data_samples (list[SegDataSample], optional): Of the frames; the
                scores keep their size without them.

        Returns:
            list[SegDataSample]: With ``seg_logits`` and ``pred_sem_seg``.
        """
        if data_samples is None:
            return super().postprocess_result(seg_logits)
        for scores, data_sample in zip(seg_logits, data_samples, strict=True):
            scores = restore_original(
                scores, data_sample.metainfo, self.align_corners
            )
            data_sample.seg_logits = PixelData(data=scores)
            # Half the time of argmax.
            data_sample.pred_sem_seg = PixelData(
                data=scores.max(0, keepdim=True).indices
            )
        return data_samples

    def _forward(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Raw class and mask logits of every layer (mode 'tensor')."""
        audio_levels = self.extract_audio(
            self.stack_audio(inputs, data_samples)
        )
        return self.decode_head(self.extract_feat(inputs), audio_levels)
