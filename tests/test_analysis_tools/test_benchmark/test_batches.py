import pytest
import torch
from mmengine.config import Config

from mmcpm.analysis_tools.benchmark.batches import audio_shape, random_labels
from mmcpm.datasets.transforms import CutAudioToFrame


def test_labels_are_objects_on_background():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        label = random_labels((64, 96), 9, generator)
        assert label.shape == (1, 64, 96)
        assert 2 <= len(label.unique()) <= 5
        assert 0 in label
        assert label.max() < 9
        assert 0.02 < (label > 0).float().mean() < 0.9


@pytest.mark.parametrize(
    'step',
    [
        dict(type='CutAudioToFrame', seconds=3.0),
        dict(type='mmseg.CutAudioToFrame', seconds=3.0),
        dict(type=CutAudioToFrame, seconds=3.0),
        dict(type='mmcpm.datasets.transforms.CutAudioToFrame', seconds=3.0),
        dict(type='LoadSoundSources'),  # VPO: three seconds by default.
    ],
)
@pytest.mark.parametrize('is_wrapped', [False, True])
def test_audio_is_as_long_as_the_pipeline_cuts_it(step, is_wrapped):
    dataset = dict(type='A', pipeline=[dict(type='LoadFrameFromFile'), step])
    if is_wrapped:
        joined = dict(type='ConcatDataset', datasets=[dataset])
        dataset = dict(type='RepeatDataset', times=2, dataset=joined)
    cfg = Config(
        dict(
            model=dict(
                audio_backbone=dict(in_channels=2),
                audio_frontend=dict(sample_rate=8000),
            ),
            train_dataloader=dict(dataset=dataset),
        )
    )
    assert audio_shape(cfg) == (2, 24000)
