"""Packaging of mmcpm.

``setup.py`` states ranges; ``requirements.txt`` pins what is tested. mmcv is
not named here, so that a compiled mmcv that is already installed stays.
"""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
# Travels inside the package as mmcpm/.mim, where OpenMMLab's tools look for
# configs, scripts and the model index.
MIM_FOLDERS = ('configs', 'tools')
# A config and its children, scripts, and what describes them.
MIM_SUFFIXES = ('.py', '.sh', '.yml', '.yaml', '.md', '.json')
# Records of studies and benchmarks: evidence for readers of the repository.
RECORDS = 'results'
# These make the environment of a clone or its files, and work in a clone only.
CLONE_SCRIPTS = (
    'model_zoo.py',
    'quickstart.py',
    'quickstart.sh',
    'run_tests.sh',
    'setup_environment.sh',
)


def mim_files():
    """List the files of ``MIM_FOLDERS``, relative to the root."""
    return sorted(
        path.relative_to(ROOT)
        for folder in MIM_FOLDERS
        for path in (ROOT / folder).rglob('*')
        if path.is_file()
        and path.suffix in MIM_SUFFIXES
        and RECORDS not in path.relative_to(ROOT).parts
    )


def model_index(files):
    """Write the model index: the list of metafiles."""
    metafiles = [path for path in files if path.name == 'metafile.yml']
    return (
        '\n'.join(['Import:', *(f'- {path.as_posix()}' for path in metafiles)])
        + '\n'
    )


def link_mim(target):
    """Let ``.mim`` of an editable install lead to the folders themselves."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for folder in MIM_FOLDERS:
        (target / folder).symlink_to(Path('..', '..', folder), True)
    (target / 'model-index.yml').write_text(model_index(mim_files()))


class BuildPyWithMim(build_py):
    """Copies configs and tools into the built package."""

    def run(self):
        """Build, then add ``.mim``."""
        if getattr(self, 'editable_mode', False):
            super().run()
            link_mim(ROOT / 'mmcpm' / '.mim')
            return
        # What was renamed since an earlier build would travel along.
        shutil.rmtree(Path(self.build_lib) / 'mmcpm', ignore_errors=True)
        super().run()
        target = Path(self.build_lib) / 'mmcpm' / '.mim'
        files = [path for path in mim_files() if not clone_only(path)]
        for path in files:
            destination = target / path
            os.makedirs(destination.parent, exist_ok=True)
            shutil.copy2(ROOT / path, destination)
        (target / 'model-index.yml').write_text(model_index(files))


def clone_only(path):
    """Tell whether a file is of no use in an installed package."""
    return path.parts[0] == 'tools' and path.name in CLONE_SCRIPTS


class SourceDistribution(sdist):
    """Adds configs and tools, which are not packages."""

    def make_release_tree(self, base_dir, files):
        """Add what a wheel is built from beside the package."""
        extra = [*map(str, mim_files()), 'requirements.txt', 'LICENSE']
        super().make_release_tree(base_dir, sorted({*files, *extra}))


def package_version():
    """Read the version without importing the package."""
    names = {}
    exec((ROOT / 'mmcpm' / 'version.py').read_text(), names)
    return names['__version__']


setup(
    name='mmcpm',
    version=package_version(),
    description='Audio-visual segmentation for MMSegmentation: CPM',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.11',
    packages=find_packages(include=['mmcpm', 'mmcpm.*']),
    install_requires=[
        'torch>=2.1',
        'torchaudio>=2.1',
        'mmengine>=0.10.4,<1.0',
        'mmdet>=3.1.0,<4.0',
        'mmsegmentation>=1.2.0,<2.0',
        'ftfy',
        'regex',
        'numpy',
        'scipy',
        'soundfile>=0.12',
        'pillow',
        'matplotlib',
        'prettytable',
        'pycocotools',
        'tqdm',
        'packaging',
        # mmengine looks packages up with pkg_resources, gone in 82.
        'setuptools<82',
    ],
    extras_require={
        # For those who have no mmcv yet: pip install '.[lite]'
        'lite': ['mmcv-lite>=2.1.0,<2.2.0'],
        # torchvision:// weights. Each release asks for one torch, and would
        # replace the one that is installed.
        'torchvision': ['torchvision>=0.16'],
        # Videos, for tools/demo_video.py; brings FFmpeg along.
        'video': ['av>=14.0'],
        # The web page of tools/web_demo.py.
        'demo': ['av>=14.0', 'gradio>=6.31,<7'],
        # Deformable attention in one kernel, on CUDA and Python >= 3.12.
        'deformops': ['deformops'],
        # Checkpoints published in that format.
        'safetensors': ['safetensors>=0.4'],
    },
    cmdclass={
        'build_py': BuildPyWithMim,
        'sdist': SourceDistribution,
    },
    zip_safe=False,
)
