"""Classes that the ``type`` of a configuration stands for.

A text configuration names a type (``'OptimWrapper'``), with the scope of its
registry or without. A pure-Python one holds the class itself, and its dumped
copy the class's address (``'mmengine.optim.OptimWrapper'``). All are the same.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry


def type_of(cfg: Any, registry: Registry) -> Any:
    """Look up what a configuration would be built by.

    Args:
        cfg (Any): A configuration with a ``type``, as text or pure Python.
        registry (Registry): Where names are looked up.

    Returns:
        Any: A class or function; None if there is no ``type`` or none of
        that name.
    """
    kind = cfg.get('type') if isinstance(cfg, Mapping) else None
    if not isinstance(kind, str):
        return kind
    try:
        return registry.get(kind)
    except RuntimeError:  # Its address names a module that fails.
        return None


def is_type(
    cfg: Any, cls: type | tuple[type, ...], registry: Registry
) -> bool:
    """Tell whether a configuration builds a class or a subclass of it."""
    kind = type_of(cfg, registry)
    return isinstance(kind, type) and issubclass(kind, cls)


def type_name(cfg: Any, registry: Registry) -> str:
    """Name the type of a configuration for people."""
    kind = type_of(cfg, registry) or (cfg or {}).get('type')
    return getattr(kind, '__name__', str(kind))
