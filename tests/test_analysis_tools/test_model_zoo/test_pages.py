"""The zoo is up to date, and the check notices where it is not."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from mmcpm.analysis_tools.model_zoo import write_zoo
from mmcpm.analysis_tools.model_zoo.pages import MARKER
from mmcpm.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
README = f'# Toy\n\n{MARKER}\n{MARKER}\n\nThe end.\n'
PAPER = [
    {
        'config': 'toy_r18',
        'source': 'Somebody, Table 1',
        'scores': {'dataset/mIoU': 57.2, 'dataset/ss/mIoU': 61.71},
    }
]


@pytest.fixture
def root(tmp_path):
    """A repository of one method with two configs, as someone begins it."""
    folder = tmp_path / 'configs/toy'
    (folder / 'results').mkdir(parents=True)
    base = ROOT / 'configs/cpm/cpm_r18_scenes.py'
    for name in ('toy_r18', 'toy_r18_again'):
        (folder / f'{name}.py').write_text(f"_base_ = '{base}'\nx = 1\n")
    (folder / 'metafile.yml').write_text('Collections:\n- Name: Toy\n')
    (folder / 'results/paper.json').write_text(json.dumps(PAPER))
    (folder / 'README.md').write_text(README)
    (tmp_path / 'configs/README.md').write_text(README)
    return tmp_path


def add_run(root, seed, score):
    run = {'config': 'configs/toy/toy_r18.py', 'seed': seed}
    file = root / f'configs/toy/results/run{seed}.json'
    file.write_text(json.dumps({**run, 'dataset/mIoU': score}))


def test_zoo_of_the_repository_is_up_to_date():
    write_zoo(ROOT, check=True)


def test_published_scores_are_those_that_the_front_page_quotes():
    """Two copies of the paper's tables, and the arithmetic of Table 1."""
    front = (ROOT / 'README.md').read_text()
    entries = json.loads((ROOT / 'configs/cpm/results/paper.json').read_text())
    for entry in entries:
        scores = entry['scores']
        first = next(iter(scores.values()))
        assert re.search(rf'\| .*{first:.2f}.* \| not run yet', front), entry
    for file in (ROOT / 'configs').glob('*/results/paper.json'):
        for entry in json.loads(file.read_text()):
            scores = entry['scores']
            assert all(0 < score < 100 for score in scores.values())
            if 'avsbench/JF' in scores:
                mean = (scores['avsbench/J'] + scores['avsbench/F']) / 2
                assert scores['avsbench/JF'] == pytest.approx(mean, abs=0.006)


def test_a_new_method_is_written_whole(root):
    add_run(root, 0, 0.5)
    add_run(root, 7, 0.7)
    written = write_zoo(root)
    folder = root / 'configs/toy'
    metafile, readme = folder / 'metafile.yml', folder / 'README.md'
    assert written == [metafile, readme, root / 'configs/README.md']
    zoo = yaml.safe_load(metafile.read_text())
    assert zoo['Collections'] == [
        {
            'Name': 'Toy',
            'Metadata': {
                'Training Data': ['Sounding scenes'],
                'Architecture': ['Mask2Former', 'VGGish'],
            },
        }
    ]
    first, again = zoo['Models']
    assert (again['Name'], again['Results']) == ('toy_r18_again', [])
    paper, ours = first['Results']
    assert paper['Metrics'] == {
        'dataset/mIoU (paper)': 57.2,
        'dataset/ss/mIoU (paper)': 61.71,
    }
    assert ours['Metrics'] == {'dataset/mIoU': 60.0}
    text = readme.read_text()
    assert text.startswith('# Toy\n') and text.endswith('\n\nThe end.\n')
    facts = 'Sounding scenes | R-18, VGGish | 8 frames | 2 epochs | 96 x 96'
    link = '[`toy_r18`](toy_r18.py)'
    assert text.split(MARKER)[1].splitlines()[3:] == [
        f'| {link} | {facts} | `dataset/mIoU` 57.20, `dataset/ss/mIoU` 61.71 '
        '| paper: Somebody, Table 1 |',
        f'| {link} | {facts} | `dataset/mIoU` 60.0 ± 14.1 | ours: 2 runs, '
        'seeds 0, 7; [run0](results/run0.json); [run7](results/run7.json) |',
        f'| {link.replace("r18", "r18_again")} | {facts} |  | not run |',
    ]
    assert (root / 'configs/README.md').read_text().split(MARKER)[1] == (
        '\n| method | backbone | source | Sounding scenes `dataset/mIoU` |\n'
        '| --- | --- | --- | --- |\n'
        '| [Toy](toy/README.md) | R-18 | paper | 57.20 |\n'
        '| [Toy](toy/README.md) | R-18 | ours | 60.0 ± 14.1 |\n'
    )
    assert write_zoo(root) == []


def test_order_and_weights_of_the_metafile_are_kept(root):
    models = [
        {'Name': 'gone'},
        {'Name': 'toy_r18_again', 'Weights': 'https://example.org/a.pth'},
    ]
    metafile = root / 'configs/toy/metafile.yml'
    content = {'Collections': [{'Name': 'Toy'}], 'Models': models}
    metafile.write_text(yaml.safe_dump(content))
    write_zoo(root)
    again, first = yaml.safe_load(metafile.read_text())['Models']
    assert again['Weights'] == 'https://example.org/a.pth'
    assert first['Name'] == 'toy_r18' and 'Weights' not in first


@pytest.mark.parametrize(
    'name, old, new',
    [
        ('README.md', '57.20', '57.90'),
        ('metafile.yml', 'Batch Size: 8', 'Batch Size: 16'),
        ('results/paper.json', '57.2', '57.3'),
        ('toy_r18.py', 'x = 1', 'train_dataloader = dict(batch_size=4)'),
    ],
)
def test_check_shows_what_is_out_of_date(root, name, old, new):
    write_zoo(root)
    write_zoo(root, check=True)
    file = root / 'configs/toy' / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    before = {p: p.read_text() for p in root.rglob('*') if p.is_file()}
    with pytest.raises(UsageError) as error:
        write_zoo(root, check=True)
    # The file that was changed by hand, or those that lag behind its source.
    stale = name if name in ('README.md', 'metafile.yml') else 'README.md'
    lines = str(error.value).splitlines()
    assert f'+++ configs/toy/{stale}' in lines
    removed = [line for line in lines if re.match('-[^-]', line)]
    added = [line for line in lines if re.match(r'\+[^+]', line)]
    assert removed and len(removed) == len(added)
    assert {p: p.read_text() for p in before} == before


def test_check_notices_a_new_run_and_a_new_config(root):
    write_zoo(root)
    add_run(root, 0, 0.5)
    with pytest.raises(UsageError, match=r'\+.*ours: 1 run, seed 0'):
        write_zoo(root, check=True)
    write_zoo(root)
    config = root / 'configs/toy/toy_r18.py'
    config.with_stem('toy_new').write_text(config.read_text())
    with pytest.raises(UsageError, match=r'\+- Name: toy_new'):
        write_zoo(root, check=True)


def test_a_readme_without_its_markers_is_refused(root):
    readme = root / 'configs/toy/README.md'
    readme.write_text(f'# Toy\n{MARKER}\n')
    metafile = (root / 'configs/toy/metafile.yml').read_text()
    with pytest.raises(UsageError, match=r'toy/README\.md: .* two lines'):
        write_zoo(root)
    assert (root / 'configs/toy/metafile.yml').read_text() == metafile


def test_the_tool_ends_with_the_differences(root, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'model_zoo', raising=False)
    import model_zoo as tool

    monkeypatch.setattr(tool, 'ROOT', root)
    with pytest.raises(SystemExit) as exit_:
        tool.main(['--check'])
    assert exit_.value.code == 2
    shown = capsys.readouterr()
    assert '3 files do not say' in shown.err and 'Traceback' not in shown.err
    tool.main([])
    assert f'Wrote {root / "configs/README.md"}' in capsys.readouterr().out
    tool.main(['--check'])
    assert capsys.readouterr().err == ''
