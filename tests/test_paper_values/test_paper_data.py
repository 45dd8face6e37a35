"""Frames and sounds reach the model as the paper says."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS, TRANSFORMS
from mmseg.structures import SegDataSample

# torchvision's normalization, of pixels in 0..1, in the order RGB.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def pipelines(config):
    """Built transforms of each split."""
    return SimpleNamespace(
        **{
            split: [
                TRANSFORMS.build(step)
                for step in config[f'{split}_dataloader'].dataset.pipeline
            ]
            for split in ('train', 'val', 'test')
        }
    )


def only(steps, kind):
    """The one transform of a class, subclasses included; and its place."""
    kind = TRANSFORMS.get(kind)
    found = [i for i, step in enumerate(steps) if isinstance(step, kind)]
    assert len(found) == 1, (kind, steps)
    return steps[found[0]], found[0]


def test_pixels_are_normalized_as_rgb_and_padded(config, paper):
    preprocessor = MODELS.build(config.model.data_preprocessor)
    frame = torch.empty(3, 40, 50, dtype=torch.uint8)
    frame[:] = torch.tensor([10, 100, 200])[:, None, None]  # blue, green, red
    for training, size in (
        (True, (paper.crop, paper.crop)),
        (False, (64, 64)),
    ):
        label = PixelData(data=torch.ones(1, 40, 50, dtype=torch.long))
        sample = SegDataSample(gt_sem_seg=label)
        data = dict(inputs=[frame], data_samples=[sample])
        data = preprocessor(data, training)
        image = data['inputs'][0]
        assert image.shape == (3, *size)
        for channel, value in enumerate((200, 100, 10)):  # red, green, blue
            expected = (value / 255 - MEAN[channel]) / STD[channel]
            torch.testing.assert_close(
                image[channel, :40, :50],
                torch.full((40, 50), expected),
                rtol=0,
                atol=1e-4,
            )
        assert not image[:, 40:].any() and not image[:, :, 50:].any()
        if training:
            padded = data['data_samples'][0].gt_sem_seg.data[0]
            assert (padded[:40, :50] == 1).all()
            assert (padded[40:] == 255).all()


def test_frames_are_augmented_for_training(pipelines, paper):
    steps = pipelines.train
    assert only(steps, 'RandomRescale')[0].ratio_range == (0.5, 2.0)
    crop, crop_place = only(steps, 'RandomCrop')
    assert tuple(crop.crop_size) == (paper.crop, paper.crop)
    # Any crop will do, also one without a sounding object.
    assert crop.cat_max_ratio == 1.0
    flip, flip_place = only(steps, 'RandomFlip')
    assert (flip.prob, flip.direction) == (0.5, 'horizontal')
    # Left and right are heard where they are seen.
    assert only(steps, 'SwapStereoOnFlip')[1] > flip_place
    # Classes are known before the crop can lose some.
    assert only(steps, 'RecordSoundingClasses')[1] < crop_place
    # SSD's color jitter, as in Mask2Former.
    jitter, _ = only(steps, 'PhotoMetricDistortion')
    assert (jitter.brightness_delta, jitter.hue_delta) == (32, 18)
    for quantity in ('contrast', 'saturation'):
        assert getattr(jitter, f'{quantity}_lower') == 0.5
        assert getattr(jitter, f'{quantity}_upper') == 1.5


def test_frames_are_tested_as_they_are(pipelines):
    for steps in (pipelines.val, pipelines.test):
        assert {s.threshold for s in steps if hasattr(s, 'threshold')} <= {127}
        for kind in ('RandomRescale', 'RandomCrop', 'RandomFlip'):
            assert not any(isinstance(s, TRANSFORMS.get(kind)) for s in steps)
        assert not any('Distortion' in type(s).__name__ for s in steps)


def test_the_protocol_decides_on_the_size(pipelines, paper):
    for steps in vars(pipelines).values():
        sizes = [s.scale for s in steps if type(s).__name__.startswith('Resi')]
        assert sizes == ([(224, 224)] if paper.resized else [])


def test_sounds_are_cut_to_the_seconds_of_the_paper(pipelines, paper):
    for steps in vars(pipelines).values():
        loader, _ = only(steps, 'LoadAudioFromFile')
        cutter = loader
        if paper.channels == 1:
            cutter, _ = only(steps, 'CutAudioToFrame')
        assert loader.sample_rate == 16000
        assert loader.channels == ('mono', 'stereo')[paper.channels - 1]
        assert cutter.seconds == paper.seconds


def test_spectrograms(config, paper):
    frontend = MODELS.build(config.model.audio_frontend)
    assert frontend.sample_rate == 16000
    samples = round(16000 * paper.seconds)
    time = torch.arange(samples) / 16000
    tone = 0.5 * torch.sin(2 * math.pi * 1000 * time)
    click = torch.zeros(samples)
    click[8000] = 1.0
    magnitude, fed = frontend(torch.stack([tone, click])[None])
    assert magnitude.shape == fed.shape == (1, 2, paper.frames, 256)
    # 1 kHz is bin 1000 / (16000 / 512) = 32. A Hann window of 400 sums up to
    # 200, half of which falls to the positive frequency.
    assert (magnitude[0, 0, 2:-2].argmax(-1) == 32).all()
    assert magnitude[0, 0, 50, 32].item() == pytest.approx(50, rel=1e-3)
    # Half a second is frame 8000 / 160 = 50, where the window is 1.
    torch.testing.assert_close(magnitude[0, 1, 50], torch.ones(256))
    reached = magnitude[0, 1].amax(-1) > 1e-6  # 200 samples to either side
    assert reached.nonzero()[:, 0].tolist() == [49, 50, 51]
    # VGGish was trained on ln(a + 0.01), and CAVP feeds dB / 100 of at least
    # -100 dB to its ResNet-18: a tone of 50, a click of 1, silence.
    log = [math.log(50.01), math.log(1.01), math.log(0.01)]
    decibel = [0.2 * math.log10(50), 0.0, -1.0]
    expected = decibel if paper.channels == 2 else log
    places = (0, 50, 32), (1, 50, 32), (1, 0, 0)
    for value, (row, frame, column) in zip(expected, places, strict=True):
        assert fed[0, row, frame, column].item() == pytest.approx(
            value, abs=1e-3
        )
