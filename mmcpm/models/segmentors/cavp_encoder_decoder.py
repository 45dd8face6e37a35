"""What only CAVP asks of a segmentor: sounds that do not match the image."""

import torch
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ..utils.input_channels import audio_channels
from ..utils.sound_pairs import (
    PairedAudioFeatures,
    ShuffledAudio,
    matching_sounds,
    sounding_classes,
    swap_sounds,
)
from ..utils.transfers import few_numbers
from .av_encoder_decoder import AVEncoderDecoder


@MODELS.register_module()
class CAVPEncoderDecoder(AVEncoderDecoder):
    """AVEncoderDecoder for CAVPHead.

    During training the head gets, beside the features of the sounds, those
    of the same sounds dealt to other images of the batch, if it has
    ``loss_contrast``.

    Args:
        sound_bank (dict, optional): SoundBank that some mismatching pairs get
            a matching sound from. None: they stay as they are; with labels of
            two classes, nothing else is possible.
        **kwargs: Arguments of AVEncoderDecoder.
    """

    def __init__(self, *, sound_bank: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.sound_bank = None
        if sound_bank is not None:
            self.sound_bank = MODELS.build(
                sound_bank,
                default_args=dict(
                    num_classes=self.num_classes,
                    channels=audio_channels(self.audio_backbone),
                ),
            )

    def extract_training_audio(
        self, waveform: Tensor, data_samples: list[SegDataSample]
    ) -> AudioFeatures:
        """Encode the sounds and, if the head asks for them, shuffled ones.

        Args:
            waveform (Tensor): ``[B, channels, samples]``.
            data_samples (list[SegDataSample]): Tell the sounding classes.

        Returns:
            AudioFeatures: With ``shuffled`` if the head asks for it. Both
            are encoded in one call, so that batch statistics are those of
            all sounds, as CAVP has it.
        """
        head, batch = self.decode_head, len(waveform)
        if getattr(head, 'loss_contrast', None) is None:
            return self.extract_audio(waveform)
        # 1. deal the sounds
        classes = sounding_classes(
            data_samples, head.num_classes, head.ignore_index
        )
        partner = torch.randperm(batch).tolist()
        flags = matching_sounds(
            data_samples, classes, partner, head.num_classes
        )
        matches = few_numbers(flags, waveform.device) > 0
        others = waveform[few_numbers(partner, waveform.device)]
        # 2. exchange some for earlier ones, then remember these
        bank = self.sound_bank
        if bank is not None:
            if self._epoch() >= bank.start_epoch:
                chosen = (torch.rand(batch) < bank.swap_rate).tolist()
                others, matches = swap_sounds(
                    others, flags, classes, bank, chosen
                )
            alone = [i for i, found in enumerate(classes) if len(found) == 1]
            bank.enqueue(
                waveform[few_numbers(alone, waveform.device)],
                [classes[i][0] for i in alone],
            )
        # 3. encode both
        both = self.extract_audio(torch.cat([waveform, others]))
        if both.embedding is None:
            return both  # The head says what is missing.
        embedding, other = both.embedding.chunk(2)
        return PairedAudioFeatures(
            [level.chunk(2)[0] for level in both.levels],
            embedding,
            shuffled=ShuffledAudio(other, matches),
        )

    @staticmethod
    def _epoch() -> int:
        """Epoch of the training, from 0."""
        return MessageHub.get_current_instance().get_info('epoch', 0)
