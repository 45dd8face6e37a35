"""Description of the environment, for reports of faults.

Only the standard library is imported here, and tools/misc/collect_env.py
loads this file on its own: it is wanted most where mmcpm cannot be imported.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import runpy
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# Name in the report -> (distribution, module). Importing is part of the
# question: a binary package that was built for another PyTorch, or one that
# refuses the version of another, has a version number all the same.
PACKAGES = {
    'PyTorch': ('torch', 'torch'),
    'TorchVision': ('torchvision', 'torchvision'),
    'torchaudio': ('torchaudio', 'torchaudio'),
    'MMEngine': ('mmengine', 'mmengine'),
    'MMDetection': ('mmdet', 'mmdet'),
    'MMSegmentation': ('mmsegmentation', 'mmseg'),
    'numpy': ('numpy', 'numpy'),
    'scipy': ('scipy', 'scipy'),
    'soundfile': ('soundfile', 'soundfile'),
}
# They share one module, so that two of a kind overwrite each other.
MMCV_DISTRIBUTIONS = ('mmcv', 'mmcv-lite', 'mmcv-full')
OPENCV_DISTRIBUTIONS = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
OPERATORS = 'Compiled mmcv operators'
MISSING = 'not installed'


def collect_env() -> dict[str, str]:
    """Describe the packages and the machine.

    Returns:
        dict[str, str]: What mmengine collects, then mmcpm and what it builds
        on. Whatever is missing or broken is described instead of raised.
    """
    # Before mmcpm is imported, which hides a broken torchvision.
    packages = {
        name: describe_package(distribution, module)
        for name, (distribution, module) in PACKAGES.items()
    }
    mmcpm = describe_mmcpm()
    env = collect_mmengine()
    env['mmcpm'] = mmcpm
    env['mmcv'] = describe_distributions(MMCV_DISTRIBUTIONS)
    env[OPERATORS] = describe_operators()
    env.update(packages)
    env['libsndfile'] = describe_attribute(
        'soundfile', '__libsndfile_version__'
    )
    env['OpenCV'] = describe_distributions(OPENCV_DISTRIBUTIONS)
    env['CPU'] = describe_cpu()
    return env


def collect_mmengine() -> dict[str, str]:
    """Collect what mmengine does: the devices, the compilers and PyTorch."""
    try:
        from mmengine.utils.dl_utils import collect_env as collect_base_env

        return {name: str(value) for name, value in collect_base_env().items()}
    except Exception as error:
        return {
            'sys.platform': sys.platform,
            'Python': sys.version.replace('\n', ''),
            "mmengine's report": f'failed ({describe_error(error)})',
        }


def describe_mmcpm() -> str:
    """Name mmcpm's version and place, and why it fails to import."""
    version = runpy.run_path(str(PACKAGE / 'version.py'))['__version__']
    return f'{version}, {PACKAGE}{describe_import("mmcpm")}'


def describe_package(distribution: str, module: str) -> str:
    """Describe one package.

    Returns:
        str: The version, and the error if the module cannot be imported.
    """
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(module) is None:
            return MISSING
        version = 'version unknown'  # A source tree on the path.
    error = describe_import(module)
    # PyTorch's modules know more: 2.1.2+cu121 where the distribution says
    # 2.1.2.
    known = getattr(sys.modules.get(module), '__version__', version)
    return f'{version}{error}' if error else str(known)


def describe_distributions(names: tuple[str, ...]) -> str:
    """List those of some distributions that are installed."""
    found = []
    for name in names:
        try:
            found.append(f'{name} {importlib.metadata.version(name)}')
        except importlib.metadata.PackageNotFoundError:
            continue
    listed = ', '.join(found) or MISSING
    if len(found) > 1:
        listed += ' (they overwrite each other: keep one)'
    return listed


def describe_operators() -> str:
    """Tell whether mmcv's compiled operators are present and load."""
    name = 'mmcv._ext'
    try:
        module = sys.modules.get(name)
        if module is None:
            if importlib.util.find_spec(name) is None:
                return 'no'
            module = importlib.import_module(name)
    except Exception as error:
        return f'no, they cannot be loaded ({describe_error(error)})'
    # mmcpm's placeholder for missing operators comes from no file.
    return 'yes' if getattr(module, '__file__', None) else 'no'


def describe_attribute(module: str, attribute: str) -> str:
    """Read an attribute of a module."""
    try:
        return str(getattr(importlib.import_module(module), attribute))
    except Exception as error:
        return f'unknown ({describe_error(error)})'


def describe_import(module: str) -> str:
    """Tell why a module cannot be imported; nothing if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:
        return f', cannot be imported ({describe_error(error)})'
    return ''


def describe_cpu() -> str:
    """Count the processors and the threads that are used."""
    usable = os.cpu_count()
    if hasattr(os, 'sched_getaffinity'):  # Not on every system.
        usable = len(os.sched_getaffinity(0))
    threads = 'unknown'
    try:
        import torch

        threads = torch.get_num_threads()
    except Exception:  # Described under the package's own name.
        pass
    return (
        f'{usable} usable of {os.cpu_count()}, PyTorch threads {threads}, '
        f'OMP_NUM_THREADS {os.environ.get("OMP_NUM_THREADS", "not set")}'
    )


def describe_error(error: BaseException) -> str:
    """Write an error in one line."""
    return ' '.join(f'{type(error).__name__}: {error}'.split())
