"""Imports of the package run one way."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the roof to the ground: a folder may import what stands after it.
FLOORS = (
    {'analysis_tools', 'dataset_converters', 'model_converters'},
    {'apis'},
    {'engine', 'visualization', 'video'},
    {'models', 'datasets'},
    {'evaluation', 'structures'},
    {'utils', 'compat', 'registry', 'version'},
)
FLOOR = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}


def read_modules(package: Path) -> dict[str, Path]:
    """Modules of a package by their dotted names."""
    modules = {}
    for path in sorted(package.rglob('*.py')):
        parts = path.relative_to(package.parent).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        modules['.'.join(parts)] = path
    return modules


def imported_by(path: Path, name: str, modules: dict) -> set[str]:
    """Modules of the package that a file imports, wherever in it."""
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = package.split('.')
                parts = parts[: len(parts) - node.level + 1]
                base = '.'.join([*parts, *([base] if base else [])])
            for alias in node.names:
                full = f'{base}.{alias.name}'
                found.add(full if full in modules else base)
    return {target for target in found if target in modules}


def read_imports(package: Path) -> dict[str, set[str]]:
    """Imports among the modules of a package."""
    modules = read_modules(package)
    return {
        name: imported_by(path, name, modules)
        for name, path in modules.items()
    }


def room_of(module: str) -> str:
    """Folder, or file, of the package that a module lies in."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 else ''


def arrows_back(imports: dict[str, set[str]]) -> list[str]:
    """Imports that run from a lower floor to a higher one, or sideways."""
    return [
        f'{name} -> {target}'
        for name, targets in imports.items()
        for target in sorted(targets)
        if (here := room_of(name)) != (there := room_of(target))
        and here
        and there
        and FLOOR[there] < FLOOR[here]
    ]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan, without recursion)."""
    reach = {}
    for start in graph:
        seen, todo = set(), list(graph[start])
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += graph.get(node, ())
        reach[start] = seen
    groups = {
        tuple(sorted(b for b in reach[a] if a in reach.get(b, ())))
        for a in graph
        if a in reach[a]
    }
    return [list(group) for group in sorted(groups)]


@pytest.fixture(scope='module')
def imports():
    return read_imports(ROOT / 'mmcpm')


def test_every_folder_has_a_floor(imports):
    assert {room_of(name) for name in imports} - {''} <= set(FLOOR)


def test_no_import_runs_back(imports):
    assert arrows_back(imports) == []


def test_folders_form_no_circle(imports):
    rooms = defaultdict(set)
    for name, targets in imports.items():
        rooms[room_of(name)] |= {room_of(target) for target in targets}
    rooms = {
        room: {other for other in others if other and other != room}
        for room, others in rooms.items()
        if room
    }
    assert circles(rooms) == []


def test_modules_form_no_circle(imports):
    # A package's __init__ gathers what its files hold: files of a package
    # import each other, not the package.
    assert circles(imports) == []


def test_every_module_is_imported(imports):
    # mmengine asks for the registries by their address; the second is run
    # as a file, where the package cannot be imported.
    used = {'mmcpm.registry', 'mmcpm.utils.collect_env'}
    used = used.union(*imports.values())
    for folder in ('tools', 'configs'):
        for path in (ROOT / folder).rglob('*.py'):
            used |= imported_by(path, 'x', read_modules(ROOT / 'mmcpm'))
    files = {
        name
        for name, path in read_modules(ROOT / 'mmcpm').items()
        if path.name != '__init__.py'
    }
    assert files - used == set()


@pytest.mark.parametrize(
    ('sources', 'fault'),
    [
        ({'utils/a.py': 'from mmcpm.models import b'}, 'arrow'),
        ({'utils/a.py': 'def f():\n    import mmcpm.models.b'}, 'arrow'),
        ({'models/c.py': 'from . import d', 'models/d.py': 'from .c import x'},
         'circle'),
    ],
)  # fmt: skip
def test_faults_are_found(tmp_path, sources, fault):
    package = tmp_path / 'mmcpm'
    for name in ('models/b.py', 'models/__init__.py', '__init__.py'):
        sources = {name: '', **sources}
    for name, text in sources.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = read_imports(package)
    assert bool(arrows_back(found)) == (fault == 'arrow')
    assert bool(circles(found)) == (fault == 'circle')


def test_models_are_gathered_from_all_packages():
    import mmcpm.models as models

    packages = [
        getattr(models, path.parent.name)
        for path in sorted((ROOT / 'mmcpm/models').glob('*/__init__.py'))
    ]
    gathered = [n for each in packages for n in getattr(each, '__all__', ())]
    assert sorted(gathered) == sorted(models.__all__)
    assert len(set(gathered)) == len(gathered)


def test_packages_name_all_that_is_registered():
    from mmseg.registry import MODELS

    import mmcpm.models as models

    registered = {
        name
        for name, found in MODELS.module_dict.items()
        if found.__module__.startswith('mmcpm.models.')
    }
    assert registered
    assert registered <= set(models.__all__)
