"""Checks for settings that nothing reads.

mmengine accepts any top-level setting. One that it does not know is a
variable: what was made of it in the file that uses it stays as it is when it
is set elsewhere, and the run would not be what was asked for.
"""

import ast
import difflib
import inspect
import os.path as osp
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner
from mmseg.registry import RUNNERS

from mmcpm.utils.config_types import is_type
from mmcpm.utils.errors import UsageError

from .config_variables import (
    BASE,
    ConfigFile,
    Definition,
    is_base,
    name_loads,
    read_chain,
    unused_variables,
)

# What mmengine asks its configuration for, beside the Runner's arguments.
READ_BY_MMENGINE = (
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)
SHOWN = 4  # Settings that a message names.
INSTALLED = ('site-packages', 'dist-packages')


def settings_read(cfg: Config) -> set[str]:
    """Name the top-level settings that a run reads."""
    flexible = is_type(
        {'type': cfg.get('runner_type')}, FlexibleRunner, RUNNERS
    )
    runner = FlexibleRunner if flexible else Runner
    names = {*inspect.signature(runner).parameters, *READ_BY_MMENGINE} - {
        'cfg'
    }
    model = cfg.get('model')
    if isinstance(model, dict) and 'data_preprocessor' in model:
        names.discard('data_preprocessor')  # The model's own comes first.
    return names


def check_option(cfg: Config, key: str) -> None:
    """Refuse an option that sets a variable."""
    name = key.partition('.')[0]
    read = settings_read(cfg)
    if name in read or name.startswith('_'):
        return
    remedy = _remedy(cfg, read_chain(cfg), read, name)
    raise UsageError(
        f'--cfg-options {key} has no effect: nothing reads {name!r} after the '
        f'config files. {remedy}'
    )


def check_files(cfg: Config) -> None:
    """Refuse config files that set what nothing reads."""
    read, files = settings_read(cfg), read_chain(cfg)
    exempt = {file.path for file in files if is_exempt(file)}
    faults = []
    for name, found in unused_variables(files).items():
        if (
            name in read
            or name not in cfg
            or name.startswith('_')
            or found.file in exempt
        ):
            continue
        faults.append(
            f'{_place(found)}: {name!r} has no effect, nothing reads it after '
            f'this. {_remedy(cfg, files, read, name)}'
        )
    if faults:
        raise UsageError('\n'.join(faults))


def is_exempt(file: ConfigFile) -> bool:
    """Tell whether a file may set what nothing reads.

    Returns:
        bool: True for a copy that a run or print_config has written, in
        which the variables of the original stand beside what was made of
        them, and for files of installed packages.
    """
    if any(f'{osp.sep}{part}{osp.sep}' in file.path for part in INSTALLED):
        return True
    names = [
        statement.targets[0].id
        for statement in file.tree.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
    ]
    if len(names) != len(file.tree.body) or BASE in names:
        return False
    if not file.path.endswith('.py'):
        return True
    used = set().union(*map(name_loads, file.tree.body))
    return names == sorted(names) and not used & set(names)


def _place(found: Definition) -> str:
    """Say where a name was set."""
    return f'{found.file}:{found.line}' if found.line else found.file


def _remedy(
    cfg: Config, files: Sequence[ConfigFile], read: set[str], name: str
) -> str:
    """Say what to set in the place of a name.

    Returns:
        str: Settings that were made of it, or are called alike, or what to
        do with one's own.
    """
    made = [
        path
        for path in dict.fromkeys(derived_settings(files, read, name))
        if _exists(cfg, path.split('.'))
    ]
    if made:
        return f'Settings were made of it before; set them: {_list(made)}'
    alike = [
        path
        for key in sorted(read & set(cfg))
        for path in _called(cfg[key], name, key)
    ]
    near = difflib.get_close_matches(name, sorted(read), 1, 0.75) or sorted(
        key for key in read if name in key.split('_')
    )
    if near or alike:
        return f'Did you mean {_list([*near, *alike], "or")}?'
    return (
        'Leave it out; one that code of your own reads begins with an '
        f'underscore: _{name}'
    )


def _list(paths: list[str], word: str = 'and') -> str:
    """Join some settings for a message."""
    rest = len(paths) - SHOWN
    if rest > 0:
        return f'{", ".join(paths[:SHOWN])} {word} {rest} more'
    *first, last = paths
    return f'{", ".join(first)} {word} {last}' if first else last


def derived_settings(
    files: Sequence[ConfigFile], read: set[str], name: str
) -> Iterator[str]:
    """Find what config files make of a variable.

    Yields:
        str: Settings with dots, such as ``'train_cfg.max_epochs'``.
    """
    assigned: dict[str, ast.expr] = {}
    for file in files:
        for statement in file.tree.body:
            if not isinstance(statement, ast.Assign):
                continue
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    if target.id in read:
                        yield from _uses(
                            statement.value, target.id, name, dict(assigned)
                        )
                    assigned[target.id] = statement.value


def _uses(
    node: ast.AST, path: str, name: str, assigned: dict[str, ast.expr]
) -> Iterator[str]:
    """Find a variable in an expression, also within other variables."""
    used = None
    if isinstance(node, ast.Name):
        used = node.id
    elif isinstance(node, ast.Attribute) and is_base(node.value):
        used = node.attr
    if used == name:
        yield path
        return
    if used in assigned:
        rest = {key: value for key, value in assigned.items() if key != used}
        yield from _uses(assigned[used], path, name, rest)
        return
    for key, child in _parts(node):
        yield from _uses(
            child, path if key is None else f'{path}.{key}', name, assigned
        )


def _parts(node: ast.AST) -> Iterator[tuple[Any, ast.AST]]:
    """Yield keys and values of an expression; None where there is no key."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        yield from ((item.arg, item.value) for item in node.keywords)
        yield from ((None, item) for item in node.args)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield getattr(key, 'value', None), value
    elif isinstance(node, ast.List | ast.Tuple) and not any(
        isinstance(item, ast.Starred) for item in node.elts
    ):
        yield from enumerate(node.elts)
    else:
        yield from ((None, item) for item in ast.iter_child_nodes(node))


def _exists(settings: Any, keys: list[str]) -> bool:
    """Tell whether nested settings have a key."""
    for key in keys:
        if isinstance(settings, list | tuple) and key.isdigit():
            if int(key) >= len(settings):
                return False
            settings = settings[int(key)]
        elif isinstance(settings, dict | Config) and key in settings:
            settings = settings[key]
        else:
            return False
    return True


def _called(settings: Any, name: str, path: str) -> Iterator[str]:
    """Yield the nested settings of a name."""
    items = ()
    if isinstance(settings, dict):
        items = settings.items()
    elif isinstance(settings, list | tuple):
        items = enumerate(settings)
    for key, value in items:
        if key == name:
            yield f'{path}.{key}'
        yield from _called(value, name, f'{path}.{key}')
