"""The contract between an audio-visual segmentor and its decode head.

To add a method, derive a head from :class:`BaseAVHead`, register it, and name
it in ``model.decode_head`` of a config; nothing else has to know it.
"""

import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch.nn as nn
from mmengine.model import BaseModule
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction

# What the segmentor calls, and with what.
CONTRACT = {
    'loss': ('image_features', 'audio', 'data_samples'),
    'encode_audio': ('audio',),
    'predict': ('image_features', 'encoded_audio', 'size'),
}


class BaseAVHead(BaseModule, metaclass=ABCMeta):
    """Base class of the decode heads that :class:`AVEncoderDecoder` runs.

    Args:
        num_classes (int): Classes including background, which is class 0.
        ignore_index (int): Label that is left out of the losses.
        align_corners (bool): How scores are resized to the original frames.
        init_cfg (dict, optional): Initialization, see mmengine's BaseModule.

    Attributes:
        keep_query_masks (bool): Whether :meth:`predict` is asked for the masks
            of the queries, see AVPrediction. A head without queries has none.
    """

    keep_query_masks = False

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        align_corners: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_num_classes(num_classes)
        # EncoderDecoder reads these four.
        self.num_classes = self.out_channels = num_classes
        self.ignore_index = ignore_index
        self.align_corners = align_corners

    @abstractmethod
    def loss(
        self,
        image_features: Sequence[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            image_features (Sequence[Tensor]): Levels of the image backbone
                (or neck), fine to coarse, each ``[B, C, h, w]``.
            audio (AudioFeatures): Features of the sounds.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: Terms to be summed, whose names contain
            "loss", and values to be logged only, whose names do not.
        """

    def encode_audio(self, audio: AudioFeatures) -> Any:
        """Compute what depends on the sound alone, once per image.

        The windows of one image share the result. Identity unless a head
        overrides it.

        Args:
            audio (AudioFeatures): Features of the sounds.

        Returns:
            Any: What :meth:`predict` takes.
        """
        return audio

    @abstractmethod
    def predict(
        self,
        image_features: Sequence[Tensor],
        encoded_audio: Any,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Score every class at every pixel.

        Args:
            image_features (Sequence[Tensor]): See :meth:`loss`.
            encoded_audio (Any): Result of :meth:`encode_audio`.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: Scores ``[B, num_classes, *size]``.
        """

    def forward(
        self, image_features: Sequence[Tensor], audio: AudioFeatures
    ) -> Any:
        """Raw outputs, for mmengine's mode 'tensor' and to count FLOPs.

        Args:
            image_features (Sequence[Tensor]): See :meth:`loss`.
            audio (AudioFeatures): Features of the sounds.

        Returns:
            Any: Scores of the size of the finest level, unless a head has
            more to give.
        """
        size = tuple(image_features[0].shape[-2:])
        encoded = self.encode_audio(audio)
        return self.predict(image_features, encoded, size).scores


def check_num_classes(num_classes: int) -> None:
    """Refuse a number of classes that no label map can have.

    Args:
        num_classes (int): Classes including background.

    Raises:
        ValueError: If it is not in 2..255.
    """
    if not 2 <= num_classes <= 255:
        raise ValueError(
            'num_classes counts the background and must lie in 2..255, the '
            'ids that 8-bit label maps can hold beside one to ignore, but '
            f'got {num_classes}.'
        )


def check_head(head: nn.Module) -> None:
    """Refuse a decode head that does not keep the contract.

    Args:
        head (nn.Module): The head.

    Raises:
        TypeError: Names the method and the file to look at.
    """
    kind = f'decode_head {type(head).__name__} ({place_of(head)})'
    if not isinstance(head, BaseAVHead):
        raise TypeError(
            f'{kind} is no audio-visual head: it must derive from BaseAVHead '
            '(mmcpm/models/decode_heads/base_av_head.py) and have '
            + ', '.join(f'{k}({", ".join(v)})' for k, v in CONTRACT.items())
            + '. Heads without audio belong into mmseg.EncoderDecoder.'
        )
    for name, arguments in CONTRACT.items():
        try:
            inspect.signature(getattr(head, name)).bind(*arguments)
        except TypeError as error:
            raise TypeError(
                f'{kind}: the segmentor calls {name}({", ".join(arguments)})'
                f', but the method does not take that: {error}. See '
                'mmcpm/models/decode_heads/base_av_head.py.'
            ) from error


def check_losses(head: nn.Module, losses: Any) -> None:
    """Refuse losses that are not what the contract says.

    Args:
        head (nn.Module): The head.
        losses (Any): Result of its ``loss``.

    Raises:
        TypeError: Tells what came instead, and from where.
    """
    if isinstance(losses, dict) and any('loss' in name for name in losses):
        return
    found = (
        f'the names {sorted(losses)}'
        if isinstance(losses, dict)
        else f'a {type(losses).__name__}'
    )
    raise TypeError(
        f'{type(head).__name__}.loss ({place_of(head)}) must return a dict '
        f'of tensors, at least one with "loss" in its name, but returned '
        f'{found}.'
    )


def check_prediction(
    head: nn.Module, prediction: Any, batch: int, size: tuple[int, int]
) -> None:
    """Refuse a prediction that is not what the contract says.

    Args:
        head (nn.Module): The head.
        prediction (Any): Result of its ``predict``.
        batch (int): Number of images.
        size (tuple[int, int]): Height and width that were asked for.

    Raises:
        TypeError: If it is no AVPrediction.
        ValueError: If the scores have another shape.
    """
    method = f'{type(head).__name__}.predict ({place_of(head)})'
    if not isinstance(prediction, AVPrediction):
        raise TypeError(
            f'{method} must return an AVPrediction '
            '(mmcpm/structures/av_prediction.py), but returned a '
            f'{type(prediction).__name__}.'
        )
    expected = (batch, head.num_classes, *size)
    found = tuple(prediction.scores.shape)
    if found != expected:
        raise ValueError(
            f'{method} must return scores of shape {expected} (images, '
            f'num_classes, height, width), but their shape is {found}.'
        )


def place_of(module: nn.Module) -> str:
    """Name the file that the class of a module stands in.

    Args:
        module (nn.Module): Any.

    Returns:
        str: Path of the file, or name of the Python module.
    """
    try:
        return inspect.getsourcefile(type(module)) or type(module).__module__
    except (TypeError, OSError):
        return type(module).__module__
