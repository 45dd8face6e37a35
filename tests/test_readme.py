"""What the README says of the repository is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


@pytest.mark.parametrize(
    'target', sorted(set(re.findall(r'\]\(([^)#:]+)\)', README)))
)
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize(
    'anchor', sorted(set(re.findall(r'\]\(#([^)]+)\)', README)))
)
def test_anchors_exist(anchor):
    headings = re.findall(r'^#+ (.+)$', README, re.M)
    slugs = {
        re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
        for heading in headings
    }
    assert anchor in slugs


@pytest.mark.parametrize(
    'path', sorted(set(re.findall(r'(?:tools|configs)/[\w/]+\.\w+', README)))
)
def test_named_files_exist(path):
    assert (ROOT / path).exists()


def test_table_of_scores_is_that_of_the_files():
    """The numbers are those of the summaries beside the configs."""
    from mmcpm.analysis_tools.quickstart import result_table

    between = README.split('<!-- quickstart-table -->')[1]
    assert between.strip() == result_table(ROOT / 'configs/cpm/results')


def test_table_of_the_startup_is_that_of_the_records():
    from mmcpm.analysis_tools.study.runs import read_records
    from mmcpm.analysis_tools.study.table import study_table

    between = README.split('<!-- startup-table -->')[1]
    records = read_records(ROOT / 'configs/cpm/results/gmm_startup.json')
    assert between.strip() == study_table(records)


def test_table_of_the_study_is_that_of_the_records():
    from mmcpm.analysis_tools.study.runs import read_records
    from mmcpm.analysis_tools.study.table import study_table

    between = README.split('<!-- study-table -->')[1]
    records = read_records(ROOT / 'configs/cpm/results/ablation_scenes.json')
    baselines = ('hard_base', 'hard_base epochs=4')
    assert between.strip() == study_table(records, baselines)


def test_table_of_stereo_is_that_of_the_records():
    from mmcpm.analysis_tools.study.runs import read_records
    from mmcpm.analysis_tools.study.table import study_table

    between = README.split('<!-- stereo-table -->')[1]
    records = read_records(ROOT / 'configs/cpm/results/stereo_scenes.json')
    mono = 'cpm_r18_scenes_vpo_msmi_mono'
    assert between.strip() == study_table(records, (mono,))


def test_table_of_speed_is_that_of_the_files():
    from mmcpm.analysis_tools.benchmark.table import benchmark_table

    between = README.split('<!-- benchmark-table -->')[1]
    files = sorted((ROOT / 'configs/cpm/results').glob('benchmark_*.json'))
    assert files
    assert between.strip() == benchmark_table(files)
