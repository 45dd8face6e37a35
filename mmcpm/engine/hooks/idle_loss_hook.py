"""Hook that warns of a loss that has seen no valid sample for long."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor

# What must happen for each objective to teach: a part of the names of its
# loss terms, which are exactly 0 without a valid sample.
TERMS = {'VCP': 'loss_vcp', 'ACP': 'loss_acp', 'PCL': 'loss_pcl'}
READY = 'prompts_ready'
NOT_READY = (
    'no prompt was ready: no class that sounds has gathered enough matched '
    'queries (gmm_ready and gmm_bank_fill in the log). Train longer, or lower '
    'min_members or em_interval of the classifier'
)
NO_PARTNER = (
    'no frame all of whose classes are prompted found another sound to be '
    'mixed with. The batch_size must be at least 2 (of all ranks together), '
    'with frames of several clips; samples should tell their clip (uid) and '
    'what sounds (sound_sources), and PackAVSInputs must carry these keys; or '
    'add LoadOffscreenAudio(folder=...) to the pipeline'
)
CAUSES = {
    'VCP': 'none of the prompted classes has a pixel in the crops: look at '
    'the labels, or use larger crops',
    'ACP': NO_PARTNER,
    'PCL': f'it learns under the masks that ACP teaches. For ACP, '
    f'{NO_PARTNER}',
}


@HOOKS.register_module()
class IdleLossHook(Hook):
    """Logs that VCP, ACP or PCL has seen no valid sample for long.

    Their losses are 0 then, which looks like success. Told once per silence,
    with the probable cause, and again when the objective is back. Steps are
    counted on the device; the host looks ten times per ``patience``. Heads
    without these losses are left alone.

    Args:
        patience (int): Training iterations without a valid sample on any
            rank; 0 never looks.
    """

    def __init__(self, *, patience: int = 500) -> None:
        if patience < 0:
            raise ValueError(
                f'patience must be 0 or a number of iterations, got {patience}'
            )
        self.patience = patience
        self.interval = max(patience // 10, 1)

    def before_train(self, runner) -> None:
        """Begin to count."""
        self._idle: dict[str, Tensor] = {}
        self._told: set[str] = set()
        self._steps = 0

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Count the steps in which nothing was taught."""
        if not self.patience:
            return
        for name, part in (*TERMS.items(), (READY, READY)):
            found = [
                value.detach()
                for key, value in (outputs or {}).items()
                if part in key and isinstance(value, Tensor)
            ]
            if found:
                alive = sum(value.abs().sum() for value in found) != 0
                idle = self._idle.get(name, torch.zeros_like(alive).long())
                self._idle[name] = (idle + 1) * ~alive
        self._steps += 1
        if self._steps % self.interval == 0:
            self._look(runner)

    def _look(self, runner) -> None:
        """Read the counters of all ranks; log what has changed."""
        idle = self._read(runner)
        for name in TERMS:
            if idle[name] >= self.patience and name not in self._told:
                self._told.add(name)
                ready = idle[READY] < self.patience
                runner.logger.warning(
                    f'{name} has taught nothing for {idle[name]} iterations '
                    f'(up to iteration {runner.iter + 1}): its loss is 0, '
                    'which is no success. Unless its weight is 0, probably '
                    f'{CAUSES[name] if ready else NOT_READY}.'
                )
            elif idle[name] == 0 and name in self._told:
                self._told.remove(name)
                runner.logger.info(
                    f'{name} teaches again (iteration {runner.iter + 1}).'
                )

    def _read(self, runner) -> dict[str, int]:
        """Steps since each has taught on any rank; -1 if it is not there."""
        device = next(runner.model.parameters()).device
        missing = torch.full((), -1, dtype=torch.int64, device=device)
        names = (*TERMS, READY)
        # NonFiniteGuardHook has brought those that are there to the host.
        counts = torch.stack(
            [self._idle.get(name, missing).to(device) for name in names]
        )
        # The latest sample of any rank; every rank takes part.
        all_reduce(counts, 'min')
        return dict(zip(names, counts.tolist(), strict=True))
