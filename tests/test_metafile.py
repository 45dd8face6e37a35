"""The metafiles tell what the configs say."""

from pathlib import Path

import pytest
import yaml
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import METRICS, MODELS

ROOT = Path(__file__).resolve().parents[1]
METAFILES = sorted((ROOT / 'configs').rglob('metafile.yml'))
DATASETS = {
    'AVSBench-Object': ['AVSBenchObjectDataset'],
    'AVSBench-Semantic': ['AVSBenchSemanticDataset'],
    'VPO': ['VPODataset'],
    'Own data': ['AVSFolderDataset'],
    # In the layout of any of them.
    'Sounding scenes': [
        'SoundingScenesDataset',
        'HardSoundingScenesDataset',
        'AVSBenchObjectDataset',
        'VPODataset',
    ],
}


def read(path):
    return yaml.safe_load(path.read_text(encoding='utf-8'))


ENTRIES = [model for path in METAFILES for model in read(path)['Models']]
COLLECTIONS = {
    collection['Name']: collection
    for path in METAFILES
    for collection in read(path)['Collections']
}
per_model = pytest.mark.parametrize(
    'model', ENTRIES, ids=[model['Name'] for model in ENTRIES]
)


def test_every_config_beside_a_metafile_is_listed_once():
    assert METAFILES
    listed = [ROOT / model['Config'] for model in ENTRIES]
    present = [
        path for meta in METAFILES for path in sorted(meta.parent.glob('*.py'))
    ]
    assert sorted(listed) == sorted(present)


@per_model
def test_names_and_paths(model):
    assert (ROOT / model['Config']).is_file()
    assert (ROOT / model['Code']).is_file()
    assert model['Name'] == Path(model['Config']).stem
    assert model['In Collection'] in COLLECTIONS
    assert model['Framework'] == 'PyTorch'


@per_model
def test_fields_agree_with_the_config(model):
    cfg = Config.fromfile(ROOT / model['Config'])
    metadata = model['Metadata']
    assert metadata['Batch Size'] == cfg.train_dataloader.batch_size
    lengths = metadata.get('Epochs'), metadata.get('Iterations')
    assert lengths == (
        cfg.train_cfg.get('max_epochs'),
        cfg.train_cfg.get('max_iters'),
    )
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    assert dataset.type in DATASETS[metadata['Training Data']]
    image, audio, method = metadata['Architecture']
    if 'depth' in cfg.model.backbone:
        assert image.startswith(f'R-{cfg.model.backbone.depth}')
    assert cfg.model.audio_backbone.type.endswith(audio)
    head = MODELS.get(cfg.model.decode_head.type)
    assert (method == 'Mask2Former') == issubclass(head, Mask2FormerHead)


@per_model
def test_results_have_a_source_and_a_protocol_of_the_config(model):
    """In the format that OpenMMLab's tools read."""
    cfg = Config.fromfile(ROOT / model['Config'])
    init_default_scope(cfg.default_scope)
    protocols = {METRICS.build(m).prefix for m in cfg.test_evaluator}
    for result in model['Results']:
        assert isinstance(result['Dataset'], str) and result['Task']
        is_ours = result['Source'].startswith('ours: ')
        assert is_ours or result['Source'].startswith('paper: ')
        assert all((ROOT / f).is_file() for f in result.get('Records', ()))
        assert bool(result.get('Records')) == is_ours
        for name, score in result['Metrics'].items():
            assert name.endswith(' (paper)') != is_ours
            assert name.partition('/')[0] in protocols
            assert isinstance(score, float) and 0 < score < 100
    assert model.get('Weights', 'https://').startswith('https://')


@per_model
def test_what_a_model_uses_is_in_its_collection(model):
    metadata = COLLECTIONS[model['In Collection']]['Metadata']
    assert model['Metadata']['Training Data'] in metadata['Training Data']
    shared = set(model['Metadata']['Architecture'][1:])
    assert shared <= set(metadata['Architecture'])
