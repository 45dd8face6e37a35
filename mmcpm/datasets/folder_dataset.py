"""A plain folder of frames, labels and sounds as a dataset."""

import os.path as osp

from mmseg.registry import DATASETS

from .base_avs_dataset import BaseAVSDataset
from .errors import DatasetIndexError
from .metadata.folder import PARTS, REMEDIES, list_files, pair_files

SHOWN = 5  # Faults that a message names.


@DATASETS.register_module()
class AVSFolderDataset(BaseAVSDataset):
    """Data of one's own: files of the same name belong together.

    .. code-block:: none

        data_root/
        ├── classes.txt          one class per line, maybe 'name r g b'
        └── <split>/             train, val, test
            ├── frames/x.jpg     or of a clip: <clip>/0.jpg, <clip>/1.jpg ...
            ├── labels/x.png     <clip>/0.png ...: class ids, 0 is background
            └── audio/x.wav      <clip>.wav for all its frames, or
                                 <clip>/0.wav ...: one for each

    Label files hold the line of a class in ``classes.txt`` from 1 on, or from
    0 if the first line is ``background``; 255 is ignored. A sound of its own
    is heard from its beginning; of the sound of a clip, every frame hears
    what begins when it is shown: one frame per second.

    Args:
        data_root (str): Folder of the dataset.
        split (str): Name of the folder of the split. Defaults to 'train'.
        frames_per_second (float, optional): Rate that the numbers of the
            frames count in: frame ``n`` is shown at ``n /
            frames_per_second`` seconds of its clip's sound. Defaults to None:
            one per second, numbered without gaps from 0 or 1.
        kwargs: ``class_file`` (by default 'classes.txt'),
            ``skip_unreadable`` and ``test_mode`` of ``BaseAVSDataset``;
            ``pipeline``, ``metainfo``, ``indices``, ``backend_args`` and the
            others of ``BaseSegDataset``.
    """

    CLASS_FILE = 'classes.txt'

    def __init__(
        self,
        *,
        data_root: str,
        split: str = 'train',
        frames_per_second: float | None = None,
        **kwargs,
    ) -> None:
        if frames_per_second is not None and not frames_per_second > 0:
            raise ValueError(
                'frames_per_second must be a positive number or None, got '
                f'{frames_per_second}'
            )
        self.split, self.frames_per_second = split, frames_per_second
        super().__init__(data_root=data_root or '', **kwargs)

    def load_data_list(self) -> list[dict]:
        """Look at the files of the split.

        Returns:
            list[dict]: One item per frame, by clip and number.

        Raises:
            DatasetNotFoundError: If a folder is missing.
            DatasetIndexError: If files do not go together, or there are none.
        """
        root = osp.join(self.data_root, self.split)
        samples, faults = pair_files(
            {
                p: list_files(osp.join(root, p), self.backend_args)
                for p in PARTS
            },
            self.frames_per_second,
        )
        faults = [fault for fault in faults if fault.kind != 'extra']
        if faults or not samples:
            told = [f'{osp.join(root, f.file)}: {f.what}' for f in faults]
            if len(told) > SHOWN:
                told[SHOWN:] = [f'and {len(told) - SHOWN} more']
            kinds = dict.fromkeys(f.kind for f in faults)
            raise DatasetIndexError(
                '\n'.join(
                    [
                        f'{root}: {len(faults)} faults among the files of '
                        f'{len(samples)} complete samples.',
                        *told,
                        *(REMEDIES[kind] for kind in kinds or ['unpaired']),
                        'All are listed by: python tools/dataset_converters/'
                        f'folder.py {self.data_root} --check',
                    ]
                )
            )
        return [dict(s._asdict(), frames=(i,)) for i, s in enumerate(samples)]

    def frame_info(self, item: dict, frame_index: int) -> dict:
        """Describe a frame.

        Returns:
            dict: Paths of frame, label, sound and class list,
            ``audio_start``, ``sample_id``, ``uid`` and ``sound_sources``
            (the clip).
        """
        root = osp.join(self.data_root, self.split)
        return {
            'img_path': osp.join(root, item['frame']),
            'seg_map_path': osp.join(root, item['label']),
            'audio_path': osp.join(root, item['sound']),
            'audio_start': item['start'],
            'sample_id': f'{item["uid"]}/{item["name"]}',
            'uid': item['uid'],
            'sound_sources': (item['uid'],),
            'class_file': self.class_file,
        }
