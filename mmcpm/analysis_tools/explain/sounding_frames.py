"""Selection of frames of a dataset in which something sounds."""

import difflib
from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample

from mmcpm.structures.audio_labels import foreground_classes
from mmcpm.utils.errors import UsageError


def sounding_labels(data_sample: SegDataSample) -> tuple[int, ...]:
    """Read which classes sound in a frame, by its label map if need be.

    Raises:
        UsageError: If the frame has no labels.
    """
    if 'audio_labels' not in data_sample.metainfo:
        if 'gt_sem_seg' not in data_sample:
            raise UsageError(
                f'frame {data_sample.sample_id} has no labels: '
                'test_dataloader.dataset.pipeline needs LoadAVSAnnotations '
                'and RecordSoundingClasses'
            )
        found = data_sample.gt_sem_seg.data.unique().tolist()
        data_sample.set_metainfo({'audio_labels': foreground_classes(found)})
    return tuple(data_sample.audio_labels)


def frames_by_name(dataset, sample_ids: Sequence[str]) -> list[dict]:
    """Read frames.

    Raises:
        UsageError: If there is no such frame, or if nothing sounds in any.
    """
    index = {
        dataset.get_data_info(i)['sample_id']: i for i in range(len(dataset))
    }
    for name in sample_ids:
        if name not in index:
            near = difflib.get_close_matches(name, index, 3, 0.0)
            raise UsageError(
                f'--frames: the test split has no frame {name!r}. It has '
                f'{len(index)}, such as {", ".join(near)}'
            )
    frames = [dataset[index[name]] for name in dict.fromkeys(sample_ids)]
    sounding = [sounding_labels(frame['data_samples']) for frame in frames]
    if not any(sounding):
        raise UsageError(
            'nothing sounds in the frames of --frames: choose others, or '
            'leave the choice to --num-frames'
        )
    return frames


def draw_frames(dataset, number: int, seed: int) -> list[dict]:
    """Draw sounding frames of different clips at random.

    From the second on, a frame is preferred that has no class in common with
    one of the frames before it: either can be the other's noise.

    Returns:
        list[dict]: ``inputs`` and ``data_samples`` of each; fewer than asked
        for if fewer clips sound.

    Raises:
        UsageError: If nothing sounds in any frame.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(dataset), generator=generator).tolist()
    chosen: list[dict] = []
    spare: dict[str, dict] = {}
    clips, sounding = set(), []
    for i in order:
        if len(chosen) == number:
            break
        info = dataset.get_data_info(i)
        clip = info.get('uid', info['sample_id'])
        if clip in clips:
            continue
        frame = dataset[i]
        labels = set(sounding_labels(frame['data_samples']))
        if not labels:
            continue
        if sounding and not any(map(labels.isdisjoint, sounding)):
            spare.setdefault(clip, frame)
            continue
        clips.add(clip)
        sounding.append(labels)
        chosen.append(frame)
    chosen += [frame for clip, frame in spare.items() if clip not in clips]
    if not chosen:
        raise UsageError(
            f'nothing sounds in any of the {len(order)} frames of the test '
            'split: there is nothing to explain'
        )
    return chosen[:number]
