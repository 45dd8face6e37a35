"""Start here: the whole audio-visual model, in order.

Frame -> image backbone; waveform -> spectrogram -> audio backbone -> audio
pyramid; both -> decode head, of any kind (see BaseAVHead).
"""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction, join_windows
from ...structures.clips import mark_clips
from ..decode_heads.base_av_head import (
    check_head,
    check_losses,
    check_prediction,
    place_of,
)
from ..utils.input_channels import audio_channels
from ..utils.original_size import restore_original
from ..utils.pretrained import check_pretrained_weights
from ..utils.windows import check_test_cfg, window_starts


@MODELS.register_module()
class AVEncoderDecoder(EncoderDecoder):
    """Segments the objects that sound in a frame, with any BaseAVHead.

    The waveform travels as ``data_sample.audio``, ``[channels, samples]``
    float32 (see PackAVSInputs): data preprocessing, collation and test-time
    augmentation keep it there and move it to the device.

    Args:
        audio_frontend (dict): Makes the spectrogram, see AudioFrontend.
        audio_backbone (dict): Encodes it, e.g. VGGish: a sequence of levels
            (fine to coarse), or such a sequence and a global embedding
            ``[B, D]``.
        audio_neck (dict, optional): Turns the levels of the backbone into a
            pyramid of one width (fine to coarse), e.g. mmseg's FPN.
        **kwargs: Arguments of mmseg's EncoderDecoder (``backbone``,
            ``decode_head``, ``neck``, ``train_cfg``, ``test_cfg``,
            ``data_preprocessor``, ``init_cfg``).
    """

    def __init__(
        self,
        *,
        audio_frontend: dict,
        audio_backbone: dict,
        audio_neck: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_head(self.decode_head)
        self.test_cfg = self.test_cfg or {}
        check_test_cfg(self.test_cfg)
        self.audio_frontend = MODELS.build(audio_frontend)
        self.audio_backbone = MODELS.build(audio_backbone)
        self.audio_neck = MODELS.build(audio_neck) if audio_neck else None
        # A hook that wants the losses before they are summed sets it.
        self.loss_observer: Callable[[dict], dict] | None = None

    def init_weights(self) -> None:
        """Initialize; name the part whose pretrained weights are missing."""
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
                None, silence is taken.

        Returns:
            Tensor: ``[B, channels, samples]`` float32.

        Raises:
            KeyError: If a data sample carries no audio.
            ValueError: If the waveforms differ in shape.
        """
        if data_samples is None:
            return inputs.new_zeros(
                inputs.shape[0],
                audio_channels(self.audio_backbone),
                self.audio_frontend.min_samples,
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

    def extract_audio(self, waveform: Tensor) -> AudioFeatures:
        """Encode waveforms.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.

        Returns:
            AudioFeatures: Pyramid, and embedding if there is one.
        """
        _, spectrogram = self.audio_frontend(waveform)
        return self.encode_spectrogram(spectrogram)

    def extract_training_audio(
        self, waveform: Tensor, data_samples: list[SegDataSample]
    ) -> AudioFeatures:
        """Encode the waveforms of a training batch.

        To give a head more than the features of the clean sounds, override
        this method and return a subclass of AudioFeatures, as
        CPMEncoderDecoder does.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.
            data_samples (list[SegDataSample]): Samples of the batch.

        Returns:
            AudioFeatures: What ``decode_head.loss`` gets.
        """
        return self.extract_audio(waveform)

    def encode_spectrogram(self, spectrogram: Tensor) -> AudioFeatures:
        """Encode spectrograms.

        Args:
            spectrogram (Tensor): ``[B, channels, T, F]``.

        Returns:
            AudioFeatures: Pyramid, and embedding if there is one.
        """
        levels, embedding = self.audio_backbone(spectrogram), None
        if len(levels) == 2 and isinstance(levels[0], list | tuple):
            levels, embedding = levels
        if self.audio_neck is not None:
            self._check_levels(levels)
            levels = self.audio_neck(levels)
        return AudioFeatures(list(levels)[::-1], embedding)

    def _check_levels(self, levels: list[Tensor]) -> None:
        """Refuse levels that the neck was not made for."""
        expected = getattr(self.audio_neck, 'in_channels', None)
        found = [level.shape[1] for level in levels]
        if expected is not None and found != list(expected):
            backbone = self.audio_backbone
            shapes = ', '.join(str(tuple(level.shape)) for level in levels)
            raise ValueError(
                f'model.audio_neck has in_channels={list(expected)}, but '
                f'model.audio_backbone {type(backbone).__name__} '
                f'({place_of(backbone)}) gives {len(found)} levels with '
                f'{found} channels (shapes {shapes}). Set '
                f'model.audio_neck.in_channels={found}, or change '
                'model.audio_backbone.out_indices.'
            )

    def loss(
        self, inputs: Tensor, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, normalized.
            data_samples (list[SegDataSample]): With ``gt_sem_seg`` and
                ``audio``.

        Returns:
            dict[str, Tensor]: Loss terms, prefixed with ``decode.``.
        """
        # 1. sounds
        waveform = self.stack_audio(inputs, data_samples)
        audio = self.extract_training_audio(waveform, data_samples)
        audio = mark_clips(audio, data_samples, inputs.device)
        # 2. images
        image_features = self.extract_feat(inputs)
        # 3. both
        losses = self.decode_head.loss(image_features, audio, data_samples)
        check_losses(self.decode_head, losses)
        return {f'decode.{name}': value for name, value in losses.items()}

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict]:
        """Sum the losses; an observer may add to the log.

        Args:
            losses (dict[str, Tensor]): Terms by name.

        Returns:
            tuple[Tensor, dict]: Their sum, and what to log.
        """
        total, logged = super().parse_losses(losses)
        if self.loss_observer is not None:
            logged.update(self.loss_observer(losses))
        return total, logged

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment a batch.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, normalized, padded.
            data_samples (list[SegDataSample], optional): With ``audio``;
                without data samples, silence is taken.

        Returns:
            list[SegDataSample]: With ``pred_sem_seg`` ``[1, h, w]``, the
            class scores ``seg_logits`` ``[classes, h, w]`` at the original
            size, and what else the head predicts, see AVPrediction. The
            audio is not kept.
        """
        # 1. what depends on the sound alone, once for all windows
        audio = self.extract_audio(self.stack_audio(inputs, data_samples))
        audio = mark_clips(audio, data_samples, inputs.device)
        encoded_audio = self.decode_head.encode_audio(audio)
        # 2. scores
        if self.test_cfg.get('mode', 'whole') == 'slide':
            prediction = self.slide_inference(inputs, encoded_audio)
        else:
            prediction = self.whole_inference(inputs, encoded_audio)
        # 3. segmentation at the size of the frames
        results = self.postprocess_result(prediction.scores, data_samples)
        extras = prediction.extras()
        for index, result in enumerate(results):
            result.pop('audio', None)
            result.pop('offscreen_audio', None)
            result.set_data({k: v[index] for k, v in extras.items()})
        return results

    def whole_inference(
        self, inputs: Tensor, encoded_audio: Any
    ) -> AVPrediction:
        """Score every pixel of the whole images.

        Args:
            inputs (Tensor): ``[B, 3, H, W]``.
            encoded_audio (Any): Result of the head's ``encode_audio``.

        Returns:
            AVPrediction: Scores ``[B, classes, H, W]``, and what else the
            head predicts.
        """
        size = tuple(inputs.shape[-2:])
        prediction = self.decode_head.predict(
            self.extract_feat(inputs), encoded_audio, size
        )
        check_prediction(self.decode_head, prediction, len(inputs), size)
        return prediction

    def slide_inference(
        self, inputs: Tensor, encoded_audio: Any
    ) -> AVPrediction:
        """Average the scores of overlapping windows; the audio is shared.

        Args:
            inputs (Tensor): ``[B, 3, H, W]``.
            encoded_audio (Any): Result of the head's ``encode_audio``.

        Returns:
            AVPrediction: See :meth:`whole_inference`.
        """
        height, width = inputs.shape[-2:]
        window_h, window_w = self.test_cfg.crop_size
        stride_h, stride_w = self.test_cfg.stride
        scores = inputs.new_zeros(
            (inputs.shape[0], self.out_channels, height, width)
        )
        counts = inputs.new_zeros((1, 1, height, width))
        extras = []
        for top in window_starts(height, window_h, stride_h):
            for left in window_starts(width, window_w, stride_w):
                area = (
                    ...,
                    slice(top, top + window_h),
                    slice(left, left + window_w),
                )
                window = self.whole_inference(inputs[area], encoded_audio)
                scores[area] += window.scores
                counts[area] += 1
                extras.append(window.extras())
        return join_windows(scores / counts, extras)

    def postprocess_result(
        self,
        seg_logits: Tensor,
        data_samples: list[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Bring scores to the frames' own sizes, and name the best class.

        Args:
            seg_logits (Tensor): Scores ``[B, classes, H, W]``.
            data_samples (list[SegDataSample], optional): Samples of the
                frames; the scores keep their size without them.

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
    ) -> Any:
        """Raw outputs of the head (mode 'tensor')."""
        audio = self.extract_audio(self.stack_audio(inputs, data_samples))
        audio = mark_clips(audio, data_samples, inputs.device)
        return self.decode_head(self.extract_feat(inputs), audio)
