"""What a config says of its model, as an entry of a metafile."""

from pathlib import Path

from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

DATA = {
    'AVSBenchObjectDataset': 'AVSBench-Object',
    'AVSBenchSemanticDataset': 'AVSBench-Semantic',
    'VPODataset': 'VPO',
    'AVSFolderDataset': 'Own data',
}
SCENES = 'Sounding scenes'


def read_model(path: Path, method: str) -> dict:
    """Describe a model.

    Args:
        path (Path): Config file, ``configs/<method>/<name>.py``.
        method (str): Name of the collection, and of heads of its own.

    Returns:
        dict: Entry of the metafile, without results.
    """
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    dataset, unit = cfg.train_dataloader.dataset, 'frames'
    while 'dataset' in dataset:
        if 'clip_length' in dataset:
            unit = f'clips of {dataset.clip_length}'
        dataset = dataset.dataset
    data, part = _name_data(dataset)
    head = MODELS.get(cfg.model.decode_head.type)
    length = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    schedule = {'max_epochs': 'Epochs', 'max_iters': 'Iterations'}[length]
    return {
        'Name': path.stem,
        'In Collection': method,
        'Config': '/'.join(path.parts[-3:]),
        'Metadata': {
            'Training Data': data,
            'Test Data': f'{data} ({part})' if part else data,
            'Batch Size': cfg.train_dataloader.batch_size,
            'Batch Unit': unit,
            schedule: cfg.train_cfg[length],
            'Image Size': ' x '.join(
                str(side) for side in cfg.model.data_preprocessor.size
            ),
            'Architecture': [
                _name_backbone(cfg.model.backbone),
                cfg.model.audio_backbone.type.rpartition('.')[2],
                'Mask2Former' if issubclass(head, Mask2FormerHead) else method,
            ],
        },
        'Code': f'{head.__module__.replace(".", "/")}.py',
        'Framework': 'PyTorch',
    }


def _name_data(dataset: ConfigDict) -> tuple[str, str]:
    """Name a dataset, and its part or layout."""
    kind = dataset.type.rpartition('.')[2]
    part = (dataset.get('subset') or '').upper()
    if kind.endswith('SoundingScenesDataset'):
        return SCENES, 'hard' if kind.startswith('Hard') else part
    if 'sounding_scenes' in str(dataset.get('data_root')):
        return SCENES, f'VPO-{part}' if kind == 'VPODataset' else part
    return DATA.get(kind, kind), part


def _name_backbone(backbone: ConfigDict) -> str:
    """Name an image backbone, as model zoos do."""
    kind = backbone.type.rpartition('.')[2]
    if 'depth' in backbone:
        return f'R-{backbone.depth}{kind.removeprefix("ResNet").lower()}'
    return kind.replace('PyramidVision', 'PV').replace('Transformer', 'T')
