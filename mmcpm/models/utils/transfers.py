"""Small things between host and device, and who waits for them.

A GPU works on what the host has asked for some time ago. A copy to the host
waits until all of that is done, and so does a copy of ordinary memory to the
device: the GPU then stands idle until the host has caught up. Lists and
arrays go to the device by these functions, which do not wait; what must be
known on the host comes by :func:`to_host`, which does.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def to_host(tensor: Tensor) -> np.ndarray:
    """Read a tensor; on a GPU the host waits.

    Args:
        tensor (Tensor): Any shape.

    Returns:
        np.ndarray: The same.
    """
    return tensor.cpu().numpy()


def few_numbers(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Make a tensor of some dozens of whole numbers, without a copy.

    They reach a GPU as arguments of a kernel.

    Args:
        numbers (Sequence[int]): N numbers.
        device (torch.device): Device of the result.

    Returns:
        Tensor: ``[N]`` int64.
    """
    numbers = [int(number) for number in numbers]
    if torch.device(device).type == 'cpu':
        return torch.tensor(numbers, dtype=torch.int64)
    tensor = torch.zeros(len(numbers), dtype=torch.int64, device=device)
    if numbers:
        torch._foreach_add_(tensor.unbind(), numbers)
    return tensor


def many_numbers(numbers: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Copy numbers to the device, from pinned memory, which does not wait.

    Args:
        numbers (np.ndarray or Tensor): Any shape, on the host.
        device (torch.device): Device of the result.

    Returns:
        Tensor: The same.
    """
    tensor = torch.as_tensor(numbers)
    if torch.device(device).type == 'cuda' and torch.cuda.is_available():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
