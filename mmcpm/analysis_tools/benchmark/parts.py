"""Timers for the parts of a step."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable

import torch
import torch.nn as nn

from mmcpm.models.classifiers import GMMClassifier

# What is timed, from the segmentor on; names that a model lacks are left out.
# Time counts for the innermost: the head's forward pass without its pixel
# decoder, and so on.
PARTS = {
    'image backbone': ('backbone.forward', 'neck.forward'),
    'pixel decoder': (
        'decode_head.forward_pixel_decoder',
        'decode_head.pixel_decoder.forward',
    ),
    'audio': (
        'extract_audio',
        'extract_training_audio',
        'audio_frontend.forward',
        'audio_backbone.forward',
        'audio_neck.forward',
    ),
    'TD-A': (
        'decode_head.encode_audio',
        'decode_head.audio_query_decoder.forward',
        'decode_head.audio_query_decoder.forward_with_prompts',
    ),
    'decoder': ('decode_head.forward', 'decode_head.decode'),
    'matching': ('decode_head.criterion.match', 'decode_head.get_targets'),
    # With what is left of the heads, beside the parts above.
    'losses': ('decode_head.loss',),
    # Mask logits of the last prediction included.
    'post-processing': ('decode_head.predict', 'postprocess_result'),
}
GMM_PARTS = (
    'decode_head.mixtures.forward',
    'decode_head.mixtures.log_prob',
    'decode_head.mixtures.enqueue',
    'decode_head.mixtures.sample',
    'decode_head.mixtures.log_vars',
    'decode_head.prompts.forward',
    'decode_head.prompts.ready',
)
OTHER = 'other'


class PartTimer:
    """Stops the time of parts, nested ones apart from what is around them.

    Args:
        device (str): A GPU is waited for at the ends of every part, so
            that the sum of the parts is more than the time of a step.
    """

    def __init__(self, device: str) -> None:
        self.waits = device.startswith('cuda')
        self.seconds = defaultdict(float)
        self._running = []
        self._since = 0.0

    def _now(self) -> float:
        if self.waits:
            torch.cuda.synchronize()
        return time.perf_counter()

    def enter(self, part: str) -> None:
        """Begin a part; what is around it pauses."""
        now = self._now()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._running.append(part)
        self._since = now

    def leave(self) -> None:
        """End the innermost part."""
        now = self._now()
        self.seconds[self._running.pop()] += now - self._since
        self._since = now

    def wrap(self, function: Callable, part: str) -> Callable:
        """Let a function be timed."""

        @functools.wraps(function)
        def timed(*args, **kwargs):
            self.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return timed


def find_method(model: nn.Module, path: str) -> tuple[nn.Module, str] | None:
    """Look up the owner of a method by its path; None if it is not there."""
    *owners, name = path.split('.')
    owner = model
    for attribute in owners:
        owner = getattr(owner, attribute, None)
    if not callable(getattr(owner, name, None)):
        return None
    return owner, name


def watch_parts(model: nn.Module, timer: PartTimer) -> Callable[[], None]:
    """Time the parts of a segmentor."""
    parts = dict(PARTS)
    head = getattr(model, 'decode_head', None)
    if isinstance(getattr(head, 'mixtures', None), GMMClassifier):
        parts['GMM'] = GMM_PARTS
    changed = []
    for part, paths in parts.items():
        for path in paths:
            found = find_method(model, path)
            if found is not None:
                owner, name = found
                # On the object, which hides the method of its class.
                vars(owner)[name] = timer.wrap(getattr(owner, name), part)
                changed.append(found)

    def undo() -> None:
        for owner, name in changed:
            del vars(owner)[name]

    return undo
