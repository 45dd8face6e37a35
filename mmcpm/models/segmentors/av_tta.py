"""Test-time augmentation: one prediction from several views of a frame."""

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample


def shows_the_frame(view: SegDataSample) -> bool:
    """Tell whether a view's label, if any, is that of the frame as stored.

    Args:
        view (SegDataSample): One augmented view.

    Returns:
        bool: False if it is mirrored, or if its label was resized with it.
    """
    if view.metainfo.get('flip'):
        return False
    return (
        'gt_sem_seg' not in view
        or view.gt_sem_seg.shape == view.metainfo['ori_shape']
    )


class ScoreMean:
    """Mean of the class scores of the views of one frame."""

    def __init__(self) -> None:
        self.total = None
        self.count = 0
        self.path = None
        self.sample = None

    def add(self, view: SegDataSample) -> None:
        """Take a view's scores out of it and add them.

        Args:
            view (SegDataSample): With ``seg_logits`` ``[classes, h, w]``, not
                mirrored any more and of the frame's size.
        """
        scores = view.seg_logits.data
        del view.seg_logits
        if self.count == 0:
            self.total = scores
        elif self.count == 1:  # The first scores may be someone else's.
            self.total = self.total + scores
        else:
            self.total += scores
        self.count += 1
        self.path = view.metainfo.get('img_path', 'the frame')
        if self.sample is None and shows_the_frame(view):
            self.sample = view

    def result(self) -> SegDataSample:
        """Predict from the mean.

        Returns:
            SegDataSample: That of the view that shows the frame as it is,
            with the mean ``seg_logits`` and their ``pred_sem_seg``.

        Raises:
            ValueError: If there was no such view.
        """
        if self.sample is None:
            raise ValueError(
                f'No view shows {self.path} as it is: all are mirrored, or '
                'their labels were resized with them. Keep a view with '
                "dict(type='RandomFlip', prob=0.0) and a scale_factor of 1.0 "
                'in tta_pipeline.'
            )
        scores = self.total / self.count
        prediction = scores.argmax(dim=0, keepdim=True)
        self.sample.set_data(
            {
                'seg_logits': PixelData(data=scores),
                'pred_sem_seg': PixelData(data=prediction),
            }
        )
        return self.sample


@MODELS.register_module()
class AVSegTTAModel(BaseTTAModel):
    """Averages the class scores of all views, then takes the largest.

    The segmentor turns every view back and resizes its scores to the size of
    the frame. A score is a sum of probabilities already
    (``sum_n p_n(c) sigmoid(mask_n)``), so it is averaged as it is; mmseg's
    ``SegTTAModel`` would put it through another softmax. Views are added up
    one by one: memory does not grow with their number.

    A mirrored view needs its sound mirrored: the pipeline holds
    ``SwapStereoOnFlip`` after ``RandomFlip`` (mono sound is left alone).

    The result has the fields of the segmentor's. The label, the meta
    information and what a head predicts beside the scores are those of the
    view that shows the frame as it is, neither mirrored nor resized. It has
    to be among the views; where each branch loads the label after resizing,
    an unmirrored view suffices.

    Args:
        module (dict or nn.Module): The segmentor, of two or more classes.
        data_preprocessor (dict, optional): Replaces the segmentor's.
    """

    def __init__(self, module, data_preprocessor=None) -> None:
        super().__init__(module, data_preprocessor)
        if self.module.out_channels < 2:
            raise ValueError(
                'AVSegTTAModel averages the scores of two or more classes, '
                f'but the segmentor has {self.module.out_channels} output '
                'channel. Count the background as a class (num_classes=2).'
            )

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Segment a batch of frames from all their views.

        Args:
            data (dict): ``inputs`` and ``data_samples``, each a list over
                views of lists over frames, as ``TestTimeAug`` and
                ``pseudo_collate`` give them.

        Returns:
            list[SegDataSample]: One per frame, with ``pred_sem_seg``
            ``[1, h, w]`` and the mean ``seg_logits`` ``[classes, h, w]``.
        """
        means = None
        for number in range(len(data['inputs'])):
            view = {key: values[number] for key, values in data.items()}
            samples = self.module.test_step(view)
            if means is None:
                means = [ScoreMean() for _ in samples]
            for mean, sample in zip(means, samples, strict=True):
                mean.add(sample)
        return [mean.result() for mean in means]

    def merge_preds(
        self, data_samples_list: list[list[SegDataSample]]
    ) -> list[SegDataSample]:
        """Merge predictions of the views of each frame.

        Args:
            data_samples_list (list[list[SegDataSample]]): Over frames, the
                predictions of all views. They lose their scores.

        Returns:
            list[SegDataSample]: As :meth:`test_step` gives them.
        """
        merged = []
        for views in data_samples_list:
            mean = ScoreMean()
            for view in views:
                mean.add(view)
            merged.append(mean.result())
        return merged
