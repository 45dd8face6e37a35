"""What a mixture classifier remembers: mixtures and recent members."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import broadcast, get_world_size
from torch import Tensor


class MixtureState(nn.Module):
    """Mixtures of all classes and a bank of their members, in buffers.

    No optimizer, weight decay or gradient reduction touches buffers, and
    checkpoints hold them. They are the same on all ranks. They belong
    together: averaged models take them over as they are (see
    ``compat.average_no_states``).

    Args:
        num_classes (int): Classes with the background; "no object" is added
            as class ``num_classes``.
        embed_dims (int): Size D of the embeddings.
        num_components (int): Gaussians per class, M.
        bank_size (int): Recent members kept per class.
        min_members (int): Members that make a class ready for prompting;
            at least ``2 * num_components`` are asked for in any case.
    """

    buffers_are_one_state = True

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        num_components: int,
        bank_size: int,
        min_members: int,
    ) -> None:
        super().__init__()
        if min(num_components, bank_size) < 1:
            raise ValueError(
                'num_components and bank_size must be positive, but got '
                f'{num_components} and {bank_size}.'
            )
        self.num_classes = num_classes
        self.embed_dims = embed_dims
        self.num_components = num_components
        self.min_members = max(2 * num_components, min_members)
        if bank_size < self.min_members:
            raise ValueError(
                'bank_size must be at least min_members and 2 * '
                f'num_components, {self.min_members} here, but got '
                f'{bank_size}: no class would ever be ready for prompting.'
            )
        size = (num_classes + 1, num_components, embed_dims)
        self.register_buffer('mean', F.normalize(torch.randn(size), dim=-1))
        self.register_buffer('variance', torch.full(size, 1.0 / embed_dims))
        self.register_buffer('spread', torch.full(size, 1.0 / embed_dims))
        self.register_buffer(
            'log_weight', torch.full(size[:2], -math.log(num_components))
        )
        self.register_buffer('bank', torch.zeros(size[0], bank_size, size[2]))
        for name in ('pointer', 'count', 'num_updates'):
            self.register_buffer(name, torch.zeros(size[0], dtype=torch.int64))
        self.register_buffer('dirty', torch.zeros(size[0], dtype=torch.bool))
        self.register_buffer('dead', torch.zeros((), dtype=torch.int64))
        # Of the last update, see mixture_update.diagnose.
        self.register_buffer('diagnosis', torch.zeros(3))
        self.register_buffer('num_steps', torch.zeros((), dtype=torch.int64))
        self._note_steps(0)

    def _note_steps(self, steps: int) -> None:
        """Remember what the counter holds as it is now."""
        self._noted = (self.num_steps, self.num_steps._version, steps)

    @property
    def _steps(self) -> int:
        """int: Training steps so far.

        The device is asked, and waited for, only after somebody else wrote
        the counter: who loads a checkpoint, or goes back to a copy.
        """
        counter, version, steps = self._noted
        if counter is not self.num_steps or version != counter._version:
            self._note_steps(int(self.num_steps))
            steps = self._noted[-1]
        return steps

    def count_step(self) -> int:
        """Count a training step.

        Returns:
            int: Steps so far, with this one.
        """
        steps = self._steps + 1
        self.num_steps.add_(1)
        self._note_steps(steps)
        return steps

    def __setstate__(self, state: dict) -> None:
        # A copy's counter counts its own changes: what was noted of the
        # original's may seem to be of the copy's.
        super().__setstate__(state)
        self._noted = (None, 0, 0)

    def _apply(self, *args, **kwargs) -> 'MixtureState':
        # Moved to another device the number stays the same.
        steps = self._steps
        super()._apply(*args, **kwargs)
        self._note_steps(steps)
        return self

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
        """Load all buffers or none: halves of two states do not fit.

        A bank of one size with the counts of another would hold members
        that were never there.
        """
        expected = {
            prefix + name: buffer.shape
            for name, buffer in self.named_buffers(recurse=False)
        }
        found = [key for key in expected if key in state_dict]
        reshaped = [
            f'{key}: {tuple(state_dict[key].shape)} in the checkpoint, '
            f'{tuple(expected[key])} in the model'
            for key in found
            if state_dict[key].shape != expected[key]
        ]
        if reshaped or len(found) < len(expected):
            for key in found:
                del state_dict[key]
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        if reshaped:
            error_msgs.append(
                'The mixtures of the checkpoint have another size, none of '
                f'their buffers was loaded ({"; ".join(reshaped)}). Set '
                'num_classes, num_components and bank_size of the classifier '
                'as they were, or let the mixtures start anew.'
            )

    def synchronize(self) -> None:
        """Give all ranks the mixtures of the first."""
        if get_world_size() > 1:
            for name in ('mean', 'variance', 'spread', 'log_weight'):
                broadcast(getattr(self, name), src=0)

    def log_vars(self) -> dict[str, Tensor]:
        """Statistics of the mixtures, for the log.

        Returns:
            dict[str, Tensor]: Scalars: classes ``ready`` for prompting, the
            fill of the bank in 0..1, components without members at the last
            update, and the diagnosis of that update.
        """
        return {
            'gmm_ready': self.ready(
                torch.arange(self.num_classes, device=self.count.device)
            ).sum(),
            'gmm_bank_fill': self.count.sum()
            / (self.bank.shape[0] * self.bank.shape[1]),
            'gmm_dead': self.dead.clone(),
            'gmm_mean_cosine': self.diagnosis[0].clone(),
            'gmm_bank_accuracy': self.diagnosis[1].clone(),
            'gmm_class_bias': self.diagnosis[2].clone(),
        }

    def ready(self, labels: Tensor) -> Tensor:
        """Tell which classes are known well enough to be prompted.

        Args:
            labels (Tensor): Class ids, any shape, int64; negative for none.

        Returns:
            Tensor: Same shape, bool.
        """
        known = (self.count >= self.min_members) & (self.num_updates > 0)
        return known[labels.clamp(min=0)] & (labels >= 0)
