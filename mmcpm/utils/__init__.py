def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every component, as mmengine's hub asks of a package.

    Args:
        init_default_scope (bool): Whether names are looked up here first
            from now on.
    """
    from mmengine.registry import DefaultScope

    import mmcpm  # noqa: F401

    if init_default_scope:
        DefaultScope.get_instance('mmcpm', scope_name='mmcpm')
