"""What the paper states, and what the shipped configs build of it.

Sections are those of CPM (Chen et al., ECCV 2024; appendix A: training and
inference). Where it is silent the numbers are those published with Mask2Former
(Cheng et al., CVPR 2022: "a similar setting"), VGGish (Hershey et al., ICASSP
2017), GMMSeg (Liang et al., NeurIPS 2022), CAVP (Chen et al., CVPR 2024) and
AVSBench (Zhou et al., ECCV 2022).
"""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


class Family(NamedTuple):
    """What the paper states for one benchmark."""

    dataset: str
    subset: str | tuple
    classes: int  # with the background
    crop: int  # appendix A; Section 4.1.1 for 224
    resized: bool  # Section 4.1.1: to 224 x 224 before all else
    seconds: float  # appendix A
    channels: int  # Section 4.4: stereo for VPO
    frames: int  # appendix A: 96 x 256 and 300 x 256
    sampling: str | None  # which labeled frames of a clip an epoch sees
    metrics: tuple[str, ...]  # Section 4.1.1
    best: str


AVSS = Family(
    'AVSBenchSemanticDataset', (), 71, 512, False, 1.0, 1, 96, 'random',
    ('DatasetIoUFMetric', 'CoverageMetric'), 'dataset/mIoU',
)  # fmt: skip
VPO = Family(
    'VPODataset', 'ss', 22, 512, False, 3.0, 2, 300, None,
    ('DatasetIoUFMetric', 'CoverageMetric'), 'dataset/mIoU',
)  # fmt: skip
S4 = Family(
    'AVSBenchObjectDataset', 's4', 2, 224, False, 1.0, 1, 96, 'random',
    ('AVSBenchJFMetric', 'DatasetIoUFMetric'), 'avsbench/JF',
)  # fmt: skip
FAMILIES = {
    's4': S4,
    'ms3': S4._replace(subset='ms3', sampling='all'),
    'avss_224': AVSS._replace(
        crop=224,
        resized=True,
        metrics=('AVSSLegacyMetric', *AVSS.metrics),
        best='avss_legacy/mIoU',
    ),
    'avss': AVSS,
    'vpo_ss': VPO,
    'vpo_ms': VPO._replace(subset='ms'),
    'vpo_msmi': VPO._replace(subset='msmi'),
}
LEAVES = {
    f'{method}_{family}': family
    for method in ('avmask2former_r50', 'cpm_r50')
    for family in FAMILIES
}


@pytest.fixture(scope='module')
def paper_configs():
    """Names of all configs of the table."""
    return set(LEAVES)


@pytest.fixture(scope='module', params=LEAVES)
def name(request):
    return request.param


@pytest.fixture(scope='module')
def paper(name):
    """The row of the table."""
    return FAMILIES[LEAVES[name]]


@pytest.fixture(scope='module')
def config(name):
    init_default_scope('mmseg')
    return Config.fromfile(CONFIGS / name.split('_')[0] / f'{name}.py')


@pytest.fixture(scope='module')
def model(config):
    """The whole model on the meta device: shapes without numbers."""
    with torch.device('meta'):
        return MODELS.build(config.model)
