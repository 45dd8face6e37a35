"""Scenes in every layout, read by the shipped configs of that layout."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

import mmcpm
from mmcpm.dataset_converters.sounding_scenes.image_scene import make_image
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.scene import make_clip
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

CONFIGS = Path(mmcpm.__file__).parents[1] / 'configs/_base_/datasets'
DEMO = PRESETS['demo']
LAYOUTS = ('s4', 'ms3', 'vpo_ss', 'vpo_ms', 'vpo_msmi')
SPLITS = ('train', 'val', 'test')
CLIPS = (12, 3, 5)

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    for layout in LAYOUTS:
        write_sounding_scenes(
            folder / layout,
            layout=layout,
            clips=CLIPS,
            size=48,
            seed=5,
            workers=0,
        )
    return folder


def load_config(roots, layout, prefix=''):
    config = Config.fromfile(CONFIGS / f'{prefix}{layout}.py')
    for split in SPLITS:
        loader = config[f'{split}_dataloader']
        loader.dataset.data_root = str(roots / layout)
        loader.num_workers = 0
    return config


def clip_of(layout, split, index):
    subset = {'s4': 'v1s', 'ms3': 'v1m'}[layout]
    world = dataclasses.replace(DEMO, subset_cycle=(subset,))
    return make_clip(world, split, index, seed=5, size=48)


@pytest.mark.parametrize('layout', ['s4', 'ms3'])
def test_loaders_of_clips(roots, layout):
    """Of S4's training clips one frame in five is labeled, else all are."""
    config = Config.fromfile(CONFIGS / f'{layout}_clips.py')
    for split, number in zip(SPLITS, CLIPS, strict=True):
        loader = config[f'{split}_dataloader']
        loader.dataset.dataset.data_root = str(roots / layout)
        loader.num_workers = 0
        loader = Runner.build_dataloader(loader, seed=0)
        size = 4 if split == 'train' else 1
        assert len(loader.dataset) == number
        for batch in loader:
            samples = batch['data_samples']
            assert len(samples) == len(batch['inputs']) == 5 * size
            assert [s.frame_index for s in samples] == [*range(5)] * size
            first = (layout, split) == ('s4', 'train')
            assert [s.labeled for s in samples] == (
                [True, *[not first] * 4] * size
            )
            assert all(s.frame_valid for s in samples)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('prefix', ['', 'scenes_'])
def test_loaders_give_what_a_model_takes(roots, layout, prefix):
    config = load_config(roots, layout, prefix)
    vpo = layout.startswith('vpo')
    # Of 15 VPO images for training, round(1.5) are held out.
    numbers = {'s4': (12, 15, 25), 'ms3': (60, 15, 25)}.get(layout, (13, 2, 5))
    seen = set()
    for split, number in zip(SPLITS, numbers, strict=True):
        loader = config[f'{split}_dataloader']
        loader = Runner.build_dataloader(loader, seed=0)
        samples = [s for b in loader for s in b['data_samples']]
        assert len(samples) == len(loader.dataset) == number
        assert not loader.dataset.missing_files()
        ids = {sample.sample_id for sample in samples}
        assert len(ids) == number and not ids & seen
        seen |= ids
        shape = (2, 48_000) if vpo else (1, 16_000)
        classes = loader.dataset.metainfo['classes']
        assert len(classes) == (2 if not vpo else 9 if prefix else 22)
        for sample in samples:
            assert sample.audio.shape == shape
            values = set(sample.gt_sem_seg.data.unique().tolist())
            assert values - {0, 255} <= set(sample.audio_labels)
            assert max(values - {255}) < len(classes)
        if split != 'train':
            assert loader.dataset.test_mode
            assert not loader.sampler.round_up


@pytest.mark.parametrize('layout', ['s4', 'ms3'])
def test_a_clip_is_read_as_it_was_made(roots, layout):
    config = load_config(roots, layout)
    data = DATASETS.build(config.test_dataloader.dataset)
    for index in (0, 3):
        clip = clip_of(layout, 'test', index)
        for second in range(5):
            sample = data[5 * index + second]
            truth = sample['data_samples']
            assert truth.sample_id.endswith(f'{clip.uid}/{second}')
            picture = sample['inputs'].numpy()[::-1].transpose(1, 2, 0)
            np.testing.assert_array_equal(picture, clip.world.frames[second])
            np.testing.assert_array_equal(
                truth.gt_sem_seg.data[0], clip.labels[second] > 0
            )
            wave = clip.waveform[second * 16000 : (second + 1) * 16000]
            np.testing.assert_allclose(truth.audio[0], wave, atol=2**-15)
            sounding = bool((clip.labels[second] > 0).any())
            assert truth.audio_labels == ((1,) if sounding else ())


@pytest.mark.parametrize('layout', ['vpo_ss', 'vpo_ms', 'vpo_msmi'])
def test_an_image_is_read_as_it_was_made(roots, layout):
    config = load_config(roots, layout)
    data = DATASETS.build(config.test_dataloader.dataset)
    for index in range(5):
        image = make_image(
            DEMO, layout.removeprefix('vpo_'), 'test', index, seed=5, size=48
        )
        sample = data[index]
        truth = sample['data_samples']
        np.testing.assert_array_equal(truth.gt_sem_seg.data[0], image.label)
        assert truth.audio_labels == tuple(
            sorted(source.class_id for source in image.sources)
        )
        # The three middle ones of five seconds.
        heard = np.zeros((2, 48_000))
        for source in image.sources:
            wave = source.recording[16_000:64_000]
            heard[0] += (1 - source.position) * wave
            heard[1] += source.position * wave
        # 16 bits are lost once per recording, and there are two at most.
        np.testing.assert_allclose(truth.audio, heard, atol=2**-14)
        picture = sample['inputs'].numpy()[::-1].transpose(1, 2, 0)
        difference = picture.mean(-1) - image.world.frames[0].mean(-1)
        assert np.abs(difference).mean() < 5


def test_a_flipped_msmi_image_is_heard_mirrored(roots):
    config = load_config(roots, 'vpo_msmi', 'scenes_')
    flips = []
    for prob in (0.0, 1.0):
        cfg = config.train_dataloader.dataset
        step = next(s for s in cfg.pipeline if s['type'] == 'RandomFlip')
        step['prob'] = prob
        flips.append(DATASETS.build(cfg))
    for index in range(len(flips[0])):
        plain, mirrored = (data[index]['data_samples'] for data in flips)
        np.testing.assert_array_equal(plain.audio.flip(0), mirrored.audio)
        np.testing.assert_array_equal(
            plain.gt_sem_seg.data.flip(-1), mirrored.gt_sem_seg.data
        )


def test_an_option_makes_the_sound_mono(roots):
    config = load_config(roots, 'vpo_msmi')
    key = 'train_dataloader.dataset.pipeline.1.channels'
    config.merge_from_dict({key: 'mono'})
    data = DATASETS.build(config.train_dataloader.dataset)
    assert data[0]['data_samples'].audio.shape == (1, 48_000)


def test_protocols_of_the_paper():
    for layout in LAYOUTS:
        config = Config.fromfile(CONFIGS / f'{layout}.py')
        assert config.train_dataloader.batch_size == 16
        steps = {step['type']: step for step in config.train_pipeline}
        vpo = layout.startswith('vpo')
        size = (512, 512) if vpo else (224, 224)
        assert steps['RandomCrop']['crop_size'] == size
        assert steps['RandomRescale']['ratio_range'] == (0.5, 2.0)
        order = list(steps)
        assert order.index('RandomFlip') < order.index('SwapStereoOnFlip')
        for split in SPLITS:
            dataset = config[f'{split}_dataloader'].dataset
            assert dataset.split == split
            assert dataset.subset == layout.removeprefix('vpo_')
            if vpo and split != 'test':
                assert dataset.holdout == 0.1


def test_files_are_where_the_archives_have_them(roots):
    s4 = roots / 's4/s4_data'
    names = sorted(p.name for p in s4.glob('gt_masks/train/*/*/*'))
    assert names == [f'train{i:05}_0_5000_1.png' for i in range(12)]
    assert len(list(s4.glob('gt_masks/test/*/*/*_[1-5].png'))) == 25
    assert len(list(s4.glob('visual_frames/train/*/*/*.png'))) == 60
    mask = cv2.imread(str(next(s4.glob('gt_masks/train/*/*/*'))), -1)
    assert mask.ndim == 2 and set(np.unique(mask)) <= {0, 255}
    ms3 = roots / 'ms3/ms3_data'
    assert (ms3 / 'visual_frames/train00003/train00003.mp4_5.png').is_file()
    assert (ms3 / 'gt_masks/train/train00003/train00003_5.png').is_file()
    wav = soundfile.info(ms3 / 'audio_wav/train/train00003.wav')
    assert (wav.samplerate, wav.frames) == (16_000, 80_000)
