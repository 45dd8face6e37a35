"""Quirks of mmcv, mmengine and PyTorch; no other file knows them.

``import mmcpm`` calls :func:`apply` before anything touches a model of mmdet
or mmseg. Every other file of the package is written as if the quirks did not
exist.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

MMCV_EXTENSION = 'mmcv._ext'

# Distribution -> (lowest, first refused, remedy). mmseg 1.2.2 and mmdet 3.3.0
# both refuse mmcv 2.2.0 with an assertion that does not name the way out.
SUPPORTED = {
    'mmcv': ('2.0.0rc4', '2.2.0', "pip install 'mmcv-lite>=2.1.0,<2.2.0'"),
    'mmengine': ('0.10.0', '1.0.0', "pip install 'mmengine>=0.10.7,<1.0'"),
    'mmdet': ('3.1.0', '4.0.0', "pip install 'mmdet>=3.3.0,<4.0'"),
    'mmsegmentation': (
        *('1.2.0', '2.0.0'),
        "pip install 'mmsegmentation>=1.2.2,<2.0'",
    ),
    'torch': ('2.1.0', '3.0.0', "pip install 'torch>=2.1'"),
}

# The functions that mmengine's HistoryBuffer pickles with itself.
HISTORY_STATISTICS = ('min', 'max', 'mean', 'current')


class PlaceholderExtension(types.ModuleType):
    """Stands in for ``mmcv._ext`` where mmcv has no compiled operators.

    mmcv looks its operators up when it is imported, and so do mmdet and mmseg,
    although Mask2Former needs none of them. Every look-up succeeds here; only
    calling an operator fails.
    """

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing_operator(*args, **kwargs):
            raise RuntimeError(
                f'The compiled mmcv operator "{name}" was called, but the '
                'installed mmcv has no compiled operators (mmcv-lite). '
                'mmcpm itself needs none. If your model does, install a '
                'full mmcv for your PyTorch instead: '
                "pip uninstall mmcv-lite && pip install 'mmcv>=2.1.0,<2.2.0'"
            )

        missing_operator.__name__ = name
        return missing_operator


# Whether mmcv's compiled operators are present; set by :func:`apply`.
HAS_COMPILED_OPERATORS = False


def ensure_mmcv_operators() -> bool:
    """Make every mmdet and mmseg model importable without compiled operators.

    A compiled ``mmcv._ext`` is left alone.

    Returns:
        bool: True if compiled operators are present.

    Raises:
        ImportError: If compiled operators are installed but cannot be loaded.
    """
    loaded = sys.modules.get(MMCV_EXTENSION)
    if loaded is not None:
        return not isinstance(loaded, PlaceholderExtension)
    if importlib.util.find_spec(MMCV_EXTENSION) is not None:
        try:
            importlib.import_module(MMCV_EXTENSION)
        except ImportError as error:
            raise ImportError(
                'mmcv is installed with compiled operators, but they cannot '
                f'be loaded with torch {torch.__version__}: {error}. They '
                'were built for another PyTorch: reinstall mmcv for this '
                'one, or use the build without operators: pip uninstall '
                "mmcv && pip install 'mmcv-lite>=2.1.0,<2.2.0'"
            ) from error
        return True

    extension = PlaceholderExtension(MMCV_EXTENSION)
    extension.__spec__ = importlib.machinery.ModuleSpec(MMCV_EXTENSION, None)
    sys.modules[MMCV_EXTENSION] = extension
    # mmcv asks "is there a CUDA device" where it means "is there a CUDA
    # operator"; without the operator the PyTorch path must be taken.
    from mmcv.ops import multi_scale_deform_attn

    multi_scale_deform_attn.IS_CUDA_AVAILABLE = False
    return False


def _history_getattr(owner, name: str):
    """Serve ``getattr`` for the statistics of HistoryBuffer, nothing else."""
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in HISTORY_STATISTICS:
        return getattr(HistoryBuffer, name)
    raise RuntimeError(
        f'The checkpoint asks for attribute {name!r} of {owner!r}. A '
        'checkpoint of mmengine needs only the statistics '
        f'{HISTORY_STATISTICS} of HistoryBuffer: this file was not written '
        'by a training run, or it was tampered with. It is not loaded.'
    )


def allow_runner_checkpoints() -> bool:
    """Let ``torch.load(weights_only=True)`` read checkpoints of mmengine.

    From 2.6 on PyTorch loads tensors and plain containers only, and refuses
    what mmengine's Runner stores beside the weights: logged histories
    (HistoryBuffer) and numpy numbers. Exactly these are allowed here.
    ``torch.load`` itself is not changed, so a file that carries code is
    still refused.

    Returns:
        bool: True if anything had to be allowed (PyTorch 2.6 or newer).
    """
    if Version(torch.__version__) < Version('2.6'):
        return False
    import numpy as np
    from mmengine.logging import HistoryBuffer

    multiarray = importlib.import_module(
        'numpy._core.multiarray'
        if Version(np.__version__) >= Version('2')
        else 'numpy.core.multiarray'
    )
    allowed = [HistoryBuffer, np.ndarray, np.dtype]
    allowed.append((_history_getattr, 'builtins.getattr'))
    # numpy 2 renamed the module; files of either version are to be read.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed.append((multiarray._reconstruct, f'{module}._reconstruct'))
        allowed.append((multiarray.scalar, f'{module}.scalar'))
    floats, integers = ('float16', 'float32', 'float64'), ('int32', 'int64')
    for kind in (*floats, *integers, 'uint8', 'bool'):
        allowed.append(type(np.dtype(kind)))
    torch.serialization.add_safe_globals(allowed)
    return True


def hide_broken_torchvision() -> bool:
    """Treat a torchvision that was built for another PyTorch as missing.

    mmengine gets along without torchvision: only ``torchvision://`` weights
    need it. But a torchvision that is there and fails ends every run, when
    mmengine logs the environment. The usual case is a CPU build of PyTorch
    beside the registry's torchvision, which was built for CUDA.
    """
    try:
        built_for = {
            item.name: item.specifier
            for item in map(Requirement, requires('torchvision') or ())
        }
    except PackageNotFoundError:
        return False
    matches = Version(torch.__version__) in built_for.get(
        'torch', SpecifierSet()
    )
    if matches and torch.version.cuda is not None:
        return False  # Spares the second that importing it takes.
    try:
        importlib.import_module('torchvision')
    except Exception as error:
        # Python's own way of saying that a module is not to be found.
        sys.modules['torchvision'] = None
        warnings.warn(
            f'torchvision {version("torchvision")} cannot be imported with '
            f'torch {torch.__version__} ({type(error).__name__}: {error}). '
            'It is treated as not installed: weights named torchvision:// '
            'have to be given as files. Install the torchvision that was '
            'built for this PyTorch, or uninstall it.',
            stacklevel=2,
        )
        return True
    return False


def check_versions() -> None:
    """Refuse package versions that are known not to work together.

    Raises:
        ImportError: Names the package, the installed version, the accepted
            range and the command that puts it right.
    """
    for name, (lowest, refused, remedy) in SUPPORTED.items():
        found = 'which is not installed'
        try:
            installed = _installed_version(name)
        except PackageNotFoundError:
            # A source tree on the path has no metadata; its own import tells.
            module = name.replace('segmentation', 'seg')
            if importlib.util.find_spec(module) is not None:
                continue
        else:
            if Version(lowest) <= Version(installed) < Version(refused):
                continue
            found = f'but {installed} is installed'
        raise ImportError(
            f'mmcpm needs {name} >={lowest},<{refused}, {found}: {remedy}'
        )


def _installed_version(name: str) -> str:
    """Look up a distribution; mmcv may be the one without operators."""
    try:
        return version(name)
    except PackageNotFoundError:
        if name != 'mmcv':
            raise
        return version('mmcv-lite')


def _is_sync_bn(kind) -> bool:
    """Tell whether a type, or the name of one, is a SyncBatchNorm."""
    if isinstance(kind, str):
        return kind.rpartition('.')[2] in ('SyncBN', 'SyncBatchNorm')
    return isinstance(kind, type) and issubclass(kind, torch.nn.SyncBatchNorm)


def revert_sync_bn(cfg) -> int:
    """Configure BN where a model has SyncBN, which PyTorch has for CUDA only.

    Args:
        cfg (Any): Configuration of a model or of a part; changed in place.
    """
    if isinstance(cfg, dict):
        number = sum(revert_sync_bn(value) for value in cfg.values())
        if _is_sync_bn(cfg.get('type')):
            cfg['type'] = 'BN'
            number += 1
        return number
    if isinstance(cfg, list | tuple):
        return sum(revert_sync_bn(value) for value in cfg)
    return 0


def average_no_states() -> None:
    """Let averaged models copy the buffers whose average means nothing.

    With ``update_buffers=True`` mmengine averages every buffer of floating
    numbers and leaves all others as they were in the first iteration. An
    averaged model takes over from its source: counters and flags, and all
    buffers of a module that says ``buffers_are_one_state``. Running
    statistics are averaged, as asked for.
    """
    from mmengine.model import BaseAveragedModel

    update = BaseAveragedModel.update_parameters
    if hasattr(update, '__wrapped__'):
        return

    @functools.wraps(update)
    def update_parameters(self, model) -> None:
        update(self, model)
        if not self.update_buffers:
            return  # It has copied them all.
        sources = dict(model.named_modules())
        for path, module in self.module.named_modules():
            whole = getattr(module, 'buffers_are_one_state', False)
            for name, buffer in module.named_buffers(recurse=False):
                if whole or not buffer.is_floating_point():
                    buffer.copy_(getattr(sources[path], name))

    BaseAveragedModel.update_parameters = update_parameters


def let_configs_be_inherited() -> None:
    """Let mmengine take ``_base_ = 'mmcpm::cpm/cpm_r50_avss.py'``.

    mmengine has a fixed list of the packages whose configs it inherits from,
    and looks for the configs where an installation puts them.
    """
    from mmengine.config import utils

    utils.MODULE2PACKAGE.setdefault('mmcpm', 'mmcpm')
    find = utils._get_cfg_metainfo
    if hasattr(find, '__wrapped__'):
        return

    @functools.wraps(find)
    def get_cfg_metainfo(package_path: str, cfg_path: str) -> dict:
        index = Path(package_path, '.mim', 'model-index.yml')
        if index.parts[-3] == 'mmcpm' and not index.is_file():
            raise FileNotFoundError(
                f'mmcpm::{cfg_path} names a config of an installed mmcpm, but '
                f'{package_path} is a source tree that is not installed. '
                'Install it (pip install --no-deps -e . in its root), or name '
                f'the file: {Path(package_path).parent / "configs" / cfg_path}'
            )
        return find(package_path, cfg_path)

    utils._get_cfg_metainfo = get_cfg_metainfo


def apply() -> bool:
    """Apply every adjustment of this file once."""
    global HAS_COMPILED_OPERATORS
    check_versions()
    hide_broken_torchvision()
    HAS_COMPILED_OPERATORS = ensure_mmcv_operators()
    allow_runner_checkpoints()
    average_no_states()
    let_configs_be_inherited()
    return HAS_COMPILED_OPERATORS
