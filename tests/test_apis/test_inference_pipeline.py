"""The test pipeline of a config, for arrays."""

import numpy as np
import pytest
from mmengine.config import Config

from mmcpm.apis.inference_pipeline import (
    InferencePipeline,
    as_waveform,
    find_pipeline,
)
from mmcpm.utils.errors import UsageError
from mmcpm.video.sound_stream import WaveformSound


def ramp(seconds, rate=16000):
    """A sound whose samples tell their place: sample k is k / 1e6."""
    return np.arange(seconds * rate, dtype=np.float32)[None] / 1e6


@pytest.mark.parametrize(
    ('time', 'first'), [(0, 0), (0.99, 0), (1, 16000), (3.4, 48000)]
)
def test_frame_gets_the_second_it_lies_in(
    bright_config, half_bright, time, first
):
    pipeline = InferencePipeline(bright_config())
    sound = pipeline.open_sound(WaveformSound(ramp(9), 16000))
    packed = pipeline(half_bright, sound, time, 'a/0')
    sample = packed['data_samples']
    np.testing.assert_array_equal(
        sample.audio.numpy(), ramp(9)[:, first : first + 16000]
    )
    assert sample.ori_shape == (24, 32) and sample.sample_id == 'a/0'
    assert packed['inputs'].shape == (3, 24, 32)


def test_longer_windows(bright_config):
    # Of VPO: three seconds for every frame of them.
    cfg = bright_config()
    cfg.test_dataloader.dataset.pipeline[2]['seconds'] = 3.0
    pipeline = InferencePipeline(cfg)
    assert [pipeline.window_start(t) for t in (0, 2.9, 3, 7)] == [0, 0, 3, 6]
    pipeline = InferencePipeline(cfg, 1.0)
    # In the middle of it lies the second of the frame.
    assert [pipeline.window_start(t) for t in (0, 1, 5.5)] == [0, 0, 4]


@pytest.mark.parametrize('step', [-1, 0, 1.5])
def test_step_that_leaves_sound_out_is_refused(bright_config, step):
    with pytest.raises(UsageError, match='audio_step must be above 0'):
        InferencePipeline(bright_config(), step)


def test_pipeline_within_a_wrapper(bright_config):
    cfg = bright_config()
    inner = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(
        type='CounterfactualAudioDataset', dataset=inner
    )
    assert len(find_pipeline(cfg)) == len(inner.pipeline)
    InferencePipeline(cfg)


def test_pipelines_that_cannot_be_used(bright_config):
    cfg = bright_config()
    del cfg.test_dataloader.dataset.pipeline[1]
    with pytest.raises(UsageError, match='has no LoadAudioFromFile'):
        InferencePipeline(cfg)
    with pytest.raises(UsageError, match=r'no test_dataloader.dataset.pipe'):
        InferencePipeline(
            Config(dict(test_dataloader=dict(dataset=dict(type='x'))))
        )


def test_gray_frames_get_three_channels(bright_config):
    pipeline = InferencePipeline(bright_config())
    image = pipeline.load_image(np.eye(4, dtype=np.uint8))
    assert image.shape == (4, 4, 3) and (image[1, 1] == 1).all()


def test_integers_are_scaled():
    found = as_waveform(np.array([-32768, 0, 16384], np.int16))
    np.testing.assert_array_equal(found, [[-1, 0, 0.5]])
    assert found.dtype == np.float32
