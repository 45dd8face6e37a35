"""A ring of recent sounds of every class."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from mmseg.registry import MODELS
from torch import Tensor

from .transfers import few_numbers, to_host


@MODELS.register_module()
class SoundBank(nn.Module):
    """Remembers the last sounds of every class that sounded alone.

    All of it lies in buffers that are the same on all ranks: a resumed
    training goes on with the sounds that it had. They are as large as
    ``num_classes * capacity`` waveforms (72 MB for 70 classes and 16 seconds
    each), in memory and in checkpoints. Weights without a bank, such as
    published ones, load, and an empty bank is not saved.

    Args:
        num_classes (int): Classes with the background, which has no sounds.
        channels (int): Channels of the sounds.
        samples (int): Samples of the sounds per channel.
        capacity (int): Sounds per class; the oldest are overwritten.
        start_epoch (int): Epoch from which sounds are taken out, from 0.
        swap_rate (float): Share of the mismatching pairs that get a sound of
            the bank.
    """

    buffers_are_one_state = True

    def __init__(
        self,
        *,
        num_classes: int,
        channels: int,
        samples: int,
        capacity: int = 16,
        start_epoch: int = 1,
        swap_rate: float = 0.5,
    ) -> None:
        super().__init__()
        if num_classes < 3 or min(channels, samples, capacity) < 1:
            raise ValueError(
                'SoundBank needs labels that tell what sounds (num_classes > '
                '2) and positive channels, samples and capacity, but got '
                f'{num_classes}, {channels}, {samples} and {capacity}. Set '
                'model.sound_bank=None for labels of two classes.'
            )
        if not 0 <= swap_rate <= 1:
            raise ValueError(
                f'swap_rate must lie in 0..1, but got {swap_rate}.'
            )
        self.capacity = capacity
        self.start_epoch = start_epoch
        self.swap_rate = swap_rate
        size = (num_classes - 1, capacity, channels, samples)
        self.register_buffer('waveforms', torch.zeros(size))
        for name in ('pointer', 'count'):
            counters = torch.zeros(num_classes - 1, dtype=torch.int64)
            self.register_buffer(name, counters)

    def oldest(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Read the oldest sound of some classes.

        Args:
            classes (Tensor): Class ids of M sounds, ``[M]`` int64, from 1.

        Returns:
            tuple[Tensor, Tensor]: Waveforms ``[M, channels, samples]``, and
            ``[M]`` bool, False where the bank has none.
        """
        row = classes - 1
        slot = (self.pointer[row] - self.count[row]) % self.capacity
        return self.waveforms[row, slot], self.count[row] > 0

    def enqueue(self, waveform: Tensor, classes: list[int]) -> None:
        """Store sounds; every rank must call this in the same step.

        Args:
            waveform (Tensor): ``[M, channels, samples]``.
            classes (list[int]): Class ids of the M sounds, from 1.

        Raises:
            ValueError: If the sounds have another size.
        """
        expected = self.waveforms.shape[2:]
        if waveform.shape[1:] != expected:
            raise ValueError(
                f'model.sound_bank holds sounds of {tuple(expected)} (channels'
                f', samples), but got {tuple(waveform.shape[1:])}. Set '
                'model.sound_bank.samples to the `seconds` of the pipeline '
                'times the sample rate.'
            )
        waveform = waveform.detach().to(self.waveforms)
        if get_world_size() > 1:
            waveform, classes = self._gather(waveform, classes)
        kept, ranks, seen = [], [], {}
        for index, class_id in enumerate(classes):
            rank = seen.get(class_id, 0)
            if 0 < class_id <= len(self.count) and rank < self.capacity:
                kept.append(index)
                ranks.append(rank)
                seen[class_id] = rank + 1
        if not kept:
            return
        device = self.pointer.device
        row = few_numbers([classes[index] - 1 for index in kept], device)
        slot = self.pointer[row] + few_numbers(ranks, device)
        index = few_numbers(kept, device)
        self.waveforms[row, slot % self.capacity] = waveform[index]
        ones = torch.ones_like(row)
        added = torch.zeros_like(self.count).scatter_add_(0, row, ones)
        self.pointer.copy_((self.pointer + added) % self.capacity)
        self.count.copy_((self.count + added).clamp(max=self.capacity))

    def _gather(
        self, waveform: Tensor, classes: list[int]
    ) -> tuple[Tensor, list[int]]:
        """Collect the sounds of all ranks, up to ``capacity`` of each."""
        waveform, classes = waveform[: self.capacity], classes[: self.capacity]
        missing = self.capacity - len(classes)
        # One size for all: ranks may have different numbers of sounds.
        waveform = F.pad(waveform, (0, 0, 0, 0, 0, missing)).contiguous()
        numbers = few_numbers([*classes, *[0] * missing], waveform.device)
        waveforms = torch.cat(all_gather(waveform))
        return waveforms, to_host(torch.cat(all_gather(numbers))).tolist()

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        """Save nothing of an empty bank, so that weights need none."""
        if self.count.any():
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict,
        prefix,
        local_metadata,
        strict,
        missing_keys,
        unexpected_keys,
        error_msgs,
    ) -> None:
        """Load all buffers or, where they are missing or differ, none."""
        shapes = {
            prefix + name: tuple(buffer.shape)
            for name, buffer in self.named_buffers(recurse=False)
        }
        found = {
            key: tuple(state_dict[key].shape)
            for key in shapes
            if key in state_dict
        }
        if found == shapes:
            super()._load_from_state_dict(
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        elif found:
            error_msgs.append(
                'The sound bank of the checkpoint has another size, it was '
                f'not loaded: {found} in the checkpoint, {shapes} in the '
                'model. Set model.sound_bank as it was, or let it start anew.'
            )
