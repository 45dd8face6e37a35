"""Which classes sound in a frame, and so are prompted."""

from collections.abc import Iterable

import torch
from mmseg.structures import SegDataSample

from ..losses.point_sampling import classes_present

LABEL_SOURCES = ('full', 'crop')


class SoundingClasses:
    """Reads the classes to prompt off the data, to be mixed into a head.

    Uses the head's ``label_source``, ``ignore_index`` and
    ``check_classes``.
    """

    label_source: str

    def sounding_classes(
        self,
        batch_data_samples: list[SegDataSample],
        visible: list[list[int]] | None = None,
    ) -> list[list[int]]:
        """Classes to prompt, per image.

        Args:
            batch_data_samples (list[SegDataSample]): With ``audio_labels``
                in the meta information (of the whole frame) or
                ``gt_sem_seg`` (of the crop).
            visible (list[list[int]], optional): Classes in ``gt_sem_seg`` of
                each, where they are known already.

        Returns:
            list[list[int]]: Sorted class ids.

        Raises:
            KeyError: If ``audio_labels`` are needed and missing.
            ValueError: If a class id is out of range.
        """
        if self.label_source == 'crop' and visible is None:
            visible = classes_present(
                torch.cat([s.gt_sem_seg.data for s in batch_data_samples]),
                self.ignore_index,
            )
        classes = []
        for index, data_sample in enumerate(batch_data_samples):
            if self.label_source == 'full':
                if 'audio_labels' not in data_sample.metainfo:
                    raise KeyError(
                        "label_source='full' needs audio_labels, which "
                        'RecordSoundingClasses adds to the pipeline before '
                        'the crop.'
                    )
                found = list(data_sample.metainfo['audio_labels'])
            else:
                found = visible[index]
            classes.append(self.known_classes(found, data_sample.metainfo))
        return classes

    def known_classes(self, found: Iterable[int], meta: dict) -> list[int]:
        """Keep foreground classes; refuse those out of range.

        Args:
            found (Iterable[int]): Class ids of a frame.
            meta (dict): Its meta information.

        Returns:
            list[int]: Without background and what is to be ignored.

        Raises:
            ValueError: Names the frame and the class ids.
        """
        kept = [k for k in found if k not in (0, self.ignore_index)]
        self.check_classes(kept, meta)
        return kept

    def accounted_for(
        self,
        batch_data_samples: list[SegDataSample],
        prompted: list[list[int]],
    ) -> list[bool]:
        """Tell for which images every class that sounds is prompted.

        Args:
            batch_data_samples (list[SegDataSample]): With ``audio_labels``.
            prompted (list[list[int]]): Classes that are prompted, per image.

        Returns:
            list[bool]: Per image.
        """
        return [
            set(
                self.known_classes(
                    sample.metainfo.get('audio_labels', ()), sample.metainfo
                )
            )
            <= set(classes)
            for sample, classes in zip(
                batch_data_samples, prompted, strict=True
            )
        ]
