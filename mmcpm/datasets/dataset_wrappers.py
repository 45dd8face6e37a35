"""Dataset wrapper that gives frames the sound of another clip, or silence.

A model that only looks scores the same whatever it hears.
"""

import bisect
import copy

import numpy as np
import torch
from mmengine.dataset import (
    BaseDataset,
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.structures import BaseDataElement
from mmseg.registry import DATASETS

from ..structures.audio_labels import labels_tell_sounds

SOUNDS = ('silence', 'swapped')


def draw_partners(
    classes: list[frozenset], clips: list[str], seed: int
) -> list[int]:
    """Choose for every sample one that is heard instead.

    Partners come from another clip, sound, and share no sounding class with
    the sample. Where no sample is like that, one from another clip that
    sounds is taken.

    Args:
        classes (list[frozenset]): Sounding classes of every sample, or names
            of what sounds.
        clips (list[str]): Clip of every sample.
        seed (int): Seed of the choice.

    Returns:
        list[int]: Index of each sample's partner.

    Raises:
        ValueError: If there is nothing to choose from.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(classes))
    partners = []
    for index, (own, clip) in enumerate(zip(classes, clips, strict=True)):
        # Each sample starts its search elsewhere in one random order.
        candidates = np.roll(order, -int(generator.integers(len(order))))
        heard = [i for i in candidates if clips[i] != clip and classes[i]]
        disjoint = [i for i in heard if not classes[i] & own]
        if not heard:
            raise ValueError(
                'Swapped audio needs at least two clips with a labeled '
                f'sounding object, but none differs from {clip!r} (sample '
                f'{index} of {len(classes)}).'
            )
        partners.append(int((disjoint or heard)[0]))
    return partners


def source_of(dataset, idx: int) -> tuple[BaseDataset, int]:
    """Find the dataset that reads a sample inside wrappers, and its index."""
    if isinstance(dataset, ConcatDataset):
        number = bisect.bisect_right(dataset.cumulative_sizes, idx)
        before = dataset.cumulative_sizes[number - 1] if number else 0
        return source_of(dataset.datasets[number], idx - before)
    inner = getattr(dataset, 'dataset', None)
    if inner is None:
        return dataset, idx
    if isinstance(dataset, RepeatDataset):
        idx %= len(inner)
    elif isinstance(dataset, ClassBalancedDataset):
        idx = dataset.repeat_indices[idx]
    return source_of(inner, idx)


def views(sample: dict) -> list[BaseDataElement]:
    """Data samples of a frame: one, or all of test-time augmentation."""
    found = sample['data_samples']
    return found if isinstance(found, list) else [found]


@DATASETS.register_module()
class CounterfactualAudioDataset:
    """Replaces the sound of every sample of an audio-visual dataset.

    Args:
        dataset (dict or BaseDataset): The dataset; frames and labels are
            taken from it unchanged.
        sound (str): 'silence': zeros. 'swapped': the sound of a sample of
            another clip without a sounding class in common (S4 and MS3:
            without a name of ``sound_sources`` in common).
    """

    def __init__(self, dataset: dict | BaseDataset, sound: str) -> None:
        if sound not in SOUNDS:
            raise ValueError(
                f'sound must be one of {SOUNDS}, but got {sound!r}.'
            )
        self.dataset = (
            DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        )
        self.sound = sound
        self.partners: list[int] | None = None

    @property
    def metainfo(self) -> dict:
        """Same value as that of the wrapped dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """Load the dataset's list and choose the partners."""
        self.dataset.full_init()
        if self.sound == 'swapped' and self.partners is None:
            infos = [self.get_data_info(i) for i in range(len(self.dataset))]
            self.partners = draw_partners(
                [self._sounds(i, info) for i, info in enumerate(infos)],
                [info['uid'] for info in infos],
                seed=0,
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

    def __getitem__(self, idx: int) -> dict:
        self.full_init()
        sample = self.dataset[idx]
        partner = None
        if self.sound == 'swapped':
            partner = views(self.dataset[self.partners[idx]])
        for number, view in enumerate(views(sample)):
            if partner is None:
                view.audio = torch.zeros_like(view.audio)
            else:
                view.audio = partner[number].audio
                heard = partner[number].metainfo['sample_id']
                view.set_metainfo(dict(heard_sample_id=heard))
        return sample
