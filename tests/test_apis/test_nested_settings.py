import pytest
from mmengine.config import Config

from mmcpm.apis import options
from mmcpm.apis.config_checks import check_classes
from mmcpm.apis.nested_settings import check_wrappers, innermost_datasets
from mmcpm.utils.errors import UsageError

A = {'type': 'AVSBenchSemanticDataset', 'data_root': 'x', 'pipeline': []}
B = {'type': 'SoundingScenesDataset', 'data_root': 'x/', 'pipeline': []}


def concat(*datasets, **kwargs):
    return {'type': 'ConcatDataset', 'datasets': [*datasets], **kwargs}


def repeat(dataset):
    return {'type': 'RepeatDataset', 'times': 2, 'dataset': dataset}


def balanced(dataset, kind='ClassBalancedDataset'):
    return {'type': kind, 'oversample_thr': 0.1, 'dataset': dataset}


def mixed(dataset):
    wrapper = {'type': 'MultiImageMixDataset', 'dataset': dataset}
    return {**wrapper, 'pipeline': [{'type': 'PackAVSInputs'}]}


def deaf(dataset):
    wrapper = {'type': 'CounterfactualAudioDataset', 'dataset': dataset}
    return {**wrapper, 'sound': 'silence'}


NESTINGS = [
    (A, ['']),
    (repeat(A), ['.dataset']),
    (balanced(A), ['.dataset']),
    (mixed(A), ['.dataset']),
    (deaf(repeat(A)), ['.dataset.dataset']),
    (concat(A, B), ['.datasets.0', '.datasets.1']),
    (concat(A, repeat(B)), ['.datasets.0', '.datasets.1.dataset']),
    (
        repeat(concat(balanced(A), concat(A, B))),
        [
            '.dataset.datasets.0.dataset',
            '.dataset.datasets.1.datasets.0',
            '.dataset.datasets.1.datasets.1',
        ],
    ),
]


def make(dataset):
    return Config(
        {
            'model': {'decode_head': {'num_classes': 71}},
            'test_dataloader': {'dataset': dataset},
        }
    )


@pytest.mark.parametrize(('dataset', 'paths'), NESTINGS)
def test_options_reach_every_dataset(dataset, paths, tmp_path):
    cfg = make(dataset)
    found = innermost_datasets(cfg, 'test_dataloader')
    assert [path for path, _ in found] == [
        f'test_dataloader.dataset{path}' for path in paths
    ]
    options.apply_data_root(cfg, str(tmp_path))
    cfg.tta_model, cfg.tta_pipeline = {'type': 'T'}, [{'type': 'P'}]
    options.apply_sound(cfg, 'silence')
    options.apply_tta(cfg)
    for path, _ in found:
        # As a user would name it, with the wrapper that --sound adds.
        _, _, inner = path.split('.', 2) if path.count('.') > 1 else (0, 0, '')
        settings = cfg.test_dataloader.dataset.dataset
        for key in filter(None, inner.split('.')):
            settings = settings[int(key) if key.isdigit() else key]
        assert settings.data_root == str(tmp_path)
        assert settings.pipeline == [{'type': 'P'}]


@pytest.mark.parametrize(
    ('dataset', 'paths'), [n for n in NESTINGS if 'Sounding' not in str(n)]
)
def test_classes_of_every_dataset_are_compared(dataset, paths):
    cfg = make(dataset)
    check_classes(cfg, ('test_dataloader',))
    cfg.model.decode_head.num_classes = 9
    with pytest.raises(UsageError, match='num_classes is 9, .* 71 classes'):
        check_classes(cfg, ('test_dataloader',))


def test_classes_of_the_second_dataset_differ():
    with pytest.raises(UsageError, match='num_classes is 71, .* 9 classes'):
        check_classes(make(concat(A, B)), ('test_dataloader',))


def test_one_data_root_for_several(tmp_path):
    cfg = make(concat(A, repeat({**B, 'data_root': 'y'})))
    with pytest.raises(UsageError) as error:
        options.apply_data_root(cfg, str(tmp_path))
    assert (
        'test_dataloader.dataset.datasets.0.data_root=x, '
        'test_dataloader.dataset.datasets.1.dataset.data_root=y'
    ) in str(error.value)


@pytest.mark.parametrize('kind', ['mmengine.ClassBalancedDataset', None])
@pytest.mark.parametrize('inner', [concat(A, B), repeat(A)])
def test_balancing_needs_classes(inner, kind):
    dataset = balanced(inner, kind or 'ClassBalancedDataset')
    check_wrappers(make(balanced(A)), ('test_dataloader',))
    check_wrappers(make(balanced(deaf(A))), ('test_dataloader',))
    with pytest.raises(UsageError) as error:
        check_wrappers(make(repeat(dataset)), ('test_dataloader',))
    message = str(error.value)
    assert 'test_dataloader.dataset.dataset: ClassBalancedDataset' in message
    assert f'inside the {inner["type"]}' in message


def test_tta_of_mixed_images():
    cfg = make(mixed(A))
    check_wrappers(cfg, ('test_dataloader',))
    with pytest.raises(UsageError, match='replace test_dataloader.dataset.pi'):
        check_wrappers(cfg, ('test_dataloader',), with_tta=True)
