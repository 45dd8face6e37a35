"""Jobs of the page: a clip with its own sound, and with another."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcpm.apis import AVSInferencer
from mmcpm.apis.options import apply_cfg_options
from mmcpm.apis.web_demo.jobs import MUTE, SOLO, SWAP, Jobs
from mmcpm.apis.web_demo.limits import Limits
from mmcpm.apis.web_demo.separation import separate
from mmcpm.apis.web_demo.time_line import Span
from mmcpm.utils.errors import UsageError
from mmcpm.video.sound_stream import SoundStream
from mmcpm.video.video_reader import VideoReader

CPM = Path(__file__).parents[3] / 'configs/cpm/cpm_r18_scenes.py'
SMALL = [
    'model.backbone.base_channels=8',
    'model.backbone.stem_channels=8',
    'model.audio_backbone.base_channels=4',
    'model.audio_neck.in_channels=[8,16,32]',
    'model.decode_head.in_channels=[8,16,32,64]',
    'model.decode_head.num_queries=4',
    # Known from the start, unlike samples of mixtures.
    'model.decode_head.prompts.source=table',
]


@pytest.fixture
def clips(video_writer, tmp_path, half_bright, beeps):
    """Clips of three seconds: second 1 sounds, all sound, none."""
    images = [half_bright] * 30
    sounds = {'one': [1], 'all': [0, 1, 2], 'none': None}
    return {
        name: str(
            video_writer(
                tmp_path / f'{name}.mkv',
                images,
                sound=None if seconds is None else beeps(3, seconds),
            )
        )
        for name, seconds in sounds.items()
    }


@pytest.fixture
def jobs(inferencer, tmp_path):
    (tmp_path / 'kept').mkdir()

    def keep(path):
        target = tmp_path / f'kept/{len(list((tmp_path / "kept").iterdir()))}'
        with open(path, 'rb') as file:
            target.with_suffix('.mp4').write_bytes(file.read())
        return str(target.with_suffix('.mp4'))

    return Jobs(inferencer, Limits(), keep)


def times(result):
    """Class, beginning and end of every span."""
    return [
        (s.name, round(s.start, 2), round(s.stop, 2)) for s in result.spans
    ]


def test_a_clip_with_its_own_sound(jobs, clips):
    result = jobs.segment(clips['one'], 2.0)
    assert times(result) == [('loud', 1.0, 2.0)]
    assert result.seconds == pytest.approx(3.0, abs=0.01)
    assert result.notes == []
    with VideoReader(result.video) as reader:
        assert sum(1 for _ in reader) == 30
    assert SoundStream(result.video).read(0, 100).shape == (1, 100)
    assert 'loud<small>1.0 s</small>' in jobs.line(result, 'own')


def test_the_same_frames_with_other_sounds(jobs, clips):
    own = jobs.segment(clips['one'], 2.0)
    muted = jobs.compare(clips['one'], own, MUTE, 2.0)
    assert times(muted) == []
    swapped = jobs.compare(clips['one'], own, SWAP, 2.0, other=clips['all'])
    assert times(swapped) == [('loud', 0.0, 3.0)]
    assert swapped.spectrogram != own.spectrogram != muted.spectrogram
    # The other clip's sound is played.
    sound = SoundStream(swapped.video)
    assert np.abs(sound.read(4000, 8000)).max() > 0.3
    sound.close()


def test_a_clip_without_sound_is_told_without_its_path(jobs, clips, tmp_path):
    result = jobs.segment(clips['none'], 1.0)
    assert times(result) == []
    assert result.notes[0].startswith('none.mkv has no sound')
    assert str(tmp_path) not in ''.join(result.notes)


@pytest.mark.parametrize(
    ('change', 'options', 'told'),
    [
        (SWAP, {}, 'choose a second clip'),
        (SWAP, {'other': 'text.wav'}, 'text.wav is no video'),
        (SWAP, {'other': 'none'}, 'none.mkv'),
        (SOLO, {'source': 'quiet'}, 'choose the class .*: loud$'),
        (SOLO, {'source': 'loud'}, 'BrightAndLoudHead predicts no masks'),
    ],
)
def test_what_cannot_be_compared_is_told_without_paths(
    jobs, clips, tmp_path, change, options, told
):
    (tmp_path / 'text.wav').write_text('text and more text')
    if 'other' in options:
        name = options['other']
        options = {'other': clips.get(name, str(tmp_path / name))}
    own = jobs.segment(clips['one'], 1.0)
    with pytest.raises(UsageError, match=told) as caught:
        jobs.compare(clips['one'], own, change, 1.0, **options)
    assert '/' not in str(caught.value).replace('and/or', '')


def test_a_clip_is_needed(jobs):
    with pytest.raises(UsageError, match='choose a clip first'):
        jobs.segment(None, 1.0)


def test_a_damaged_clip_is_told_by_name(jobs, clips, tmp_path):
    with open(clips['one'], 'rb') as file:
        head = file.read(60)
    path = tmp_path / 'cut.mkv'
    path.write_bytes(head)
    with pytest.raises(UsageError, match=r'cut\.mkv') as caught:
        jobs.segment(str(path), 1.0)
    assert str(tmp_path) not in str(caught.value)


def test_jobs_wait_for_each_other(jobs, clips, monkeypatch):
    active, most = [], []
    run = jobs._run

    def counted(*args):
        active.append(1)
        most.append(len(active))
        try:
            return run(*args)
        finally:
            active.pop()

    monkeypatch.setattr(jobs, '_run', counted)
    threads = [
        threading.Thread(target=jobs.segment, args=(clips['one'], 1.0))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


@pytest.fixture(scope='module')
def cpm():
    """CPM with random weights."""
    cfg = Config.fromfile(CPM)
    apply_cfg_options(cfg, SMALL)
    torch.manual_seed(0)
    return AVSInferencer(cfg, device='cpu', show_progress=False)


def test_a_source_is_silent_where_it_is_not_found(cpm, clips):
    spans = [Span(1, 'one', 1.0, 2.0, 0.5), Span(2, 'two', 0.0, 3.0, 0.5)]
    own = separate(cpm, clips['all'], 1, spans, 3.0)
    assert own.shape == (1, 48000)
    peaks = np.abs(own[0]).reshape(3, -1)[:, 1600:-1600].max(1)
    # Windows begin and end where the masks of neighbors are near.
    assert peaks[1] > 0.01
    assert peaks[0] == peaks[2] == 0


def test_sources_add_up_to_what_the_prompts_recover(cpm, clips):
    spans = [Span(k, str(k), 0.0, 3.0, 0.5) for k in (1, 2)]
    one, two = (separate(cpm, clips['all'], k, spans, 3.0) for k in (1, 2))
    with_seed = separate(cpm, clips['all'], 1, spans, 3.0)
    np.testing.assert_array_equal(one, with_seed)
    whole = SoundStream(clips['all']).read(0, 48000)
    rest = whole - one - two
    # Masks between 0 and 1 keep the phases.
    inner = slice(1600, -1600)
    assert np.sum(rest[:, inner] ** 2) < np.sum(whole[:, inner] ** 2)
    assert np.sum((one + two)[:, inner] * whole[:, inner]) > 0
