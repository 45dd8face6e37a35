"""Dataset wrapper that gives frames sounds that they did not have.

A model that only looks scores the same whatever it hears.
"""

import bisect
import copy
import math
from typing import Any

import torch
from mmengine.dataset import (
    BaseDataset,
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.structures import BaseDataElement
from mmseg.registry import DATASETS
from torch import Tensor

from ..structures.audio_labels import labels_tell_sounds
from .base_avs_dataset import BaseAVSDataset
from .clip_dataset import ClipDataset, frame_samples, views
from .counterfactual_audio import (
    disturb,
    draw_offscreen,
    draw_partners,
    frame_generator,
    white_noise,
)
from .transforms import CutAudioToFrame, LoadOffscreenAudio

SOUNDS = (
    'silence',
    'swapped',
    'noise',
    'offscreen',
    'shifted',
    'exchanged',
)
# Settings, and the sounds that they are for.
SETTINGS = {
    'snr': ('noise', 'offscreen'),
    'seconds': ('shifted',),
    'folder': ('offscreen',),
}
# Of samples that do not tell theirs, in Hz.
SAMPLE_RATE = 16000


def source_of(dataset, idx: int) -> tuple[BaseDataset, int]:
    """Find the dataset that reads a sample inside wrappers, and its index."""
    if isinstance(dataset, ConcatDataset):
        number = bisect.bisect_right(dataset.cumulative_sizes, idx)
        before = dataset.cumulative_sizes[number - 1] if number else 0
        return source_of(dataset.datasets[number], idx - before)
    inner = getattr(dataset, 'dataset', None)
    if inner is None or isinstance(dataset, ClipDataset):
        return dataset, idx
    if isinstance(dataset, RepeatDataset):
        idx %= len(inner)
    elif isinstance(dataset, ClassBalancedDataset):
        idx = dataset.repeat_indices[idx]
    return source_of(inner, idx)


def sample_indices(dataset) -> dict[str, int]:
    """Tell which sample of a dataset holds a frame.

    Args:
        dataset (Dataset): A dataset, or wrappers around one.

    Returns:
        dict[str, int]: Indices by ``sample_id``; those of clips for all
        frames that they have.
    """
    indices = {}
    for index in range(len(dataset)):
        source, inner = source_of(dataset, index)
        infos = [dataset.get_data_info(index)]
        if isinstance(source, ClipDataset):
            infos = source.frames_of(inner)
        indices.update({info['sample_id']: index for info in infos})
    return indices


def with_audio_shift(
    dataset: BaseAVSDataset | ClipDataset, seconds: float
) -> BaseAVSDataset | ClipDataset:
    """Copy a dataset, with the sound of another time.

    The dataset itself stays what it is: others may read it.
    """
    shifted = copy.copy(dataset)
    if isinstance(dataset, ClipDataset):
        shifted.dataset = with_audio_shift(dataset.dataset, seconds)
    else:
        shifted.audio_shift = seconds
    return shifted


def real_frames(sample: dict | list[dict]) -> list[dict]:
    """List the frames of a sample, without what only fills up a clip."""
    return [
        frame
        for frame in frame_samples(sample)
        if views(frame)[0].metainfo.get('frame_valid', True)
    ]


@DATASETS.register_module()
class CounterfactualAudioDataset:
    """Replaces the sound of every sample of an audio-visual dataset.

    What is heard depends on the seed and on the name of the frame, and on
    nothing that was read before: a run that is resumed, or that reads in
    another order, hears the same. Around a ClipDataset, a clip as a whole
    hears another one, frame by frame; what only fills it up stays silent.

    =========== =============================================================
    sound       what is heard
    =========== =============================================================
    'silence'   zeros
    'noise'     white noise, alone or ``snr`` dB below the sound
    'swapped'   the sound of a sample of another clip without a sounding class
                in common (S4 and MS3: without a name of ``sound_sources`` in
                common), as it is
    'offscreen' a sound of nothing in view, alone or ``snr`` dB below the
                sound: of a clip that shares no class with any frame of this
                one, or a recording of ``folder``
    'shifted'   the sound ``seconds`` later; a clip's sound is followed by
                itself
    'exchanged' the right channel on the left
    =========== =============================================================

    Args:
        dataset (dict or BaseDataset): The dataset; frames and labels are
            taken from it unchanged.
        sound (str): One of the above.
        snr (float, optional): Of 'noise' and 'offscreen': level of the true
            sound above the other one, in dB. Defaults to None: the other one
            alone, as loud as the true one.
        seconds (float, optional): Of 'shifted': how much later, may be
            negative.
        folder (str, optional): Of 'offscreen': folder of recordings of what
            is no class of the dataset. Defaults to None: sounds of the
            dataset.
        seed (int): Seed of noise and partners. Defaults to 0.
    """

    def __init__(
        self,
        dataset: dict | BaseDataset,
        sound: str,
        *,
        snr: float | None = None,
        seconds: float | None = None,
        folder: str | None = None,
        seed: int = 0,
    ) -> None:
        if sound not in SOUNDS:
            raise ValueError(
                f'sound must be one of {SOUNDS}, but got {sound!r}.'
            )
        for name, value in (
            ('snr', snr),
            ('seconds', seconds),
            ('folder', folder),
        ):
            if value is not None and sound not in SETTINGS[name]:
                raise ValueError(
                    f'{name}={value!r} has no effect with sound={sound!r}, '
                    f'only with {SETTINGS[name]}.'
                )
        if sound == 'shifted' and not (seconds and math.isfinite(seconds)):
            raise ValueError(
                "sound='shifted' needs seconds, a number other than 0, but "
                f'got {seconds!r}.'
            )
        self.dataset = (
            DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        )
        self.sound = sound
        self.snr, self.seconds, self.seed = snr, seconds, seed
        self.recordings = (
            None if folder is None else LoadOffscreenAudio(folder=folder)
        )
        self.partners: list[int] | None = None
        # Datasets, each with its copy that hears another time.
        self._shifted: list[tuple[Any, Any]] = []

    @property
    def metainfo(self) -> dict:
        """Same value as that of the wrapped dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """Load the dataset's list and choose the partners."""
        self.dataset.full_init()
        if self.partners is not None or self.recordings is not None:
            return
        draw = {'swapped': draw_partners, 'offscreen': draw_offscreen}.get(
            self.sound
        )
        if draw is not None:
            infos = [self.get_data_info(i) for i in range(len(self.dataset))]
            self.partners = draw(
                [self._sounds(i, info) for i, info in enumerate(infos)],
                [info['uid'] for info in infos],
                seed=self.seed,
            )

    def _sounds(self, index: int, info: dict) -> frozenset:
        """Tell what sounds in a sample; nothing if nothing is labeled.

        Where a visit draws one of several frames, all of them count.
        """
        source, inner = source_of(self.dataset, index)
        classes = frozenset(source.get_cat_ids(inner))
        if not classes or labels_tell_sounds(len(self.metainfo['classes'])):
            return classes
        return frozenset(info.get('sound_sources', ())) or classes

    def get_data_info(self, idx: int) -> dict:
        """Same value as that of the wrapped dataset."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Same value as that of the wrapped dataset."""
        return self.dataset.get_cat_ids(idx)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict | list[dict]:
        self.full_init()
        if self.sound == 'shifted':
            return self._shift(idx)
        sample = self.dataset[idx]
        partners = [None]
        if self.partners is not None:
            partners = real_frames(self.dataset[self.partners[idx]])
        for number, frame in enumerate(real_frames(sample)):
            # A shorter clip begins again.
            self._change(frame, partners[number % len(partners)])
        return sample

    def _change(self, frame: dict, partner: dict | None) -> None:
        """Give a frame its sound."""
        for number, view in enumerate(views(frame)):
            other = None
            if partner is not None:
                heard = views(partner)[number]
                view.set_metainfo({'heard_sample_id': heard.sample_id})
                other = heard.audio
            view.audio = self._heard(view, other)

    def _heard(self, view: BaseDataElement, other: Tensor | None) -> Tensor:
        """Make the sound of a view from its own and its partner's."""
        audio = view.audio
        if self.sound == 'silence':
            return torch.zeros_like(audio)
        if self.sound == 'swapped':
            return other
        if self.sound == 'exchanged':
            if len(audio) != 2:
                raise ValueError(
                    f"{view.metainfo.get('sample_id')}: sound='exchanged' "
                    'needs left and right, but the pipeline gives '
                    f'{len(audio)} channel. Load stereo sound '
                    "(channels='stereo')."
                )
            return audio.flip(0)
        generator = frame_generator(self.seed, view.metainfo['sample_id'])
        if self.sound == 'noise':
            other = white_noise(tuple(audio.shape), generator)
        elif self.recordings is not None:
            other = torch.from_numpy(
                self.recordings.draw(
                    tuple(audio.shape),
                    view.metainfo.get('sample_rate', SAMPLE_RATE),
                    generator,
                )
            )
        return disturb(audio, other, self.snr)

    def _shift(self, idx: int) -> dict:
        """Read a sample with the sound of another time of its clip."""
        source, inner = source_of(self.dataset, idx)
        for known, shifted in self._shifted:
            if known is source:
                return shifted[inner]
        read = source.dataset if isinstance(source, ClipDataset) else source
        if not isinstance(read, BaseAVSDataset) or not any(
            isinstance(step, CutAudioToFrame)
            for step in read.pipeline.transforms
        ):
            raise ValueError(
                "sound='shifted' needs an audio-visual dataset whose "
                'pipeline cuts the sound of a clip to its frame '
                f'(CutAudioToFrame), which {type(read).__name__} does '
                'not have here.'
            )
        shifted = with_audio_shift(source, self.seconds)
        self._shifted.append((source, shifted))
        return shifted[inner]
