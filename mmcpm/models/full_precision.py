"""Arithmetic that neither autocast nor a global switch may make coarser."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Multiply float32 matrices as float32.

    Log densities are differences of large squares: in TF32 or bfloat16 what
    is left of them is noise. Users may have allowed either for the whole
    program.

    Args:
        device_type (str): 'cpu' or 'cuda'.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
