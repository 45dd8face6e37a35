"""The step that is timed, and the clock."""

import contextlib
import statistics
import time
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.models.classifiers import GMMClassifier

from .parts import OTHER, PartTimer, watch_parts
from .peers import prepare, stock_model

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class Subject:
    """A model and the step of it that is timed.

    A training step is the forward pass, the backward pass and the update with
    the optimizer and the gradient clipping of the configuration; a test step
    is the forward pass with post-processing to label maps. Batches lie on
    the device, normalized.

    Args:
        cfg (Config): A whole configuration.
        batch (dict): Batch of a dataloader.
        task (str): 'train' or 'infer'.
        size (tuple[int, int]): Height and width of the images.
        device (str): Name of the device.
        dtype (str): 'fp32' or, under autocast, 'bf16' or 'fp16'.
        checkpoint (dict, optional): Checkpoint whose ``state_dict`` is loaded.
        stock (bool): Whether mmseg's Mask2Former takes the model's place.
    """

    def __init__(
        self,
        cfg: Config,
        batch: dict,
        *,
        task: str,
        size: tuple[int, int],
        device: str = 'cpu',
        dtype: str = 'fp32',
        checkpoint: dict | None = None,
        stock: bool = False,
    ) -> None:
        init_default_scope(cfg.get('default_scope') or 'mmseg')
        torch.manual_seed(0)
        self.device, self.training = device, task == 'train'
        model_cfg = prepare(cfg, size, device)
        self.model = MODELS.build(
            stock_model(model_cfg) if stock else model_cfg
        )
        # mmengine logs the initialization of every parameter.
        MMLogger.get_instance('benchmark', log_level='WARNING')
        self.model.init_weights()
        if checkpoint is not None:
            self.model.load_state_dict(
                checkpoint.get('state_dict', checkpoint)
            )
        self.model.to(device).train(self.training)
        self.autocast = contextlib.nullcontext()
        if dtype != 'fp32':
            kind = torch.device(device).type
            self.autocast = torch.autocast(kind, DTYPES[dtype])
        self.batch = self.model.data_preprocessor(batch, self.training)
        if self.training:
            settings = {**cfg.optim_wrapper, 'type': 'OptimWrapper'}
            for key in ('loss_scale', 'dtype', 'use_fp64'):
                settings.pop(key, None)
            self.optimizer = build_optim_wrapper(self.model, settings)
            self.fill_mixtures()

    def fill_mixtures(self) -> None:
        """Give every class of a mixture model members, as after warm-up.

        Before that prompts are masked out and updates have nothing to do.
        """
        mixtures = getattr(self.model.decode_head, 'mixtures', None)
        if not isinstance(mixtures, GMMClassifier):
            return
        classes, members, dims = mixtures.bank.shape
        labels = torch.arange(classes, device=self.device).repeat(members)
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(len(labels), dims, generator=generator)
        mixtures.enqueue(features.to(self.device), labels)
        mixtures.update()

    def step(self) -> None:
        """Do what is timed."""
        # Predictions are written into the data samples, and the audio leaves.
        samples = [sample.clone() for sample in self.batch['data_samples']]
        inputs = self.batch['inputs']
        if not self.training:
            with torch.no_grad(), self.autocast:
                self.model(inputs, samples, mode='predict')
            return
        with self.autocast:
            losses = self.model(inputs, samples, mode='loss')
            total, _ = self.model.parse_losses(losses)
        self.optimizer.update_params(total)

    def parts(self) -> dict[str, float]:
        """Time the parts of one further step.

        Returns:
            dict[str, float]: Seconds. 'backward' is not divided up; 'other'
            is what no part claims.
        """
        timer = PartTimer(self.device)
        undo = watch_parts(self.model, timer)
        if self.training:
            for name in ('backward', 'step'):
                part = 'optimizer' if name == 'step' else name
                method = getattr(self.optimizer, name)
                vars(self.optimizer)[name] = timer.wrap(method, part)
        try:
            timer.wrap(self.step, OTHER)()
        finally:
            undo()
            if self.training:
                del self.optimizer.backward, self.optimizer.step
        return dict(timer.seconds)


def time_call(function: Callable[[], None], device: str) -> float:
    """Seconds of one call: CUDA events on a GPU, or else the wall clock."""
    if device.startswith('cuda'):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        function()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleave(
    functions: list[Callable[[], None]],
    repeats: int,
    warmup: int,
    device: str = 'cpu',
) -> list[list[float]]:
    """Time functions in turns, so that other load slows all of them alike.

    Returns:
        list[list[float]]: Seconds of the calls, per function.
    """
    seconds = [[] for _ in functions]
    for turn in range(-warmup, repeats):
        # The first of a turn may find caches that the last one has left.
        order = range(len(functions))
        for index in order if turn % 2 == 0 else reversed(order):
            taken = time_call(functions[index], device)
            if turn >= 0:
                seconds[index].append(taken)
    return seconds


def time_statistics(
    seconds: list[float], prefix: str = ''
) -> dict[str, float]:
    """Median and spread (first and third quartile, least) of times."""
    low, middle, high = seconds[0], seconds[0], seconds[0]
    if len(seconds) > 1:
        low, middle, high = statistics.quantiles(
            seconds, n=4, method='inclusive'
        )
    return {
        f'{prefix}median_s': middle,
        f'{prefix}quartiles_s': [low, high],
        f'{prefix}min_s': min(seconds),
    }


def compare(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Ratio of the medians, and the median of the ratios of each turn."""
    return {
        'ratio': statistics.median(ours) / statistics.median(theirs),
        'ratio_of_turns': statistics.median(
            mine / other for mine, other in zip(ours, theirs, strict=True)
        ),
    }
