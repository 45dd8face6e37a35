"""Audio-visual segmentation for MMSegmentation.

Importing the package applies :mod:`mmcpm.compat` and registers every
component in mmseg's registries.
"""

from . import compat

HAS_COMPILED_OPERATORS = compat.apply()

from . import (  # noqa: E402
    datasets,
    engine,
    evaluation,
    models,
    visualization,
)
from .version import __version__  # noqa: E402

__all__ = [
    '__version__',
    'HAS_COMPILED_OPERATORS',
    'compat',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'visualization',
]
