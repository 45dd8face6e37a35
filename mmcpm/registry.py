"""Registries that mmengine needs to inherit a config from this package.

``_base_ = 'mmcpm::cpm/cpm_r50_avss.py'`` marks every part of that config with
the scope 'mmcpm', and mmengine asks this module for the registries of that
scope. The components are registered in mmseg's, to which these lead.
"""

from mmengine.registry import Registry
from mmseg import registry as mmseg_registry

REGISTRIES = [
    Registry(parent.name, parent=parent, scope='mmcpm', locations=['mmcpm'])
    for parent in vars(mmseg_registry).values()
    if isinstance(parent, Registry)
]
