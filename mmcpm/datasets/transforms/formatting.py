"""Packing a frame and its sound into what the segmentor receives."""

from collections.abc import Sequence

import numpy as np
import torch
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from ...structures.av_data_sample import LABEL_SHAPE, META_KEYS


@TRANSFORMS.register_module()
class PackAVSInputs(PackSegInputs):
    """Pack frame, label map and waveform.

    As mmseg's ``PackSegInputs``, and the waveform becomes the data field
    ``audio`` of the ``SegDataSample``. There it survives collating, the
    ``SegDataPreProcessor`` and the move to a device, all of which drop or
    refuse an additional input.

    Required Keys:

    - img
    - audio (np.ndarray): float32 ``[channels, samples]``.
    - gt_seg_map (optional)

    The result holds ``inputs`` (uint8 ``[3, H, W]``) and ``data_samples``
    (with ``gt_sem_seg.data`` int64 ``[1, H, W]`` and ``audio`` float32
    ``[channels, samples]``).

    Args:
        meta_keys (Sequence[str]): Keys that become meta information of the
            data sample, where present. Defaults to all of
            :mod:`mmcpm.structures.av_data_sample`, which explains them.
            ``label_shape``, the size of the label file, is always added:
            metrics check it.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=(*meta_keys, LABEL_SHAPE))

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Raises:
            KeyError: If no audio was loaded.
            ValueError: If the audio is not ``[channels, samples]``.
        """
        if 'audio' not in results:
            raise KeyError(
                'PackAVSInputs found no audio: the pipeline needs '
                'LoadAudioFromFile and CutAudioToFrame before it'
            )
        audio = np.ascontiguousarray(results['audio'], dtype=np.float32)
        if audio.ndim != 2:
            raise ValueError(
                'PackAVSInputs expects audio of shape [channels, samples], '
                f'got {audio.shape}'
            )
        packed = super().transform(results)
        packed['data_samples'].set_field(torch.from_numpy(audio), 'audio')
        if 'offscreen_audio' in results:
            offscreen = np.ascontiguousarray(
                results['offscreen_audio'], dtype=np.float32
            )
            packed['data_samples'].set_field(
                torch.from_numpy(offscreen), 'offscreen_audio'
            )
        return packed
