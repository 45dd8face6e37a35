"""NaN on the way through the whole model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

CLIP = '__GOGlHL23s_4000_9000'


@TRANSFORMS.register_module(force=True)
class SpoilSound(BaseTransform):
    """Put NaN into the sound of a clip, or of all."""

    def __init__(self, uid: str | None = None) -> None:
        self.uid = uid

    def transform(self, results: dict) -> dict:
        if self.uid in (None, results['uid']):
            results['audio'] = np.full_like(results['audio'], np.nan)
        return results


def spoil(tools, uid, model='avmask2former_r18_tiny'):
    """Let the training pipeline put NaN into the sound."""
    config = Path(tools.config)
    config.write_text(
        config.read_text().replace('avmask2former_r18_tiny', model)
        + f"""
train_pipeline.insert(3, dict(type='SpoilSound', uid={uid!r}))
"""
    )


def log_of(folder):
    return '\n'.join(p.read_text() for p in Path(folder).glob('*/*.log'))


def is_finite(path):
    weights = torch.load(path, weights_only=False)['state_dict']
    return all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize('model', ['avmask2former_r18_tiny', 'cpm_r18_tiny'])
def test_nan_in_one_clip_skips_its_batches(tools, model):
    spoil(tools, CLIP, model)
    tools.train('train_cfg.max_epochs=2')
    log = log_of('work')
    assert 'decode.loss_cls' in log and f'{CLIP}/0' in log
    assert '1 updates of epoch 1 were skipped' in log
    assert '1 updates of epoch 2 were skipped' in log
    # Running statistics of the audio backbone would be NaN for good.
    assert is_finite('work/epoch_2.pth')


def test_nan_everywhere_stops_the_training(tools):
    spoil(tools, None)
    message = tools.refuses(
        'train', 'train_cfg.max_epochs=9', 'train_cfg.val_begin=9', begun=True
    )
    print(message)
