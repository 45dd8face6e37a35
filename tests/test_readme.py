"""What the READMEs say of the repository is so."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'configs/cpm/results'
FRONT = ROOT / 'README.md'
MODELS = ROOT / 'mmcpm/models/README.md'
FILES = [
    FRONT,
    ROOT / 'tools/TROUBLESHOOTING.md',
    *sorted(
        path
        for folder in ('configs', 'mmcpm', 'tools')
        for path in (ROOT / folder).rglob('README.md')
        if '.mim' not in path.parts
    ),
]


def cases(find):
    """Parametrize by the file and each thing that is found in it."""
    found = [
        pytest.param(path, item, id=f'{path.relative_to(ROOT)}: {item}')
        for path in FILES
        for item in sorted(set(find(path.read_text())))
    ]
    assert found
    return pytest.mark.parametrize('path, item', found)


def links(text):
    """Targets of links and pictures that are not on the web."""
    targets = re.findall(r'\]\(([^)\s]+)\)', text)
    return [target for target in targets if ':' not in target]


def blocks(text, language):
    """Code blocks of a language."""
    return re.findall(rf'^```{language}\n(.*?)^```', text, re.M | re.S)


def commands(text):
    """Command lines, without comments and with continued lines joined."""
    shell = '\n'.join(blocks(text, 'bash')).replace('\\\n', ' ')
    inline = re.findall(r'`((?:bash|python) tools/[^`]+)`', text)
    lines = [*shell.splitlines(), *(' '.join(x.split()) for x in inline)]
    return [line.split(' #')[0].strip() for line in lines if line.strip()]


def code_names(text):
    """Names in backticks that a reader would look for in the code."""
    prose = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
    quoted = re.findall(r'`([^`\n]+)`', prose)
    # A class or function, with or without arguments; a setting.
    found = {re.split(r'[(=]', quote)[0] for quote in quoted}
    parts = {part for name in found for part in name.split('.')}
    return [
        part
        for part in parts
        if re.fullmatch(r'[A-Za-z]\w*[a-z]\w*', part)
        and ('_' in part.strip('_') or re.search(r'[a-z][A-Z]', part))
        and not part.endswith('_')
    ]


def slugs(path):
    """Anchors of the headings of a file, as GitHub makes them."""
    text = re.sub(r'^```.*?^```', '', path.read_text(), flags=re.M | re.S)
    return {
        re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
        for heading in re.findall(r'^#+ (.+)$', text, re.M)
    }


def between(path, name):
    """A table between its markers."""
    return path.read_text().split(f'<!-- {name}-table -->')[1].strip()


@cache
def sources():
    """All code, and the names of all files."""
    files = [
        path
        for folder in ('configs', 'mmcpm', 'tools')
        for path in (ROOT / folder).rglob('*')
        if '.mim' not in path.parts and '__pycache__' not in path.parts
    ]
    texts = [p.read_text() for p in files if p.suffix in ('.py', '.json')]
    return '\n'.join([*texts, *(path.name for path in files)])


@cases(links)
def test_links_lead_somewhere(path, item):
    target, _, anchor = item.partition('#')
    target = path.parent / target if target else path
    assert target.exists()
    if anchor:
        assert anchor in slugs(target)


@cases(lambda text: re.findall(r'(?:tools|configs)/[\w/]+\.(?:py|sh)', text))
def test_files_of_commands_exist(path, item):
    assert (ROOT / item).exists() or (path.parent / item).exists()


@cases(commands)
def test_commands_can_be_typed(path, item):
    """Scripts and configs are there, and the scripts have the options."""
    # What the shell would put in a command's place.
    item = re.sub(r'\$\([^)]*\)', 'CHECKPOINT', item)
    words = [word for word in shlex.split(item) if '=' not in word]
    scripts = [word for word in words if word.startswith('tools/')]
    for word in words:
        if word.startswith('configs/'):
            assert list(ROOT.glob(word)), word
    for script in scripts:
        assert (ROOT / script).exists()
    if words[0] != 'python' or not scripts:
        return
    name = scripts[0].replace('/', '_').removesuffix('.py')
    spec = importlib.util.spec_from_file_location(name, ROOT / scripts[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, 'build_parser'):
        # Exits with an error where an argument is unknown or missing.
        module.build_parser().parse_args(words[words.index(scripts[0]) + 1 :])


@cases(code_names)
def test_names_of_the_code_are_in_it(path, item):
    # Of a config, the end may do.
    assert re.search(rf'(?<![^\W_]){item}\b', sources())


def test_front_page_is_short_and_says_what_there_is_not():
    text = FRONT.read_text()
    assert len(text.split()) <= 1300
    assert text.index('no score on AVSBench or VPO yet') < len(text) / 2
    assert 'https://arxiv.org/abs/2407.05358' in text.split('## ')[0]


def test_headings_are_no_questions():
    for path in FILES:
        headings = re.findall(r'^#+ .+$', path.read_text(), re.M)
        assert not [heading for heading in headings if '?' in heading], path


def test_every_folder_of_configs_has_a_readme():
    folders = [path.parent for path in (ROOT / 'configs').glob('*/*.yml')]
    assert folders
    for folder in folders:
        readme = (folder / 'README.md').read_text()
        overview = (ROOT / 'configs/README.md').read_text() + readme
        for config in folder.glob('*.py'):
            assert f'{config.name})' in overview, config


def test_table_of_scores_is_that_of_the_files():
    """The numbers are those of the summaries beside the configs."""
    from mmcpm.analysis_tools.quickstart_table import result_table

    table = result_table(RESULTS)
    assert between(FRONT, 'quickstart') == table
    mean = re.search(r'true sound \| ([\d.]+)', table)[1]
    assert f'| {mean}, from the quick start |' in FRONT.read_text()
    assert f'reaches {mean} mIoU' in (RESULTS.parent / 'README.md').read_text()


def test_table_of_the_startup_is_that_of_the_records():
    from mmcpm.analysis_tools.study.runs import read_records
    from mmcpm.analysis_tools.study.table import study_table

    records = read_records(RESULTS / 'gmm_startup.json')
    found = between(RESULTS.parent / 'README.md', 'startup')
    assert found == study_table(records)


def test_table_of_the_study_is_that_of_the_records():
    from mmcpm.analysis_tools.study.runs import read_records
    from mmcpm.analysis_tools.study.table import study_table

    records = read_records(RESULTS / 'ablation_scenes.json')
    baselines = ('hard_base', 'hard_base epochs=4')
    found = between(RESULTS.parent / 'README.md', 'study')
    assert found == study_table(records, baselines)
    # What the other files quote of it.
    score = r'`{}` \| 5 \| \d+ \| ([\d.]+) ± ([\d.]+)'
    full = re.search(score.format('hard_full'), found)
    base = re.search(score.format('hard_base'), found)
    longer = re.search(score.format('hard_base epochs=4'), found)
    quote = f'{full[1]} against {base[1]} mIoU at equal steps, and against '
    assert f'{quote}{longer[1]} at equal time' in FRONT.read_text()
    text = (ROOT / 'configs/avmask2former/README.md').read_text()
    assert f'{base[1]} ± {base[2]} mIoU' in text
    assert f'{longer[1]} ± {longer[2]} in four' in text


def test_table_of_stereo_is_that_of_the_records():
    from mmcpm.analysis_tools.study.runs import read_records
    from mmcpm.analysis_tools.study.table import study_table

    records = read_records(RESULTS / 'stereo_scenes.json')
    mono = 'cpm_r18_scenes_vpo_msmi_mono'
    found = between(RESULTS.parent / 'README.md', 'stereo')
    assert found == study_table(records, (mono,))


def test_table_of_speed_is_that_of_the_files():
    from mmcpm.analysis_tools.benchmark.runs import benchmark_table

    files = sorted(RESULTS.glob('benchmark_*.json'))
    assert files
    found = between(ROOT / 'tools/analysis_tools/README.md', 'benchmark')
    assert found == benchmark_table(files)


def test_table_of_sounds_is_that_of_the_reports():
    from mmcpm.analysis_tools.listening_report.table import comparison_table

    files = [
        ROOT / 'configs' / method / 'results/listening_report.json'
        for method in ('cpm', 'avmask2former')
    ]
    found = between(ROOT / 'tools/analysis_tools/README.md', 'listening')
    assert found == comparison_table(files)


def test_table_of_growth_is_that_of_the_file():
    measured = json.loads((RESULTS / 'growth_train_cpu.json').read_text())
    found = between(ROOT / 'tools/analysis_tools/README.md', 'growth')
    rows = [line.strip('| ').split(' | ') for line in found.splitlines()]
    assert len(rows) > 9
    for part, *exponents in rows[2:]:
        for what, exponent in zip(rows[0][1:], exponents, strict=True):
            value = measured[what]['exponents'][part]
            assert abs(float(exponent) - value) <= 0.05, (part, what)


# Builds what a recipe's config names and takes a step with it.
RECIPE = """
import sys, warnings
warnings.simplefilter('ignore')
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

torch.manual_seed(0)
cfg = Config.fromfile(sys.argv[1])
init_default_scope(cfg.default_scope)
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample

if 'dataset' in sys.argv[1]:
    for split in ('train', 'val', 'test'):
        dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
        assert [dataset[i]['data_samples'].sample_id
                for i in range(len(dataset))] == ['a/0', 'a/1']
    items = [dataset[0], dataset[1]]
else:
    items = []
    for clip in (1, 2):
        sample = SegDataSample(metainfo=dict(
            sample_id=f'{clip}/0', uid=str(clip), audio_labels=(clip,),
            ori_shape=(96, 96), img_shape=(96, 96)))
        label = torch.zeros(1, 96, 96, dtype=torch.long)
        label[:, 20:60, 20:60] = clip
        sample.gt_sem_seg = PixelData(data=label)
        sample.audio = 0.1 * torch.randn(1, 16000)
        image = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8)
        items.append(dict(inputs=image, data_samples=sample))
model = MODELS.build(cfg.model)
model.init_weights()
batch = {key: [item[key] for item in items] for key in items[0]}
losses = model(**model.data_preprocessor(batch, True), mode='loss')
total, _ = model.parse_losses(losses)
total.backward()
assert total.isfinite() and total > 0
print({name for name, p in model.named_parameters() if p.grad is not None})
model.eval()
with torch.no_grad():
    data = model.data_preprocessor(batch, False)
    for result in model(**data, mode='predict'):
        assert result.pred_sem_seg.data.shape == (1, 96, 96)
"""


def write_clip(folder):
    """Two labeled frames and their sound."""
    import cv2
    import numpy as np
    import soundfile

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in range(2):
        image = rng.integers(0, 256, (96, 96, 3), np.uint8)
        label = np.zeros((96, 96), np.uint8)
        label[20:60, 30:70] = frame + 1
        cv2.imwrite(str(folder / f'{frame}.jpg'), image)
        cv2.imwrite(str(folder / f'{frame}.png'), label)
    sound = 0.1 * rng.standard_normal(2 * 16000)
    soundfile.write(folder / 'audio.wav', sound, 16000)


@pytest.mark.parametrize('recipe', ['backbone', 'head', 'loss', 'dataset'])
def test_recipe_runs_as_printed(recipe, tmp_path):
    """Blocks are saved under the name in their first line."""
    printed = {
        re.match(r'# (\w+\.py)', block)[1]: block
        for block in blocks(MODELS.read_text(), 'python')
    }
    assert len(printed) == 8
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for name in (f'my_{recipe}.py', f'my_{recipe}_config.py'):
        (tmp_path / name).write_text(printed[name])
    write_clip(tmp_path / 'data/mine/a')
    for split in ('train', 'val'):
        index = tmp_path / f'data/mine/{split}.json'
        index.write_text(json.dumps([{'clip': 'a', 'frames': [0, 1]}]))
    done = subprocess.run(
        [sys.executable, '-c', RECIPE, f'my_{recipe}_config.py'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}:{tmp_path}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    part = {'backbone': 'audio_backbone.stages.2.0.weight'}.get(recipe)
    part = part or {'head': 'decode_head.gate.weight'}.get(recipe)
    assert part is None or repr(part) in done.stdout
