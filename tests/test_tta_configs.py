"""``--tta`` of every shipped config scores what the plain test scores."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

from mmcpm.apis import config_checks, options
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.models.segmentors import AVEncoderDecoder

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
# Rows of the study change the model only: those of one data set test alike.
# Those of a published model may need files that no data here has.
TESTED = [
    name
    for name in LEAVES
    if 'ablations' not in name and not name.endswith('_published.py')
]
LAYOUTS = ('s4', 'ms3', 'vpo_ss', 'vpo_ms', 'vpo_msmi')
# What metrics, figures and written label maps ask of a prediction.
META = ('sample_id', 'uid', 'frame_index', 'subset', 'sources', 'ori_shape')

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@MODELS.register_module(force=True)
class GuessingSegmentor(AVEncoderDecoder):
    """All but the network: preprocessing, and back to the frame's size."""

    def __init__(self, decode_head, data_preprocessor, **kwargs):
        BaseModel.__init__(self, data_preprocessor)
        self.out_channels = decode_head.num_classes
        self.align_corners = False
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def predict(self, inputs, data_samples):
        shape = (len(inputs), self.out_channels, *inputs.shape[-2:])
        samples = self.postprocess_result(torch.rand(shape), data_samples)
        for sample in samples:
            named = torch.ones(1, dtype=torch.long)
            sample.set_data(
                dict(audio_query_classes=named, query_classes=named)
            )
        return samples


@pytest.fixture(scope='module')
def roots(tmp_path_factory, avss_root, folder_writer):
    """Data in every layout; those of S4 and MS3 at AVSBench's size."""
    folder = tmp_path_factory.mktemp('scenes')
    kinds = {layout: dict(layout=layout) for layout in LAYOUTS}
    kinds['demo'], kinds['hard'] = dict(preset='demo'), dict(preset='hard')
    for name, kind in kinds.items():
        size = 224 if name in ('s4', 'ms3') else 48
        write_sounding_scenes(
            folder / name, clips=(4, 2, 1), size=size, workers=0, **kind
        )
    folder_writer(folder / 'folder', clips=1)
    return {name: folder / name for name in (*kinds, 'folder')} | {
        'avss': avss_root
    }


def root_of(dataset):
    """Name the data that a config is made for."""
    return {
        'AVSBenchSemanticDataset': 'avss',
        'AVSFolderDataset': 'folder',
        'SoundingScenesDataset': 'demo',
        'HardSoundingScenesDataset': 'hard',
        'AVSBenchObjectDataset': dataset.get('subset'),
        'VPODataset': f'vpo_{dataset.get("subset")}',
    }[dataset.type]


def predict(cfg):
    """Predictions, and their scores, of the config's test data."""
    torch.manual_seed(0)
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    model = MODELS.build(cfg.model).eval()
    evaluator = Evaluator(list(cfg.test_evaluator))
    evaluator.dataset_meta = loader.dataset.metainfo
    predictions = []
    with torch.no_grad():
        for batch in loader:
            samples = model.test_step(batch)
            evaluator.process(samples, batch)
            predictions += samples
    return predictions, evaluator.evaluate(len(loader.dataset))


def how_it_is_tested(name):
    """All that a config says of its test, but for the network."""
    cfg = Config.fromfile(ROOT / 'configs' / name)
    keys = ('test_dataloader', 'test_evaluator', 'tta_pipeline', 'tta_model')
    parts = [cfg[key] for key in keys]
    return [*parts, cfg.model.data_preprocessor, cfg.model.test_cfg]


def test_ablations_are_tested_as_other_configs_are():
    known = [how_it_is_tested(name) for name in TESTED]
    for name in [name for name in LEAVES if 'ablations' in name]:
        assert how_it_is_tested(name) in known, name


@pytest.fixture(scope='module')
def seen():
    """How the configs before were tested: the network makes no difference."""
    return []


@pytest.mark.parametrize('name', TESTED)
def test_tta_scores_what_the_plain_test_scores(roots, seen, name):
    how = how_it_is_tested(name)
    if how in seen:
        return
    seen.append(how)
    cfg = Config.fromfile(ROOT / 'configs' / name)
    cfg.test_dataloader.num_workers = 0
    dataset, frames = cfg.test_dataloader.dataset, 1
    if dataset.type == 'ClipDataset':
        frames, dataset = dataset.clip_length, dataset.dataset
    # F of S4 and MS3 is that of a whole video.
    number = 5 if dataset.type == 'AVSBenchObjectDataset' else frames
    dataset.update(data_root=str(roots[root_of(dataset)]), indices=number)
    config_checks.check_classes(cfg, ('test_dataloader',))
    cfg.model.type = 'GuessingSegmentor'
    augmented = copy.deepcopy(cfg)
    options.apply_tta(augmented)
    assert augmented.model.type == 'AVSegTTAModel'
    (plain, scores), (found, other) = predict(cfg), predict(augmented)
    assert scores.keys() == other.keys()
    for one, two in zip(plain, found, strict=True):
        size = one.gt_sem_seg.shape
        assert two.pred_sem_seg.shape == two.seg_logits.shape == size
        assert torch.equal(one.gt_sem_seg.data, two.gt_sem_seg.data)
        for key in META:
            assert one.get(key) == two.get(key)
        assert two.label_shape == one.label_shape
    # Views of three sizes, each seen both ways, with their sound.
    data = DATASETS.build(augmented.test_dataloader.dataset)[0]
    data = data[0] if isinstance(data, list) else data
    views = data['data_samples']
    assert len({view.img_shape for view in views}) == 3
    assert [view.flip for view in views].count(True) == 3
    turned = {view.flip: view.audio for view in views}
    assert torch.equal(turned[True], turned[False].flip(0))


def test_protocols_and_their_sizes():
    """The scores of the paper's tables carry no other size in their name."""
    names = {}
    for name in ('s4', 'ms3', 'avss_224', 'avss', 'vpo_ss', 'vpo_msmi'):
        cfg = Config.fromfile(ROOT / f'configs/cpm/cpm_r50_{name}.py')
        evaluator = Evaluator(list(cfg.test_evaluator))
        names[name] = [metric.prefix for metric in evaluator.metrics]
    assert names == {
        's4': ['avsbench', 'dataset'],
        'ms3': ['avsbench', 'dataset'],
        'avss_224': ['avss_legacy', 'dataset_224', 'coverage'],
        'avss': ['dataset', 'coverage'],
        'vpo_ss': ['dataset', 'coverage'],
        'vpo_msmi': ['dataset', 'coverage'],
    }
