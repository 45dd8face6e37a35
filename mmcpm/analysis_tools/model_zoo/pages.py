"""The files of the zoo: metafiles, and tables of results in READMEs."""

import difflib
import os
from pathlib import Path

from mmengine.fileio import dump, load

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import write_whole

from .models import read_model
from .results import read_published, read_runs

MARKER = '<!-- zoo-table -->'
TITLES = 'config, data, backbones, batch, schedule, size, scores, source'
# Those of the table of all methods.
MAIN_SCORES = ('avsbench/JF', 'avss_legacy/mIoU', 'dataset/mIoU')


def write_zoo(root: Path, check: bool = False) -> list[Path]:
    """Write the files that are out of date, or only check them.

    Args:
        root (Path): Root of the repository.
        check (bool): Whether to write nothing. Defaults to False.

    Returns:
        list[Path]: The files that were out of date.

    Raises:
        UsageError: If a README lacks its markers or a result is no valid one;
            with ``check``, if a file is out of date: what differs.
    """
    pages = make_pages(root)
    stale = [path for path, text in pages.items() if path.read_text() != text]
    if check and stale:
        lines = [
            f'{len(stale)} files do not say what the configs and records say. '
            'Without --check, this command makes these changes:'
        ]
        for path in stale:
            name = path.relative_to(root).as_posix()
            both = (path.read_text().splitlines(), pages[path].splitlines())
            lines += difflib.unified_diff(*both, name, name, '', '', 0, '')
        raise UsageError('\n'.join(lines))
    for path in stale:
        write_whole(path, pages[path].encode())
    return stale


def make_pages(root: Path) -> dict[Path, str]:
    """Make the texts of the zoo.

    Args:
        root (Path): Root of the repository.

    Returns:
        dict[Path, str]: Text by file: metafile and README of each folder
        with a metafile, and the README of all configs.
    """
    configs, pages, methods = root / 'configs', {}, {}
    runs = read_runs(configs)
    for metafile in sorted(configs.glob('*/metafile.yml')):
        zoo = _read_method(metafile, runs)
        pages[metafile] = dump(
            zoo, file_format='yaml', sort_keys=False, width=79
        )
        readme, models = metafile.with_name('README.md'), zoo['Models']
        lines = [line for model in models for line in _lines(model)]
        pages[readme] = _insert(readme, [TITLES.split(', '), *lines])
        link = f'{readme.parent.name}/README.md'
        methods[f'[{zoo["Collections"][0]["Name"]}]({link})'] = models
    readme = configs / 'README.md'
    return {**pages, readme: _insert(readme, _summary(methods))}


def _read_method(metafile: Path, runs: dict[Path, list[dict]]) -> dict:
    """Content of a metafile; the collection, order and weights are kept."""
    folder, zoo = metafile.parent, load(str(metafile))
    collection = zoo['Collections'][0]
    known = {model['Name']: model for model in zoo.get('Models') or ()}
    names = [*known, *sorted(path.stem for path in folder.glob('*.py'))]
    paths = [folder / f'{name}.py' for name in dict.fromkeys(names)]
    published, models = read_published(folder), []
    for path in filter(Path.exists, paths):
        model = read_model(path, collection['Name'])
        data = model['Metadata']['Test Data']
        model['Results'] = [
            {'Task': 'Audio-Visual Segmentation', 'Dataset': data, **result}
            for result in (*published.get(path, ()), *runs.get(path, ()))
        ]
        if 'Weights' in known.get(path.stem, {}):
            model['Weights'] = known[path.stem]['Weights']
        models.append(model)
    uses = [model['Metadata'] for model in models]
    parts = [part for use in uses for part in use['Architecture'][:0:-1]]
    data = [use['Training Data'] for use in uses]
    collection['Metadata'] = {
        'Training Data': list(dict.fromkeys(data)),
        'Architecture': list(dict.fromkeys(parts)),
    }
    return {**zoo, 'Models': models}


def _lines(model: dict) -> list[list[str]]:
    """Lines of a model in the table of its method: one per source."""
    name, data = model['Name'], model['Metadata']
    folder = os.path.dirname(model['Config'])
    length = 'Epochs' if 'Epochs' in data else 'Iterations'
    lines = []
    for result in model['Results'] or [{'Source': 'not run'}]:
        links = [
            f'[{Path(file).stem}]({os.path.relpath(file, folder)})'
            for file in result.get('Records', ())
        ]
        scores = [f'`{key}` {value}' for key, value in _scores(result).items()]
        lines.append(
            [
                f'[`{name}`]({name}.py)',
                data['Test Data'],
                ', '.join(data['Architecture'][:2]),
                f'{data["Batch Size"]} {data["Batch Unit"]}',
                f'{data[length]} {length.lower()}',
                data['Image Size'],
                ', '.join(scores),
                '; '.join([result['Source'], *links]),
            ]
        )
    return lines


def _summary(methods: dict[str, list[dict]]) -> list[list[str]]:
    """Table of all methods: a line per method, backbone and kind of source."""
    rows: dict[tuple, dict] = {}
    for link, models in methods.items():
        for model in models:
            for result in model['Results']:
                kind = result['Source'].partition(':')[0]
                row = (link, model['Metadata']['Architecture'][0], kind)
                for name in _scores(result).keys() & set(MAIN_SCORES):
                    column = f'{result["Dataset"]} `{name}`'
                    # The first result is the one to compare with.
                    rows.setdefault(row, {}).setdefault(
                        column, _scores(result)[name]
                    )
    columns = sorted({column for row in rows.values() for column in row})
    titles = ['method', 'backbone', 'source', *columns]
    lines = [[*k, *(r.get(c, '') for c in columns)] for k, r in rows.items()]
    return [titles, *lines]


def _scores(result: dict) -> dict[str, str]:
    """Scores as published, or of runs with their standard deviation."""
    spread = result.get('Standard Deviation', {})
    return {
        name.removesuffix(' (paper)'): f'{value:.1f} ± {spread[name]:.1f}'
        if name in spread
        else f'{value:.2f}'
        for name, value in result.get('Metrics', {}).items()
    }


def _insert(readme: Path, lines: list[list[str]]) -> str:
    """Text of a README with a table between its markers."""
    parts = readme.read_text().split(MARKER) if readme.exists() else ()
    if len(parts) != 3:
        raise UsageError(
            f'{readme}: expected a README with two lines {MARKER}; the table '
            'of results is written between them. Add both'
        )
    lines = [lines[0], ['---'] * len(lines[0]), *lines[1:]]
    table = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    return MARKER.join([parts[0], f'\n{table}\n', parts[2]])
