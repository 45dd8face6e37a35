"""Parser that follows the variables of configuration files.

A configuration file is Python: what it assigns at its top level is a setting
that a run reads (``train_cfg``), or a variable from which it makes some
(``max_epochs``). mmengine keeps both alike. Whether a variable is used can
only be seen in the text; here the files are read, not executed.
"""

import ast
import io
import os.path as osp
import re
from collections.abc import Iterator
from typing import NamedTuple

from mmengine.config import Config
from mmengine.fileio import load
from mmengine.utils import get_installed_path

BASE = '_base_'
# ``{{_base_.name}}``, and other templates, which are no Python.
BASE_TEMPLATE = re.compile(r'\{\{\s*_base_\.([\w.]+)\s*\}\}')
TEMPLATE = re.compile(r'\{\{.*?\}\}')
# Calls that may use any name.
DYNAMIC = {'eval', 'exec', 'globals', 'locals', 'vars'}


class Definition(NamedTuple):
    """Where a file sets or changes a top-level name, from line 1."""

    file: str
    line: int


class ConfigFile(NamedTuple):
    """One file of a configuration's chain.

    Attributes:
        path (str): Path of the file.
        tree (ast.Module): Parsed text; that of JSON and YAML, as if it were
            Python.
        is_lazy (bool): Whether it is pure Python: names of its bases are its
            own.
    """

    path: str
    tree: ast.Module
    is_lazy: bool = False


def read_chain(cfg: Config) -> list[ConfigFile]:
    """Read the files of a configuration.

    Returns:
        list[ConfigFile]: Bases before the files that inherit them; each once.
    """
    if cfg.filename is None:
        return []
    # The text of a pure-Python configuration is that of its last file.
    is_joined = osp.isabs(cfg.text.partition('\n')[0])
    found = (
        _split_text(cfg.text) if is_joined else _follow_imports(cfg.filename)
    )
    files = {}
    for file in found:
        files.setdefault(osp.realpath(file.path), file)
    return list(files.values())


def _split_text(text: str) -> Iterator[ConfigFile]:
    """Take apart what mmengine joins: each file after a line of its path."""
    position = 0
    while position < len(text):
        path = text[position:].partition('\n')[0]
        with open(path, encoding='utf-8') as file:
            content = file.read()
        yield ConfigFile(path, _parse(path, content))
        position += len(path) + 1 + len(content) + 1


def _parse(path: str, content: str) -> ast.Module:
    """Parse a file; JSON and YAML become assignments, on line 0."""
    bases = BASE_TEMPLATE.findall(content)
    if path.endswith('.py'):
        content = BASE_TEMPLATE.sub(r'_base_.\1', content)
        return ast.parse(TEMPLATE.sub('0', content))
    suffix = osp.splitext(path)[1].removeprefix('.')
    text = io.StringIO(TEMPLATE.sub('0', content))
    tree = ast.parse('\n'.join(f'_base_.{name}' for name in bases))
    for key in load(text, file_format=suffix):
        name = ast.Name(str(key), ast.Store())
        tree.body.append(
            ast.Assign([name], ast.Constant(0), lineno=0, col_offset=0)
        )
    return tree


def _follow_imports(path: str) -> Iterator[ConfigFile]:
    """Yield a pure-Python file after those that it reads as bases."""
    with open(path, encoding='utf-8') as file:
        tree = ast.parse(file.read())
    for node in base_imports(tree):
        if node.level:
            folder = osp.join(osp.dirname(path), *['..'] * (node.level - 1))
            parts = node.module.split('.')
        else:
            package, *parts = node.module.split('.')
            folder = get_installed_path(package)
        yield from _follow_imports(f'{osp.join(folder, *parts)}.py')
    yield ConfigFile(path, tree, is_lazy=True)


def base_imports(tree: ast.Module) -> list[ast.ImportFrom]:
    """List the imports below ``with read_base():``."""
    return [
        node
        for statement in tree.body
        if isinstance(statement, ast.With)
        for node in statement.body
        if isinstance(node, ast.ImportFrom)
    ]


def unused_variables(files: list[ConfigFile]) -> dict[str, Definition]:
    """Find names whose last value is not used by the text after it.

    Settings that a run reads are among them.

    Returns:
        dict[str, Definition]: By name, where that value was set.
    """
    pending: dict[str, Definition] = {}
    for file in files:
        own: set[str] = set()
        # Functions use names whenever they are called.
        always = {
            name
            for node in ast.walk(file.tree)
            if isinstance(node, ast.FunctionDef | ast.Lambda)
            for name in name_loads(node)
        }
        is_dynamic = not DYNAMIC.isdisjoint(name_loads(file.tree))
        for statement in file.tree.body:
            names = name_loads(statement)
            taken = set(base_loads(statement))
            if None in taken:  # The bases as a whole.
                pending.clear()
            # Without ``_base_.`` a text file cannot reach its bases' names.
            for name in taken | (names if file.is_lazy else names & own):
                pending.pop(name, None)
            is_simple = isinstance(
                statement,
                ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr,
            )
            for name, line, is_change in definitions(statement):
                if is_change and (name in own or not file.is_lazy):
                    continue
                if not is_change:
                    own.add(name)
                # A loop or a branch may use what it has set.
                is_used = name in names and not is_simple
                if is_dynamic or is_used or name in always:
                    pending.pop(name, None)
                else:
                    pending[name] = Definition(file.path, line)
    return pending


def definitions(statement: ast.stmt) -> Iterator[tuple[str, int, bool]]:
    """List the names that a top-level statement sets or changes.

    What changes in a file's own object changes wherever the file has put it.
    Of what mmengine hands on to another file, it is a copy that changes.

    Yields:
        tuple[str, int, bool]: Name, line, and whether it is only changed.
    """
    for node in _outside_functions(statement):
        targets = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            # A method whose result nobody takes: it changes the object.
            targets = [node.value.func]
        for target in targets:
            for name, is_part in _target_names(target):
                is_change = is_part or isinstance(node, ast.AugAssign)
                yield name, node.lineno, is_change


def _target_names(target: ast.expr) -> Iterator[tuple[str, bool]]:
    """Yield names of a target, and whether it is only a part of theirs."""
    if isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from _target_names(element)
        return
    is_change = False
    while isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
        is_change |= not isinstance(target, ast.Starred)
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id, is_change


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a statement, but not into functions and classes."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _outside_functions(child)


def name_loads(node: ast.AST) -> set[str]:
    """Names that a piece of text uses."""
    return {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)
    }


def base_loads(node: ast.AST) -> Iterator[str | None]:
    """List the names that a piece of text takes from its bases.

    Yields:
        str, optional: A name; None where it takes all, or what it takes
        cannot be told.
    """
    named = []
    for inner in ast.walk(node):
        if not is_base(getattr(inner, 'value', None)):
            continue
        if isinstance(inner, ast.Attribute) and not hasattr(dict, inner.attr):
            named.append(inner.value)
            yield inner.attr
        elif isinstance(inner, ast.Subscript):
            named.append(inner.value)
            yield getattr(inner.slice, 'value', None)
    if any(is_base(inner) and inner not in named for inner in ast.walk(node)):
        yield None


def is_base(node: ast.AST | None) -> bool:
    """Tell whether a piece of text is ``_base_``, and not its assignment."""
    return (
        isinstance(node, ast.Name)
        and node.id == BASE
        and isinstance(node.ctx, ast.Load)
    )
