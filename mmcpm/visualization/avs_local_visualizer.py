"""One picture of a frame: image, sound, labels and prediction."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmcpm.utils.io import write_whole

from .drawing import (
    IGNORED,
    PAPER,
    overlay_classes,
    spectrogram_strip,
    text_block,
)

MARGIN = 12
# A panel is brought to this width in pixels, and to no more than this height.
PANEL_WIDTHS = (300, 640)
PANEL_HEIGHT = 640


@VISUALIZERS.register_module()
class AVSLocalVisualizer(SegLocalVisualizer):
    """Draws frame, truth and prediction side by side above the sound.

    Unlike mmseg's visualizer it leaves the background untouched, names the
    classes in a legend and does not assume a dataset: classes and palette
    come from ``dataset_meta``, which the Runner sets.

    Args:
        name (str): Name of the instance.
        vis_backends (list[dict], optional): Backends that store pictures and
            scalars.
        save_dir (str, optional): Folder of the backends.
        classes (Sequence[str], optional): Names of the classes.
        palette (Sequence, optional): RGB colors of the classes.
        alpha (float): Opacity of the classes' colors, 0 to 1.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        vis_backends: list[dict] | None = None,
        save_dir: str | None = None,
        *,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        alpha: float = 0.6,
        **kwargs,
    ) -> None:
        super().__init__(
            name,
            vis_backends=vis_backends,
            save_dir=save_dir,
            alpha=alpha,
            **kwargs,
        )
        # Replaces the classes of Cityscapes, which mmseg falls back on.
        self.dataset_meta = {'classes': classes, 'palette': palette}

    @property
    def dataset_meta(self) -> dict | None:
        """Optional[dict]: ``classes`` and ``palette`` of the dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        # mmengine sets it on the first rank only, but every rank draws.
        self._dataset_meta = dataset_meta

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool = True,
        audio: torch.Tensor | np.ndarray | None = None,
    ) -> None:
        """Draw a frame and show it, save it or hand it to the backends.

        Every rank saves its own files; windows and backends belong to the
        first one.

        Args:
            name (str): Title of the picture.
            image (np.ndarray): Frame, RGB, uint8, shape (H, W, 3).
            data_sample (SegDataSample, optional): See :meth:`draw_clip`.
            draw_gt (bool): Whether to draw ``gt_sem_seg``.
            draw_pred (bool): Whether to draw ``pred_sem_seg``.
            show (bool): Whether to open a window.
            wait_time (float): Seconds it stays; 0 waits for a key.
            out_file (str, optional): Save the picture here (PNG or JPEG).
                Backends get it if it is neither saved nor shown.
            step (int): Counter for the backends.
            with_labels (bool): Not used: the classes stand in the legend.
            audio (Tensor | ndarray, optional): See :meth:`draw_clip`.
        """
        picture = self.draw_clip(
            image,
            data_sample,
            audio=audio,
            title=name,
            draw_gt=draw_gt,
            draw_pred=draw_pred,
        )
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            suffix = '.jpg' if str(out_file).endswith('.jpg') else '.png'
            _, encoded = cv2.imencode(suffix, picture[..., ::-1])
            write_whole(out_file, encoded.tobytes())
        elif not show:
            self.add_image(name, picture, step)

    def draw_clip(
        self,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        *,
        audio: torch.Tensor | np.ndarray | None = None,
        title: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
    ) -> np.ndarray:
        """Draw a frame with its truth, its prediction and its sound.

        Args:
            image (np.ndarray): Frame, RGB, uint8, shape (H, W, 3).
            data_sample (SegDataSample, optional): May hold ``gt_sem_seg``,
                ``pred_sem_seg`` (``data`` of shape (1, H, W)), ``audio`` and
                the metainfo ``audio_labels`` and ``sample_rate``.
            audio (Tensor | ndarray, optional): Waveform, float, shape
                (channels, samples), where the data sample does not hold it.
            title (str): First line of the picture.
            draw_gt (bool): As of :meth:`add_datasample`.
            draw_pred (bool): As of :meth:`add_datasample`.

        Returns:
            np.ndarray: RGB, uint8, at least 900 pixels wide.
        """
        data_sample = SegDataSample() if data_sample is None else data_sample
        maps = {}
        if draw_gt and 'gt_sem_seg' in data_sample:
            maps['labeled'] = data_sample.gt_sem_seg
        if draw_pred and 'pred_sem_seg' in data_sample:
            maps['predicted'] = data_sample.pred_sem_seg
        maps = {
            heading: field.data.cpu().numpy().reshape(field.shape[-2:])
            for heading, field in maps.items()
        }
        panels = self._panels(image, maps)
        width = max(panels.shape[1], 3 * PANEL_WIDTHS[0])
        size = int(np.clip(width / 60, 16, 26))
        rows = [text_block([(title, None)], width, size)] if title else []
        rows += [
            _widen(panels, width),
            *self._words(maps, data_sample.get('audio_labels'), width, size),
        ]
        if audio is None:
            audio = data_sample.get('audio')
        if audio is not None:
            rate = data_sample.get('sample_rate', 16000)
            rows += sound_rows(audio, rate, width, size)
        picture = np.concatenate(rows)
        return np.pad(
            picture,
            ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)),
            constant_values=PAPER[0],
        )

    def _panels(
        self, image: np.ndarray, maps: dict[str, np.ndarray]
    ) -> np.ndarray:
        """Set the frame and its overlays side by side under headings."""
        height, width = image.shape[:2]
        scale = np.clip(width, *PANEL_WIDTHS) / width
        scale = min(scale, PANEL_HEIGHT / height)
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        shrinks = scale < 1
        frame = cv2.resize(
            image,
            shape,
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
        )
        panels = {'frame': frame}
        for heading, labels in maps.items():
            labels = cv2.resize(
                labels.astype(np.int32), shape, interpolation=cv2.INTER_NEAREST
            )
            panels[heading] = overlay_classes(
                frame, labels, self._meta('palette'), self.alpha
            )
        size = int(np.clip(3 * shape[0] / 60, 16, 26))
        columns = []
        for heading, panel in panels.items():
            words = text_block([(heading, None)], shape[0], size)
            columns += [np.concatenate([words, panel])]
        gap = np.full((len(columns[0]), MARGIN, 3), PAPER, np.uint8)
        spaced = [piece for column in columns for piece in (gap, column)]
        return np.concatenate(spaced[1:], axis=1)

    def _words(
        self,
        maps: dict[str, np.ndarray],
        audio_labels: Sequence[int] | None,
        width: int,
        size: int,
    ) -> list[np.ndarray]:
        """Name the classes that are labeled as sounding and predicted."""
        rows = []
        for heading, labels in maps.items():
            classes, counts = np.unique(labels, return_counts=True)
            shares = dict(zip(classes.tolist(), counts, strict=True))
            chosen = [c for c in shares if c not in (0, IGNORED)]
            if heading == 'labeled' and audio_labels is not None:
                # They name what the crop or the frame does not show, too.
                chosen = sorted({*chosen, *map(int, audio_labels)})
            entries = [
                (
                    f'{self._meta("classes")[c]} '
                    f'({_share(shares.get(c, 0), labels.size)})',
                    self._meta('palette')[c],
                )
                for c in chosen
            ]
            start = (
                'labeled as sounding:'
                if heading == 'labeled'
                else 'predicted:'
            )
            rows.append(
                text_block(
                    [(start, None), *(entries or [('nothing', None)])],
                    width,
                    size,
                )
            )
        return rows

    def _meta(self, key: str) -> Sequence:
        """Classes or palette of the dataset."""
        value = (self.dataset_meta or {}).get(key)
        if value is None:
            raise ValueError(
                f'AVSLocalVisualizer does not know the {key} of the dataset. '
                'The Runner sets them; elsewhere, set '
                'visualizer.dataset_meta = dataset.metainfo.'
            )
        return value


def sound_rows(
    audio: torch.Tensor | np.ndarray, sample_rate: int, width: int, size: int
) -> list[np.ndarray]:
    """Draw a spectrogram of every channel, with a line that explains it.

    Args:
        audio (Tensor | ndarray): Waveform, float, shape (channels, samples).
        sample_rate (int): Sample rate, Hz.
        width (int): Width of the rows, in pixels.
        size (int): Size of the font, in pixels.

    Returns:
        list[np.ndarray]: Rows of the picture, RGB, uint8.
    """
    audio = torch.as_tensor(audio).detach().float().cpu()
    audio = audio.reshape(-1, audio.shape[-1])
    names = {1: [''], 2: [', left', ', right']}.get(
        len(audio), [f', channel {i}' for i in range(len(audio))]
    )
    extent = (
        f'{audio.shape[-1] / sample_rate:g} s, up to '
        f'{sample_rate / 2000:g} kHz'
    )
    rows = []
    for name, channel in zip(names, audio, strict=True):
        words = f'sound{name}: {extent if channel.any() else "silence"}'
        rows += [
            text_block([(words, None)], width, size),
            spectrogram_strip(channel, sample_rate, width, 6 * size),
        ]
    return rows


def _widen(picture: np.ndarray, width: int) -> np.ndarray:
    """Add paper at the right, up to a width in pixels."""
    missing = width - picture.shape[1]
    return np.pad(
        picture, ((0, 0), (0, missing), (0, 0)), constant_values=PAPER[0]
    )


def _share(count: int, total: int) -> str:
    """Say how much of the frame a class covers."""
    if count == 0:
        return 'not in view'
    percent = 100 * count / total
    return '< 1 %' if percent < 1 else f'{percent:.0f} %'
