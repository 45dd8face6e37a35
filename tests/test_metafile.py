"""The metafiles tell what the configs say."""

from pathlib import Path

import pytest
import yaml
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import Config
from mmseg.registry import MODELS

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
    assert metadata['Epochs'] == cfg.train_cfg.max_epochs
    datasets = DATASETS[metadata['Training Data']]
    assert cfg.train_dataloader.dataset.type in datasets
    assert metadata['Architecture'] == [
        f'R-{cfg.model.backbone.depth}',
        cfg.model.audio_backbone.type,
        'Mask2Former',
    ]
    head = MODELS.get(cfg.model.decode_head.type)
    assert issubclass(head, Mask2FormerHead)


@per_model
def test_what_a_model_uses_is_in_its_collection(model):
    metadata = COLLECTIONS[model['In Collection']]['Metadata']
    assert model['Metadata']['Training Data'] in metadata['Training Data']
    shared = set(model['Metadata']['Architecture'][1:])
    assert shared <= set(metadata['Architecture'])
