"""VPO, "visual post-production": images of COCO with sounds of VGGSound.

Chen et al., "Unraveling Instance Associations: A Closer Look for Audio-Visual
Segmentation" (CAVP), CVPR 2024; layout as distributed by
https://github.com/cyh-0/CAVP.
"""

import functools
import logging
import os.path as osp
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmseg.registry import DATASETS

from mmcpm.utils.errors import shorten

from .base_avs_dataset import BaseAVSDataset
from .errors import DatasetIndexError
from .metadata.class_file import voc_palette
from .metadata.index_table import (
    SPLITS,
    check_present,
    check_root,
    read_text,
)
from .metadata.vpo import (
    TEST,
    TRAIN,
    VPOClip,
    VPOImage,
    held_out_images,
    read_reorganised_index,
    read_vpo_index,
)

SUBSETS = ('ss', 'ms', 'msmi')
LAYOUTS = ('original', 'reorganised')
REORGANISED_INDEX = 'vpo_data_clean.csv'
# Of a dataset with other classes than VPO's; build_vpo.py --classes writes it.
CLASS_LIST = 'classes.txt'
# Which training images are held out is the same for everyone.
HOLDOUT_SEED = 0
AUDIO_SUFFIXES = ('.wav', '.flac', '.ogg', '.mp3')

# Ids of COCO's categories in the mask files, and three of VPO's own for parts
# of 'person': male 92, female 93, baby 94.
# fmt: off
COCO_IDS = {
    0: 'background', 3: 'car', 4: 'motorcycle', 5: 'airplane', 6: 'bus',
    16: 'bird', 17: 'cat', 18: 'dog', 19: 'horse', 20: 'sheep', 21: 'cow',
    22: 'elephant', 24: 'zebra', 37: 'sports ball', 41: 'skateboard',
    43: 'tennis racket', 74: 'mouse', 76: 'keyboard', 77: 'cell phone',
    92: 'male', 93: 'female', 94: 'baby',
}
# fmt: on


@DATASETS.register_module()
class VPODataset(BaseAVSDataset):
    """VPO, one image with the sounds of its sounding objects per sample.

    .. code-block:: none

        data_root/
        ├── VPO-SS/                  one sounding object
        │   ├── vpo_ss_data_stereo.csv
        │   ├── data/<category>/<image>.jpg
        │   └── mask/<category>/<image>_<object>.png
        ├── VPO-MS/                  several, of different classes
        │   ├── vpo_ms_data_stereo.csv
        │   ├── data/<image>.jpg
        │   └── mask/<image>.png
        ├── VPO-MSMI/                and several instances of a class;
        │   ├── vpo_msmi_data_stereo.csv     its rows with multi_instance 0
        │   ├── data/<image>.jpg             speak of files in VPO-MS
        │   └── mask/<image>.png
        └── vggsound_bench/VGGSound/audios/<recording>.wav

    Load masks with ``LoadTranslatedAnnotations`` (they hold ids of COCO's
    categories) and sound with ``LoadSoundSources``.

    **VPO has no validation split.** What its files call 'val' is what the
    papers test on, and is ``split='test'`` here. To choose a model, a share
    of the training images is held out: ``split='val'`` serves it, and
    ``split='train'`` the others. With ``holdout=0`` the training is on all
    images, as published, and nothing is left to choose by. All objects of an
    image are held out together, but a recording may be heard in both.

    Args:
        data_root (str): Folder of the dataset.
        subset (str): 'ss', 'ms' or 'msmi'.
        split (str): 'train', 'val' (held out of train) or 'test' (the
            files' 'val'). Defaults to 'train'.
        holdout (float): Share of the training images that are held out; must
            be the same for 'train' and 'val'. Defaults to 0.1.
        layout (str): 'original', as above, or 'reorganised', as DDESeg ships
            it: ``vpo_data_clean.csv`` and, in ``VPO-SS/<uid>/`` and so on,
            ``frames/``, ``labels_semantic/`` with class ids,
            ``stereo_audio.wav`` and ``mono_audio.wav``. Defaults to
            'original'.
        audio_root (str): Folder of the recordings, absolute or under
            ``data_root``. Defaults to 'vggsound_bench/VGGSound/audios'.
        metadata_file (str, optional): Defaults to None: the file of the
            subset.
        test_mode (bool): Whether samples are for evaluation. Defaults to
            False.
        kwargs: ``skip_unreadable`` and ``class_file`` of ``BaseAVSDataset``
            (a ``classes.txt`` in a local data root is read by itself; with
            a class list, masks hold class ids instead of COCO's);
            ``pipeline``, ``indices``, ``lazy_init`` and the others of
            ``BaseSegDataset``.
    """

    METAINFO = {
        'classes': (
            'background', 'airplane', 'baby', 'bird', 'bus', 'car', 'cat',
            'cell phone', 'cow', 'dog', 'elephant', 'female', 'horse',
            'keyboard', 'male', 'motorcycle', 'mouse', 'sheep', 'skateboard',
            'sports ball', 'tennis racket', 'zebra',
        ),
        'palette': voc_palette(22),
    }  # fmt: skip

    def __init__(
        self,
        *,
        data_root: str,
        subset: str,
        split: str = 'train',
        holdout: float = 0.1,
        layout: str = 'original',
        audio_root: str = 'vggsound_bench/VGGSound/audios',
        metadata_file: str | None = None,
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        for name, value, accepted in (
            ('subset', subset, SUBSETS),
            ('split', split, SPLITS),
            ('layout', layout, LAYOUTS),
        ):
            if value not in accepted:
                raise ValueError(
                    f'{name} must be one of {accepted}, got {value!r}'
                )
        if not 0 <= holdout < 1 or (split == 'val' and holdout == 0):
            raise ValueError(
                f'holdout={holdout} with split={split!r}: expected a share '
                "from 0 to below 1, and above 0 for 'val', which is held out "
                'of the training images: VPO has no validation split'
            )
        self.subset, self.split, self.layout = subset, split, layout
        self.holdout = holdout
        self.audio_root = osp.join(data_root or '', audio_root)
        folder = f'VPO-{subset.upper()}'
        published = osp.join(folder, f'vpo_{subset}_data_stereo.csv')
        if layout == 'reorganised':
            published = REORGANISED_INDEX
        super().__init__(
            ann_file=metadata_file or published,
            data_root=data_root or '',
            test_mode=test_mode,
            **kwargs,
        )

    @classmethod
    def class_path(cls, settings: Mapping[str, Any]) -> str | None:
        """Tell where the class list lies; see ``BaseAVSDataset``."""
        root = settings.get('data_root')
        if root and not settings.get('class_file'):
            present = osp.join(root, CLASS_LIST)
            return present if osp.isfile(present) else None
        return super().class_path(settings)

    @functools.cached_property
    def label_values(self) -> dict[int, int]:
        """dict[int, int]: Class id by value in the masks.

        COCO's ids are those of VPO's own classes; a class list of one's own
        has no others than its class ids, as the re-organized form.
        """
        classes = self.METAINFO['classes']
        if self.layout == 'reorganised' or self.class_file:
            return {i: i for i in range(len(classes))}
        return {value: classes.index(n) for value, n in COCO_IDS.items()}

    def load_data_list(self) -> list[dict]:
        """Read the index file and check what lies beside it.

        Returns:
            list[dict]: One item per sample, in the order of the index file.

        Raises:
            DatasetNotFoundError: If the data root, the index file, a folder
                or a recording is missing (local storage only).
            DatasetIndexError: If the index file is not as expected, or no
                image is left.
        """
        if self.is_local:
            index_file = osp.relpath(self.ann_file, self.data_root or '.')
            kind = f'VPO-{self.subset.upper()}/ with data/ and mask/'
            if self.layout == 'reorganised':
                kind = f'VPO-{self.subset.upper()}/<uid>/'
            check_root(
                self.data_root, [index_file], f'{index_file} and {kind}'
            )
        text = read_text(self.ann_file, self.backend_args)
        if self.layout == 'reorganised':
            rows = read_reorganised_index(text, self.ann_file)
            rows = [r for r in rows if r.folder[4:].lower() == self.subset]
        else:
            rows = read_vpo_index(text, self.ann_file, self.subset)
        selected = self._select(rows)
        if self.layout == 'reorganised':
            items = [self._clip_item(clip) for clip in selected]
        else:
            items = [self._image_item(image) for image in selected]
        if self.is_local:
            self._check_folders(items)
        return items

    def _select(self, rows: list) -> list:
        """Choose the rows of the split; tell of images in both splits."""
        images = {
            split: {row.image for row in rows if row.split == split}
            for split in (TRAIN, TEST)
        }
        if shared := sorted(images[TRAIN] & images[TEST]):
            print_log(
                f'{self.ann_file}: {len(shared)} images are in train and in '
                f"'val', which is tested: {shorten(shared)}.",
                logger='current',
                level=logging.WARNING,
            )
        wanted = images[TEST if self.split == 'test' else TRAIN]
        if self.split != 'test':
            held_out = held_out_images(wanted, self.holdout, HOLDOUT_SEED)
            wanted = held_out if self.split == 'val' else wanted - held_out
        split = TEST if self.split == 'test' else TRAIN
        chosen = [r for r in rows if r.split == split and r.image in wanted]
        if not chosen:
            raise DatasetIndexError(
                f'{self.ann_file}: no sample of VPO-{self.subset.upper()} is '
                f'left for split={self.split!r} with holdout={self.holdout} '
                f"(of {len(rows)}; split='test' is what the file calls "
                "'val'). Choose another split or share."
            )
        return chosen

    @staticmethod
    def _image_item(image: VPOImage) -> dict:
        """Make the item of the data list that stands for an image."""
        return {
            'uid': image.name,
            'frames': (0,),
            'folder': image.folder,
            'image': osp.join(image.category, image.image),
            'sources': tuple(tuple(source) for source in image.sources),
        }

    @staticmethod
    def _clip_item(clip: VPOClip) -> dict:
        """Make the item that stands for a row of the re-organized form."""
        return {
            'uid': f'{clip.uid}/{osp.splitext(clip.frame)[0]}',
            'frames': (0,),
            'folder': osp.join(clip.folder, clip.uid),
            'image': clip.frame,
            'mask': clip.mask,
        }

    def _check_folders(self, items: list[dict]) -> None:
        """Look for the folders of the images and for all recordings."""
        check_present(
            [
                osp.dirname(self.frame_info(item, 0)[key])
                for item in items
                for key in ('img_path', 'seg_map_path')
            ],
            'folders of images and masks',
            'VPO-MSMI needs VPO-MS beside it. Unpack the dataset again.',
            are_folders=True,
        )
        if self.layout == 'original':
            check_present(
                [
                    self._recording(name)
                    for item in items
                    for name, _ in item['sources']
                ],
                'recordings',
                'Unpack vggsound_bench there, or set audio_root of the '
                'dataset, or remove the rows that name them.',
            )

    def frame_info(self, item: dict, frame_index: int) -> dict:
        """Describe an image.

        Returns:
            dict: ``img_path``, ``seg_map_path``, ``audio_path``,
            ``label_values``, ``sample_id``, ``uid``, ``subset`` and, in the
            original layout, ``audio_sources`` and ``sound_sources`` (the
            names of the recordings).
        """
        folder = self._join(item['folder'])
        info = {
            'sample_id': f'{item["uid"]}/{frame_index}',
            'uid': item['uid'],
            'subset': self.subset,
            'label_values': self.label_values,
        }
        if self.layout == 'reorganised':
            return info | {
                'img_path': osp.join(folder, 'frames', item['image']),
                'seg_map_path': osp.join(
                    folder, 'labels_semantic', item['mask']
                ),
                'audio_path': osp.join(folder, 'stereo_audio.wav'),
                'mono_audio_path': osp.join(folder, 'mono_audio.wav'),
            }
        sources = [
            (self._recording(name), position)
            for name, position in item['sources']
        ]
        return info | {
            'img_path': osp.join(
                folder, 'data', item['image'] + self.img_suffix
            ),
            'seg_map_path': osp.join(
                folder, 'mask', item['uid'] + self.seg_map_suffix
            ),
            'audio_path': sources[0][0],
            'audio_sources': sources,
            'sound_sources': tuple(name for name, _ in item['sources']),
        }

    def _recording(self, name: str) -> str:
        """Path of a recording; the index files name it without suffix."""
        suffix = '' if name.endswith(AUDIO_SUFFIXES) else '.wav'
        return osp.join(self.audio_root, name + suffix)
