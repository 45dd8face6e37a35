"""AVSBench-Semantic (AVSS): 70 sounding classes and background.

Zhou et al., "Audio-Visual Segmentation with Semantics", IJCV 2024; layout as
distributed by https://github.com/OpenNLPLab/AVSBench.
"""

import os.path as osp
from collections import Counter
from collections.abc import Sequence

from mmseg.registry import DATASETS

from .base_avs_dataset import BaseAVSDataset
from .errors import DatasetNotFoundError
from .frame_sampling import choose_sampling, make_items
from .metadata.avsbench_semantic import (
    LAYOUT,
    Clip,
    check_label_index,
    check_selection,
    read_metadata,
    recording_of,
)
from .metadata.class_file import voc_palette
from .metadata.index_table import check_present, check_root, read_text

SOURCES = ('ss', 'ms')


@DATASETS.register_module()
class AVSBenchSemanticDataset(BaseAVSDataset):
    """AVSBench-Semantic, one labeled frame per sample.

    .. code-block:: none

        data_root/
        ├── metadata.csv       vid,uid,s_min,s_sec,a_obj,split,label
        ├── label2idx.json
        └── v1s, v1m, v2/      the subset: column ``label``
            └── <uid>/
                ├── frames/0.jpg ...           5 (v1s, v1m) or 10 (v2)
                ├── labels_semantic/0.png ...  class ids
                └── audio.wav                  one second per frame

    Every frame is labeled, but in the training clips of v1s only the first.

    Args:
        data_root (str): Folder of the dataset.
        split (str): 'train', 'val' or 'test'. Defaults to 'train'.
        subset (str or Sequence[str], optional): Keep only clips of the
            subsets 'v1s', 'v1m', 'v2', and only clips with one ('ss') or
            several ('ms') sounding classes. Names of the two kinds together
            select the intersection. Defaults to None: all clips.
        frame_sampling (str, optional): 'random': one sample per clip, a
            labeled frame drawn anew whenever it is visited. 'all': one
            sample per labeled frame. Defaults to None: 'random' for
            training on 'train', 'all' otherwise, where it is the only choice.
        metadata_file (str): Defaults to 'metadata.csv'.
        label_index_file (str, optional): None skips its check. Defaults to
            'label2idx.json'.
        test_mode (bool): Whether samples are for evaluation. Defaults to
            False.
        kwargs: ``skip_unreadable`` of ``BaseAVSDataset``;
            ``pipeline``, ``indices``, ``lazy_init``, ``serialize_data``,
            ``max_refetch``, ``metainfo``, ``backend_args`` and the others of
            ``BaseSegDataset``.
    """

    # fmt: off
    METAINFO = {
        'classes': (
            'background', 'accordion', 'airplane', 'axe', 'baby', 'bassoon',
            'bell', 'bird', 'boat', 'boy', 'bus', 'car', 'cat', 'cello',
            'clarinet', 'clipper', 'clock', 'dog', 'donkey', 'drum', 'duck',
            'elephant', 'emergency-car', 'erhu', 'flute', 'frying-food',
            'girl', 'goose', 'guitar', 'gun', 'guzheng', 'hair-dryer',
            'handpan', 'harmonica', 'harp', 'helicopter', 'hen', 'horse',
            'keyboard', 'leopard', 'lion', 'man', 'marimba', 'missile-rocket',
            'motorcycle', 'mower', 'parrot', 'piano', 'pig', 'pipa', 'saw',
            'saxophone', 'sheep', 'sitar', 'sorna', 'squirrel', 'tabla',
            'tank', 'tiger', 'tractor', 'train', 'trombone', 'truck',
            'trumpet', 'tuba', 'ukulele', 'utv', 'vacuum-cleaner', 'violin',
            'wolf', 'woman',
        ),
        'palette': voc_palette(71),
    }
    # fmt: on

    # Folder name -> frames per clip, one per second.
    FRAMES_PER_CLIP = {'v1s': 5, 'v1m': 5, 'v2': 10}

    def __init__(
        self,
        *,
        data_root: str,
        split: str = 'train',
        subset: str | Sequence[str] | None = None,
        frame_sampling: str | None = None,
        metadata_file: str = 'metadata.csv',
        label_index_file: str | None = 'label2idx.json',
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        self.frame_sampling = choose_sampling(frame_sampling, split, test_mode)
        self.split, self.subset = split, self._parse_subset(subset)
        self.label_index_file = label_index_file
        super().__init__(
            ann_file=metadata_file,
            data_root=data_root or '',
            test_mode=test_mode,
            **kwargs,
        )

    def _parse_subset(
        self, subset: str | Sequence[str] | None
    ) -> tuple[str, ...]:
        """Check the names of the wanted subsets."""
        if subset is None:
            return ()
        names = (subset,) if isinstance(subset, str) else tuple(subset)
        accepted = (*self.FRAMES_PER_CLIP, *SOURCES)
        if not names or set(names) - set(accepted):
            raise ValueError(
                f'subset must be None, one of {accepted} or a sequence of '
                f'them, got {subset!r}'
            )
        return names

    def _is_wanted(self, clip: Clip) -> bool:
        """Tell whether a clip belongs to the split and the subsets."""
        folders = [name for name in self.subset if name not in SOURCES]
        sources = [name for name in self.subset if name in SOURCES]
        return (
            clip.split == self.split
            and (not folders or clip.subset in folders)
            and (not sources or clip.sources in sources)
        )

    def labeled_frames(self, clip: Clip) -> range:
        """List the frames of a clip that have a label map."""
        only_first = (clip.subset, clip.split) == ('v1s', 'train')
        return range(1 if only_first else self.FRAMES_PER_CLIP[clip.subset])

    def load_data_list(self) -> list[dict]:
        """Read the metadata and check what lies beside it.

        Returns:
            list[dict]: One item per sample, in the order of the metadata and
            by frame: fields of the clip and ``frames``.

        Raises:
            DatasetNotFoundError: If the data root, an index file or the
                folder of a clip is missing (local storage only).
            DatasetIndexError: If an index file is not as expected, or no
                clip is left.
        """
        index_files = [self.ann_file]
        if self.label_index_file:
            index_files.append(self._join(self.label_index_file))
        if self.is_local:
            root = self.data_root or '.'
            names = [osp.relpath(file, root) for file in index_files]
            check_root(self.data_root, names, LAYOUT)
        texts = [read_text(file, self.backend_args) for file in index_files]
        if self.label_index_file:
            check_label_index(
                texts[1],
                index_files[1],
                self.METAINFO['classes'],
                type(self).__name__,
            )
        rows = read_metadata(
            texts[0], self.ann_file, tuple(self.FRAMES_PER_CLIP)
        )
        clips = [clip for clip in rows if self._is_wanted(clip)]
        check_selection(
            clips,
            rows,
            self.ann_file,
            f'split={self.split!r} and subset={self.subset or None}',
        )
        if self.is_local:
            self._check_folders(clips)
        items = []
        for clip in clips:
            frames = self.labeled_frames(clip)
            items += make_items(clip._asdict(), frames, self.frame_sampling)
        return items

    def _check_folders(self, clips: list[Clip]) -> None:
        """Look for the folders of the subsets and of all clips."""
        numbers = Counter(clip.subset for clip in clips)
        for subset, number in sorted(numbers.items()):
            folder = osp.abspath(self._join(subset))
            if not osp.isdir(folder):
                raise DatasetNotFoundError(
                    f'No folder {folder}, which holds {number} clips of the '
                    'metadata. Unpack that part of the dataset, or leave it '
                    "out with the dataset's argument subset."
                )
        check_present(
            [self._join(clip.subset, clip.uid) for clip in clips],
            'clip folders',
            'Unpack the dataset again, or remove their rows from the '
            'metadata.',
            are_folders=True,
        )

    def clip_frames(self, item: dict) -> range:
        """List the frames of a clip, labeled or not."""
        return range(self.FRAMES_PER_CLIP[item['subset']])

    def frame_info(self, item: dict, frame_index: int) -> dict:
        """Describe one frame of a clip.

        Returns:
            dict: Paths of frame, label map and audio, ``sample_id``,
            ``uid``, ``subset``, ``sources`` and ``sound_sources`` (the names
            in ``a_obj`` and the video).
        """
        uid, subset = item['uid'], item['subset']
        folder = self._join(subset, uid)
        frame = f'{frame_index}{self.img_suffix}'
        label = f'{frame_index}{self.seg_map_suffix}'
        return {
            'img_path': osp.join(folder, 'frames', frame),
            'seg_map_path': osp.join(folder, 'labels_semantic', label),
            'audio_path': osp.join(folder, 'audio.wav'),
            'sample_id': f'{uid}/{frame_index}',
            'uid': uid,
            'subset': subset,
            'sources': item['sources'],
            'sound_sources': (*item['names'], recording_of(uid)),
        }
