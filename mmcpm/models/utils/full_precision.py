"""Arithmetic that neither autocast nor a global switch may make coarser."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Multiply float32 matrices as float32.

    Log densities are differences of large squares: in TF32 or bfloat16 what
    is left of them is noise. Users may have allowed either for the whole
    program, by PyTorch's old switches (``set_float32_matmul_precision``,
    ``allow_tf32``), its present ones (``fp32_precision``) or both.

    Args:
        device_type (str): 'cpu' or 'cuda'.
    """
    settings = _product_settings()
    for backend in settings:
        torch._C._set_fp32_precision_setter(backend, 'matmul', 'ieee')
    # Asked for earlier, it raises if the two kinds of switches disagree.
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        # After the old switch, which sets them as well.
        for backend, setting in settings.items():
            torch._C._set_fp32_precision_setter(backend, 'matmul', setting)


def _product_settings() -> dict[str, str]:
    """Present switches of matrix products; none before PyTorch 2.9.

    Returns:
        dict[str, str]: By backend its own setting, 'none' where it follows
        that of the whole backend or of all backends.
    """
    if not hasattr(torch._C, '_get_fp32_precision_getter'):
        return {}
    # torch.backends.mkldnn.fp32_precision reads one switch and sets another.
    read = torch._C._get_fp32_precision_getter
    write = torch._C._set_fp32_precision_setter
    # A switch that follows another reads like that one. With nothing to
    # follow, it reads as it is set.
    settings = {}
    everywhere = read('generic', 'all')
    write('generic', 'all', 'none')
    for backend in ('cuda', 'mkldnn'):
        whole = read(backend, 'all')
        write(backend, 'all', 'none')
        settings[backend] = read(backend, 'matmul')
        write(backend, 'all', whole)
    write('generic', 'all', everywhere)
    return settings
