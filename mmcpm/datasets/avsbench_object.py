"""AVSBench-Object (S4 and MS3): what sounds, whatever it is.

Zhou et al., "Audio-Visual Segmentation", ECCV 2022; layout as distributed by
https://github.com/OpenNLPLab/AVSBench.
"""

import os.path as osp

from mmseg.registry import DATASETS

from .base_avs_dataset import BaseAVSDataset
from .errors import DatasetIndexError
from .frame_sampling import choose_sampling, make_items
from .metadata.avsbench_object import ObjectClip, read_object_metadata
from .metadata.avsbench_semantic import recording_of
from .metadata.index_table import check_present, check_root, read_text

SUBSETS = ('s4', 'ms3')
FRAMES_PER_CLIP = 5


@DATASETS.register_module()
class AVSBenchObjectDataset(BaseAVSDataset):
    """AVSBench-Object, one labeled frame of a five-second clip per sample.

    .. code-block:: none

        Single-source/                          S4: one sounding object
        ├── s4_meta_data.csv
        └── s4_data/
            ├── visual_frames/<split>/<category>/<name>/<name>_1.png ... _5
            ├── gt_masks/<split>/<category>/<name>/<name>_1.png ... _5
            └── audio_wav/<split>/<category>/<name>.wav
        Multi-sources/                          MS3: several sounding objects
        ├── ms3_meta_data.csv
        └── ms3_data/
            ├── visual_frames/<name>/<name>.mp4_1.png ... _5    no split
            ├── gt_masks/<split>/<name>/<name>_1.png ... _5
            └── audio_wav/<split>/<name>.wav

    Files count frames from 1; ``frame_index`` and ``sample_id`` count from 0,
    as everywhere in mmcpm: frame ``i`` is in the files ``_{i + 1}`` and hears
    the seconds ``[i, i + 1)``. Every frame is labeled, but in the training
    clips of S4 only the first.

    In the mask files 255 means "sounds", it is no value to ignore: load them
    with ``LoadBinaryAnnotations``.

    Args:
        data_root (str): Folder that holds the index file and ``s4_data`` or
            ``ms3_data``.
        subset (str): 's4' or 'ms3'.
        split (str): 'train', 'val' or 'test'. Defaults to 'train'.
        frame_sampling (str, optional): 'random': one sample per clip, a
            labeled frame drawn anew whenever it is visited. 'all': one
            sample per labeled frame. Defaults to None: 'random' for
            training on 'train', 'all' otherwise, where it is the only choice.
        metadata_file (str, optional): Defaults to None: 's4_meta_data.csv'
            or 'ms3_meta_data.csv'.
        test_mode (bool): Whether samples are for evaluation. Defaults to
            False.
        kwargs: ``skip_unreadable`` of ``BaseAVSDataset``;
            ``pipeline``, ``indices``, ``lazy_init`` and the others of
            ``BaseSegDataset``.
    """

    METAINFO = {
        'classes': ('background', 'sounding'),
        'palette': [[0, 0, 0], [128, 0, 0]],
    }

    def __init__(
        self,
        *,
        data_root: str,
        subset: str,
        split: str = 'train',
        frame_sampling: str | None = None,
        metadata_file: str | None = None,
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        if subset not in SUBSETS:
            raise ValueError(
                f'subset must be one of {SUBSETS}, got {subset!r}'
            )
        self.frame_sampling = choose_sampling(frame_sampling, split, test_mode)
        self.subset, self.split = subset, split
        kwargs.setdefault('img_suffix', '.png')
        super().__init__(
            ann_file=metadata_file or f'{subset}_meta_data.csv',
            data_root=data_root or '',
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the metadata and check what lies beside it.

        Returns:
            list[dict]: One item per sample, in the order of the metadata and
            by frame: ``uid``, ``name``, ``category``, ``frames``.

        Raises:
            DatasetNotFoundError: If the data root, the index file or a folder
                of masks is missing (local storage only).
            DatasetIndexError: If the index file is not as expected, or no
                clip is left.
        """
        if self.is_local:
            index_file = osp.relpath(self.ann_file, self.data_root or '.')
            check_root(
                self.data_root,
                [index_file],
                f'{index_file} and {self.subset}_data/ with visual_frames, '
                'gt_masks and audio_wav',
            )
        rows = read_object_metadata(
            read_text(self.ann_file, self.backend_args),
            self.ann_file,
            self.subset,
        )
        clips = [clip for clip in rows if clip.split == self.split]
        if not clips:
            raise DatasetIndexError(
                f'{self.ann_file}: none of its {len(rows)} rows is of the '
                f'split {self.split!r}. Restore it from the '
                "dataset's archive."
            )
        if self.is_local:
            check_present(
                [self._folder('gt_masks', self.split, c.uid) for c in clips],
                f'folders of masks ({self.subset}, {self.split})',
                'Unpack the dataset again, or remove the rows of these clips '
                f'from {self.ann_file}.',
                are_folders=True,
            )
        items = []
        for clip in clips:
            item = dict(uid=clip.uid, name=clip.name, category=clip.category)
            frames = self.labeled_frames(clip)
            items += make_items(item, frames, self.frame_sampling)
        return items

    def labeled_frames(self, clip: ObjectClip) -> range:
        """List the frames of a clip that have a mask."""
        only_first = (self.subset, clip.split) == ('s4', 'train')
        return range(1 if only_first else FRAMES_PER_CLIP)

    def clip_frames(self, item: dict) -> range:
        """List the frames of a clip: five, labeled or not."""
        return range(FRAMES_PER_CLIP)

    def frame_info(self, item: dict, frame_index: int) -> dict:
        """Describe one frame of a clip.

        Returns:
            dict: Paths of frame, mask and audio, ``sample_id``, ``uid``
            (``<category>/<name>`` in S4, where folders are told so, and
            ``<name>`` in MS3), ``subset`` and ``sound_sources`` (the video
            and, in S4, the category).
        """
        uid, name = item['uid'], item['name']
        number = frame_index + 1
        if self.subset == 's4':
            frames = self._folder('visual_frames', self.split, uid)
            frame = f'{name}_{number}'
        else:
            frames = self._folder('visual_frames', uid)
            frame = f'{name}.mp4_{number}'
        masks = self._folder('gt_masks', self.split, uid)
        return {
            'img_path': osp.join(frames, frame + self.img_suffix),
            'seg_map_path': osp.join(
                masks, f'{name}_{number}{self.seg_map_suffix}'
            ),
            'audio_path': self._folder('audio_wav', self.split, f'{uid}.wav'),
            'sample_id': f'{uid}/{frame_index}',
            'uid': uid,
            'subset': self.subset,
            'sound_sources': (
                *filter(None, [item['category']]),
                recording_of(name),
            ),
        }

    def _folder(self, *names: str) -> str:
        """Make a path under the folder of the data."""
        return osp.join(self.data_root, f'{self.subset}_data', *names)
