import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmcpm.analysis_tools.explain.sounding_frames import (
    draw_frames,
    frames_by_name,
    sounding_labels,
)
from mmcpm.utils.errors import UsageError


class Frames:
    """A dataset of (clip, frame, classes that sound)."""

    def __init__(self, *frames):
        self.frames = frames

    def __len__(self):
        return len(self.frames)

    def get_data_info(self, index):
        clip, frame, _ = self.frames[index]
        return {'uid': clip, 'sample_id': f'{clip}/{frame}'}

    def __getitem__(self, index):
        meta = self.get_data_info(index)
        meta['audio_labels'] = tuple(self.frames[index][2])
        return {'data_samples': SegDataSample(metainfo=meta)}


def names(frames):
    return [frame['data_samples'].sample_id for frame in frames]


@pytest.mark.parametrize('seed', range(6))
def test_frames_of_different_clips_in_which_something_sounds(seed):
    dataset = Frames(
        *(('a', i, [1]) for i in range(5)),
        *(('b', i, [2]) for i in range(5)),
        *(('c', i, []) for i in range(20)),
    )
    chosen = names(draw_frames(dataset, 4, seed))
    assert sorted(name[0] for name in chosen) == ['a', 'b']
    assert chosen == names(draw_frames(dataset, 4, seed))


def test_seeds_choose_differently():
    dataset = Frames(*((f'clip{i}', 0, [i % 3 + 1]) for i in range(50)))
    draws = {tuple(names(draw_frames(dataset, 3, seed))) for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize('seed', range(6))
def test_every_frame_finds_a_partner_if_there_is_one(seed):
    dataset = Frames(
        *((f'dog{i}', 0, [1]) for i in range(20)), ('bell', 0, [2])
    )
    assert 'bell/0' in names(draw_frames(dataset, 2, seed))


def test_frames_without_a_partner_fill_up():
    dataset = Frames(('a', 0, [1]), ('b', 0, [1, 2]), ('c', 0, [1]))
    chosen = names(draw_frames(dataset, 2, 0))
    assert len(set(chosen)) == 2


def test_silence_alone_is_refused():
    with pytest.raises(UsageError, match='any of the 2 frames'):
        draw_frames(Frames(('a', 0, []), ('b', 0, [])), 4, 0)


def test_named_frames_come_in_their_order():
    dataset = Frames(('a', 0, [1]), ('b', 0, []), ('c', 0, [2]))
    chosen = frames_by_name(dataset, ['c/0', 'b/0', 'c/0'])
    assert names(chosen) == ['c/0', 'b/0']
    with pytest.raises(UsageError, match='nothing sounds'):
        frames_by_name(dataset, ['b/0'])


def test_an_unknown_name_is_told_with_one_like_it():
    dataset = Frames(('violin', 3, [1]), ('drum', 0, [2]))
    with pytest.raises(UsageError, match=r"'violim/3'.* 2, such as violin/3"):
        frames_by_name(dataset, ['drum/0', 'violim/3'])


def test_labels_are_read_off_the_map_where_nobody_noted_them():
    sample = SegDataSample(metainfo={'sample_id': 'a/0'})
    with pytest.raises(UsageError, match='a/0 has no labels'):
        sounding_labels(sample)
    labels = torch.tensor([[[0, 3], [255, 1]]])
    sample.gt_sem_seg = PixelData(data=labels)
    assert sounding_labels(sample) == (1, 3)
    assert sample.metainfo['audio_labels'] == (1, 3)
