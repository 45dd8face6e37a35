"""Hook that keeps NaN and infinity of the losses out of the weights."""

from collections import deque

import torch
from mmengine.dist import all_gather_object, barrier, get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS
from torch import Tensor

from mmcpm.utils.checkpoints import unwrap
from mmcpm.utils.errors import UsageError, shorten

from ..buffers import AverageGuard, BufferKeeper, EpochRates, averaged_models
from ..optim_wrappers.update_guard import Rejection, UpdateGuard
from .sample_report_hook import batch_samples


class NonFiniteError(UsageError):
    """A training cannot go on, because its numbers are not finite."""


def non_finite_terms(losses: dict[str, Tensor]) -> list[str]:
    """Name the loss terms that are NaN or infinite.

    Args:
        losses (dict[str, Tensor]): Scalars by name; their sum ``loss`` is
            named only if no term is at fault.
    """
    names = [
        name
        for name, value in losses.items()
        if isinstance(value, Tensor) and not value.isfinite().all()
    ]
    return [name for name in names if name != 'loss'] or names


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Skips updates with a non-finite loss or gradient; stops if too many.

    Such an iteration leaves no trace: weights, optimizer state, buffers and
    averaged weights (EMAHook) stay as they were before it (with gradient
    accumulation, before the first iteration of the update). The samples of
    the batch and the loss terms, or else the first parameter, are logged.
    Everything works with mixed precision and on several ranks, which decide
    alike.

    Gradients that overflow because of the loss scale of float16 training are
    not counted: the scale is lowered until they fit.

    Args:
        limit (int): The training stops, with a checkpoint, when more than
            this many of the last ``window`` updates were skipped: one bad
            sample per epoch is survived, divergence is not. Defaults to 10.
        window (int): Defaults to 100.
    """

    # Before the hook that logs the losses, and those that look at weights.
    priority = 'HIGHEST'

    def __init__(self, *, limit: int = 10, window: int = 100) -> None:
        if not 0 <= limit < window:
            raise ValueError(
                'limit must be at least 0 and less than window, but got '
                f'limit={limit} and window={window}'
            )
        self.limit = limit
        self.window = window
        self._guard: UpdateGuard | None = None
        self._average_guards: dict[BaseAveragedModel, AverageGuard] = {}
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._iterations: list[tuple[list[str], dict]] = []
        self._skipped_in_epoch = 0
        self._rates: EpochRates | None = None

    def before_train(self, runner) -> None:
        """Guard the optimizer.

        Raises:
            NonFiniteError: If there are several optimizers.
        """
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            raise NonFiniteError(
                'NonFiniteGuardHook guards one optimizer, but optim_wrapper '
                f'is a {type(runner.optim_wrapper).__name__}. Remove the '
                'hook from custom_hooks'
            )
        if self._guard is None or (
            self._guard.optim_wrapper is not runner.optim_wrapper
        ):
            self._guard = UpdateGuard(runner.optim_wrapper)
        model = unwrap(runner.model)
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._keeper = BufferKeeper(model)
        for average in averaged_models(runner):
            if average not in self._average_guards:
                self._average_guards[average] = AverageGuard(
                    average, runner.optim_wrapper._accumulative_counts > 1
                )

    def before_train_epoch(self, runner) -> None:
        """Remember the learning rates, for a checkpoint within the epoch."""
        self._skipped_in_epoch = 0
        self._rates = EpochRates(runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Keep the buffers at the begin of every update."""
        if not self._iterations:
            self._keeper.keep()
            for guard in self._average_guards.values():
                guard.begin()

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Look whether the update took place.

        Raises:
            NonFiniteError: If too many did not.
        """
        losses = on_host(outputs or {})
        if outputs is not None:
            # Every hook that logs would ask the device for each number.
            outputs.update(losses)
        self._iterations.append((sample_ids(data_batch), losses))
        rejection = None
        if runner.optim_wrapper.should_update():
            rejection = self._guard.take_rejection()
        for guard in self._average_guards.values():
            guard.decide(rejection is not None)
        if not runner.optim_wrapper.should_update():
            return
        if rejection is None:
            self._outcomes.append(False)
        else:
            self._handle(runner, rejection)
            # The logged means are those of the updates that took place.
            for name, value in losses.items():
                if not value.isfinite().all():
                    outputs.pop(name)
        self._iterations.clear()

    def after_train_epoch(self, runner) -> None:
        """Sum up the epoch."""
        if self._skipped_in_epoch:
            runner.logger.warning(
                f'{self._skipped_in_epoch} updates of epoch '
                f'{runner.epoch + 1} were skipped because of non-finite '
                'losses or gradients; they are listed above.'
            )

    def _handle(self, runner, rejection: Rejection) -> None:
        """Undo what is left of a rejected update, report and count it."""
        self._keeper.restore()
        where = f'iteration {runner.iter + 1} (epoch {runner.epoch + 1})'
        if rejection.loss_scale is not None and rejection.loss_scale >= 1:
            self._outcomes.append(False)
            runner.logger.info(
                f'Gradients of {where} overflowed; loss scale lowered to '
                f'{rejection.loss_scale:g}.'
            )
            return
        self._outcomes.append(True)
        self._skipped_in_epoch += 1
        count = sum(self._outcomes)
        fault = f'In {where} {self._describe(rejection)}'
        if count <= self.limit:
            runner.logger.warning(
                f'{fault} Update skipped: {count} of the last '
                f'{len(self._outcomes)}, at most {self.limit} are allowed.'
            )
            return
        saved = self._save(runner)
        raise NonFiniteError(
            f'training stopped: {count} of the last {len(self._outcomes)} '
            f'updates were not finite, more than the {self.limit} allowed. '
            f'{fault} The weights are finite and {saved}. A '
            'lower learning rate (optim_wrapper.optimizer.lr) helps if the '
            'training diverged, training without --amp if numbers '
            'overflowed; look at the samples if they are always the same. '
            'Continue with --resume from the last whole epoch, or with '
            '--resume and this file, which begins its epoch again'
        )

    def _describe(self, rejection: Rejection) -> str:
        """Tell on which samples what was not finite, on all ranks."""
        own = [
            (get_rank(), samples, terms)
            for samples, losses in self._iterations
            if (terms := non_finite_terms(losses))
        ]
        found = [fault for rank in all_gather_object(own) for fault in rank]
        if not found:
            names = [
                self._names.get(id(p), 'a parameter')
                for p in rejection.parameters
            ]
            own_samples = [s for batch, _ in self._iterations for s in batch]
            samples = [s for r in all_gather_object(own_samples) for s in r]
            more = f' (and {len(names) - 1} others)' if names[1:] else ''
            return (
                f'all losses are finite, but the gradient of {names[0]}{more} '
                f'is not. Samples: {shorten(samples, 16)}.'
            )
        several = len({rank for rank, _, _ in found}) > 1
        return ' '.join(
            (f'(rank {rank}) ' if several or rank else '')
            + f'{shorten(terms, 16)} {"is" if len(terms) == 1 else "are"} not '
            f'finite for the samples {shorten(samples, 16)}.'
            for rank, samples, terms in found
        )

    def _save(self, runner) -> str:
        """Save a checkpoint, from which the epoch can begin again."""
        name = f'stopped_at_iter_{runner.iter + 1}.pth'
        meta = {'epoch': runner.epoch, 'iter': runner.iter + 1}
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            meta['iter'] = runner.epoch * len(runner.train_loop.dataloader)
            self._rates.restore()
        outcome = f'saved in {runner.work_dir}/{name}'
        try:
            runner.save_checkpoint(
                runner.work_dir,
                name,
                meta=meta,
                by_epoch=False,
                backend_args={'backend': 'atomic_local'},
            )
        except OSError as error:
            outcome = f'could not be saved ({error.strerror or error})'
        # The launcher ends all ranks when the first one ends: wait for the
        # rank that saves.
        barrier()
        return outcome


def on_host(outputs: dict) -> dict[str, Tensor]:
    """Bring logged numbers to the host, in one copy for all of them.

    Returns:
        dict[str, Tensor]: The tensors by name, without a graph; scalars are
        on the CPU.
    """
    tensors = {
        name: value.detach()
        for name, value in outputs.items()
        if isinstance(value, Tensor)
    }
    away = {
        name: value.reshape(())
        for name, value in tensors.items()
        if value.device.type != 'cpu' and value.numel() == 1
    }
    if away:
        device = next(iter(away.values())).device
        # float64 holds every float32, and every count, exactly.
        packed = [v.to(device, torch.float64) for v in away.values()]
        here = torch.stack(packed).cpu().unbind()
        tensors.update(zip(away, here, strict=True))
    return tensors


def sample_ids(data_batch: dict | None) -> list[str]:
    """Name the samples of a batch."""
    return [
        str(sample.get('sample_id') or sample.get('img_path') or index)
        for index, sample in enumerate(batch_samples(data_batch))
    ]
