import json

import pytest

from mmcpm.analysis_tools.model_zoo.results import read_published, read_runs
from mmcpm.utils.errors import UsageError


@pytest.fixture
def configs(tmp_path):
    """A config, and one of a study that is the same under another name."""
    folder = tmp_path / 'configs'
    for name, text in {
        'a/a_scenes.py': 'x = 1\n',
        'b/studies/plain.py': "# As it is.\n_base_ = ['../../a/a_scenes.py']",
        'b/studies/other.py': "_base_ = ['../../a/a_scenes.py']\nx = 2\n",
        '_base_/a_scenes.py': 'x = 3\n',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for method in 'ab':
        (folder / method / 'results').mkdir()
    return folder


def record(seed, score, config='a_scenes', **more):
    return {'config': f'configs/a/{config}.py', 'seed': seed} | {
        'dataset/mIoU': score,
        **more,
    }


def write(configs, name, records):
    (configs / name).write_text(json.dumps(records))


def test_mean_and_deviation_over_the_seeds(configs):
    write(configs, 'a/results/one.json', record(3, 0.5))
    write(configs, 'b/results/two.json', [record(1, 0.7, 'plain')])
    # Mean of 50 and 70, and their distances of 10 from it: sqrt(200 / 1).
    assert read_runs(configs) == {
        configs / 'a/a_scenes.py': [
            {
                'Metrics': {'dataset/mIoU': 60.0},
                'Source': 'ours: 2 runs, seeds 1, 3',
                'Records': [
                    'configs/a/results/one.json',
                    'configs/b/results/two.json',
                ],
                'Standard Deviation': {'dataset/mIoU': 14.1421},
            }
        ]
    }


def test_one_run_has_no_deviation(configs):
    write(configs, 'a/results/one.json', record(3, 0.5))
    ((result,),) = read_runs(configs).values()
    assert result['Source'] == 'ours: 1 run, seed 3'
    assert 'Standard Deviation' not in result


@pytest.mark.parametrize(
    'scores, metrics',
    [
        # As the quick start, a study and a test of any protocol record them.
        (
            {'mIoU': {'model': 0.5, 'silence': 0.1}, 'protocol': 'dataset'},
            {'dataset/mIoU': 50.0},
        ),
        (
            {'mIoU': 0.5, 'Fbeta': 0.6, 'mIoU_silence': 0.1},
            {'dataset/mIoU': 50.0, 'dataset/Fbeta': 60.0},
        ),
        ({'avsbench/JF': 0.5}, {'avsbench/JF': 50.0}),
    ],
)
def test_scores_of_every_kind_of_record(configs, scores, metrics):
    run = {'config': 'configs/old/a_scenes.py', 'seed': 0, **scores}
    write(configs, 'a/results/one.json', run)
    ((result,),) = read_runs(configs).values()
    assert result['Metrics'] == pytest.approx(metrics)


def test_what_does_not_count(configs):
    records = [
        record(0, 0.5, split='val'),
        record(0, 0.5, epochs=4),
        record(0, 0.5, options=['model.decode_head.num_queries=9']),
        record(0, 0.5, 'gone'),
        {'config': 'configs/a/a_scenes.py', 'seed': 0, 'mIoU': {'argmax': 1}},
        {'config': 'configs/a/a_scenes.py', 'median_s': 2.5},
    ]
    write(configs, 'a/results/other.json', records)
    write(configs, 'a/results/choices_dev.json', [record(0, 0.5)])
    write(configs, 'a/results/paper.json', [])
    assert read_runs(configs) == {}
    write(configs, 'b/results/own.json', [record(0, 0.5, 'other')])
    assert list(read_runs(configs)) == [configs / 'b/studies/other.py']


def test_one_run_is_not_counted_twice(configs):
    write(configs, 'a/results/one.json', record(3, 0.5))
    write(configs, 'a/results/two.json', [record(3, 0.6)])
    with pytest.raises(UsageError, match=r'two\.json: the seed 3.*one\.json'):
        read_runs(configs)


def test_published_scores_are_marked(configs):
    entry = {'config': 'a_scenes', 'source': 'X, Table 1'}
    entry['scores'] = {'avsbench/J': 81.37}
    write(configs, 'a/results/paper.json', [entry])
    assert read_published(configs / 'a') == {
        configs / 'a/a_scenes.py': [
            {
                'Metrics': {'avsbench/J (paper)': 81.37},
                'Source': 'paper: X, Table 1',
            }
        ]
    }
    assert read_published(configs / 'b') == {}


@pytest.mark.parametrize(
    'change', [{'config': 'a_scene'}, {'scores': {'mIoU': 57.25}}]
)
def test_published_scores_have_a_config_and_a_protocol(configs, change):
    entry = {'config': 'a_scenes', 'source': 'X', 'scores': {'dataset/F': 1}}
    write(configs, 'a/results/paper.json', [entry | change])
    with pytest.raises(UsageError, match='name of a config in .* protocol'):
        read_published(configs / 'a')
