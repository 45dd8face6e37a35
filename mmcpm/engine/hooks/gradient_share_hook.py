"""Hook that logs which loss moves the audio decoder."""

import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.models.utils.gradient_shares import gradient_shares


@HOOKS.register_module()
class GradientShareHook(Hook):
    """Logs each loss's share of the gradient on the audio decoder (TD-A).

    A loss may fall without teaching the queries to use the audio; its share
    of the gradient on the audio decoder tells how much it has to say there.
    Costs one more backward pass per kind of loss, in the iterations that are
    due. A frozen module has no shares. A model without the module is named
    once in the log.

    Args:
        interval (int): Iterations between two looks; 0 never looks.
        module (str): Name of the module in the segmentor whose gradient is
            shared out; for other heads, for example 'audio_neck'.
    """

    def __init__(
        self,
        *,
        interval: int = 100,
        module: str = 'decode_head.audio_query_decoder',
    ) -> None:
        if interval < 0:
            raise ValueError(
                f'interval must be 0 or a number of iterations, got {interval}'
            )
        self.interval = interval
        self.module = module

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Ask for the shares when they are due."""
        if not self.interval:
            return
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        try:
            module = model.get_submodule(self.module)
        except AttributeError:
            module = None
        if module is None or not isinstance(model, AVEncoderDecoder):
            self.interval = 0
            runner.logger.info(
                f'GradientShareHook is idle: {type(model).__name__} has no '
                f'{self.module} whose gradient could be shared out.'
            )
            return

        def observe(losses: dict[str, Tensor]) -> dict[str, Tensor]:
            model.loss_observer = None  # Once per iteration that is due.
            return self.shares(losses, module, runner)

        # From the second iteration: every log after it holds them.
        if runner.iter % self.interval == 1 % self.interval:
            model.loss_observer = observe

    def shares(
        self, losses: dict[str, Tensor], module: nn.Module, runner: Runner
    ) -> dict[str, Tensor]:
        """Share out the gradient; give up for good where autograd refuses.

        Args:
            losses (dict[str, Tensor]): Terms by name.
            module (nn.Module): Module whose gradient is shared out.
            runner (Runner): Runner of the training.

        Returns:
            dict[str, Tensor]: Shares by name, ``gradient_*``.
        """
        try:
            shares = gradient_shares(losses, module.parameters())
        except RuntimeError as error:
            # Too little memory, or parts that can be differentiated only
            # once: what is only logged must not end a run.
            self.interval = 0
            runner.logger.warning(
                'The shares of the gradient cannot be computed '
                f'({str(error).strip().splitlines()[0]}).'
            )
            return {}
        return {f'gradient_{name}': share for name, share in shares.items()}
