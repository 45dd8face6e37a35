"""Quirks of mmcv, mmengine and PyTorch; no other file knows them.

``import mmcpm`` calls :func:`apply` before anything touches a model of mmdet
or mmseg. Every other file of the package is written as if the quirks did not
exist.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
import warnings
from importlib.metadata import PackageNotFoundError, requires, version

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
        '1.2.0',
        '2.0.0',
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
    allowed = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        (_history_getattr, 'builtins.getattr'),
    ]
    # numpy 2 renamed the module; files of either version are to be read.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed.append((multiarray._reconstruct, f'{module}._reconstruct'))
        allowed.append((multiarray.scalar, f'{module}.scalar'))
    allowed += [
        type(np.dtype(kind))
        for kind in (
            np.float16,
            np.float32,
            np.float64,
            np.int32,
            np.int64,
            np.uint8,
            np.bool_,
        )
    ]
    torch.serialization.add_safe_globals(allowed)
    return True


def hide_broken_torchvision() -> bool:
    """Treat a torchvision that was built for another PyTorch as missing.

    mmengine gets along without torchvision: only ``torchvision://`` weights
    need it. But a torchvision that is there and fails ends every run, when
    mmengine logs the environment. The usual case is a CPU build of PyTorch
    beside the registry's torchvision, which was built for CUDA.

    Returns:
        bool: True if torchvision was hidden.
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
        installed = None
        for distribution in (name, 'mmcv-lite') if name == 'mmcv' else (name,):
            try:
                installed = version(distribution)
                break
            except PackageNotFoundError:
                continue
        if installed is None:
            # A source tree on the path has no metadata; its own import tells.
            if (
                importlib.util.find_spec(name.replace('segmentation', 'seg'))
                is None
            ):
                raise ImportError(
                    f'mmcpm needs {name} >={lowest},<{refused}, '
                    f'which is not installed: {remedy}'
                )
            continue
        if not Version(lowest) <= Version(installed) < Version(refused):
            raise ImportError(
                f'mmcpm needs {name} >={lowest},<{refused}, but {installed} '
                f'is installed: {remedy}'
            )


def _is_sync_bn(kind) -> bool:
    """Tell whether a type, or the name of one, is a SyncBatchNorm."""
    if isinstance(kind, str):
        return kind.rpartition('.')[2] in ('SyncBN', 'SyncBatchNorm')
    return isinstance(kind, type) and issubclass(kind, torch.nn.SyncBatchNorm)


def revert_sync_bn(cfg) -> int:
    """Configure BN where a model has SyncBN, which PyTorch has for CUDA only.

    Args:
        cfg (Any): Configuration of a model or of a part; changed in place.

    Returns:
        int: Number of changed modules.
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


def prepare_launcher(launcher: str, cfg=None) -> None:
    """Let mmengine's Runner train on several CPU processes.

    mmengine selects a CUDA device and hands device ids to the distributed
    wrapper without asking whether there is a device. Without CUDA the gloo
    process group is opened here, before the Runner looks for one, the
    wrapper is configured without device ids, and SyncBN gives way to BN.
    With CUDA nothing is changed.

    Args:
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.
        cfg (mmengine.Config, optional): The run's configuration; its
            ``model_wrapper_cfg`` is set where the Runner's default would fail.

    Raises:
        RuntimeError: If a launcher other than 'pytorch' is used without CUDA.
    """
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise RuntimeError(
            f'--launcher {launcher} needs CUDA devices, and none is visible. '
            'Several CPU processes are started with --launcher pytorch '
            '(tools/dist_train.sh).'
        )
    import datetime

    import torch.distributed as torch_dist

    dist_cfg = (
        {} if cfg is None else cfg.get('env_cfg', {}).get('dist_cfg', {})
    )
    if not torch_dist.is_initialized():
        missing = [
            name
            for name in (
                'RANK',
                'WORLD_SIZE',
                'LOCAL_RANK',
                'MASTER_ADDR',
                'MASTER_PORT',
            )
            if name not in os.environ
        ]
        if missing:
            raise RuntimeError(
                f'--launcher pytorch expects {", ".join(missing)} in the '
                'environment; start the processes with tools/dist_train.sh, '
                'tools/dist_test.sh or python -m torch.distributed.run.'
            )
        torch_dist.init_process_group(
            backend='gloo',
            timeout=datetime.timedelta(seconds=dist_cfg.get('timeout', 1800)),
        )
    reverted = cfg is not None and revert_sync_bn(cfg.get('model'))
    if reverted and torch_dist.get_rank() == 0:
        print(
            f'SyncBN needs CUDA: {reverted} norm_cfg of the model use BN '
            'instead, with statistics of the frames of each process.'
        )
    if cfg is not None and cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )


def leave_launcher() -> None:
    """Close the process group once all ranks are done, if there is one.

    Left to the interpreter's exit, threads of gloo may still run when their
    owner is destroyed, which aborts a rank that had finished its work.
    """
    import torch.distributed as torch_dist

    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()


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

    mmengine has a fixed list of the packages whose configs it inherits from.
    """
    from mmengine.config import utils

    utils.MODULE2PACKAGE.setdefault('mmcpm', 'mmcpm')


def apply() -> bool:
    """Apply every adjustment of this file once.

    Returns:
        bool: True if mmcv's compiled operators are present.
    """
    global HAS_COMPILED_OPERATORS
    check_versions()
    hide_broken_torchvision()
    HAS_COMPILED_OPERATORS = ensure_mmcv_operators()
    allow_runner_checkpoints()
    average_no_states()
    let_configs_be_inherited()
    return HAS_COMPILED_OPERATORS
