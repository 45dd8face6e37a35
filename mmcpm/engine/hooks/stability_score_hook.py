"""Stability score of the matching of queries to classes (CPM, Algorithm 1)."""

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor

from mmcpm.models.losses import SetCriterion

from .epoch_seed_hook import has_no_epochs


def stability_score(counts: Tensor) -> tuple[float, int]:
    """Mean entropy of the queries that a class is matched to.

    Args:
        counts (Tensor): How often query n was matched to class c,
            ``[C, N]``, without "no object".

    Returns:
        tuple[float, int]: The mean over the classes that were matched at
        all, in nats: 0 if every class has one query of its own, ``ln N`` if
        it is matched at random (lower is better); NaN without any match.
        And the number of classes that were never matched.
    """
    counts = counts.double()
    total = counts.sum(1)
    seen = total > 0
    share = (counts[seen] / total[seen, None]).clamp(1e-12, 1.0)
    entropy = -(share * share.log()).sum(1)
    score = float(entropy.mean()) if len(entropy) else float('nan')
    return score, int((~seen).sum())


@HOOKS.register_module()
class StabilityScoreHook(Hook):
    """Logs the stability score of every training epoch.

    Where there are no epochs, it is that of the iterations between two
    validations. The SetCriterion of a head counts the matches; here they are
    summed over the ranks, scored and reset. A head without one is named once
    in the log.
    """

    def before_train(self, runner) -> None:
        """Say once if there is nothing to score."""
        if self._counts(runner) is None:
            runner.logger.info(
                'StabilityScoreHook is idle: the model has no SetCriterion, '
                'whose matches it scores.'
            )

    def before_train_epoch(self, runner) -> None:
        """Forget what was counted before."""
        counts = self._counts(runner)
        if counts is not None:
            counts.zero_()

    def after_train_epoch(self, runner) -> None:
        """Score the epoch."""
        self._score(runner)

    def before_val_epoch(self, runner) -> None:
        """Score the iterations since the last validation."""
        if has_no_epochs(runner):
            self._score(runner)
            self.before_train_epoch(runner)

    def _score(self, runner) -> None:
        """Score what was counted, and log it."""
        counts = self._counts(runner)
        if counts is None or (has_no_epochs(runner) and not counts.any()):
            return
        counts = counts.clone()
        all_reduce(counts)
        # The last row is "no object".
        score, skipped = stability_score(counts[:-1])
        unit, step = 'Epoch', runner.epoch + 1
        if has_no_epochs(runner):
            unit, step = 'Iteration', runner.iter
        runner.logger.info(
            f'{unit} {step}: stability_score {score:.4f} nats '
            f'(0: every class has its query, lower is better; {skipped} '
            'classes were never matched)'
        )
        runner.visualizer.add_scalar('stability_score', score, step=step)

    @staticmethod
    def _counts(runner) -> Tensor | None:
        """Counts of the head's criterion; None for a head without one."""
        for module in runner.model.modules():
            if isinstance(module, SetCriterion):
                return module.match_counts
        return None
