"""Hook that logs which loss moves the audio decoder."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmseg.registry import HOOKS


@HOOKS.register_module()
class GradientShareHook(Hook):
    """Lets the model tell each loss's share of the gradient on TD-A.

    A loss may fall without teaching the queries to use the audio; its share
    of the gradient on the audio decoder tells how much it has to say there.
    Costs one more backward pass per kind of loss, in the iterations that are
    due. A frozen audio decoder has no shares. A model without shares (any
    but CPMEncoderDecoder with an audio decoder) is named once in the log.

    Args:
        interval (int): Iterations between two looks; 0 never looks.
    """

    def __init__(self, *, interval: int = 100) -> None:
        if interval < 0:
            raise ValueError(
                f'interval must be 0 or a number of iterations, got {interval}'
            )
        self.interval = interval

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Ask for the shares when they are due.

        Args:
            runner (Runner): Runner of the training.
            batch_idx (int): Not used.
            data_batch (dict, optional): Not used.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        if not self.interval:
            return
        head = getattr(model, 'decode_head', None)
        if not (
            hasattr(model, 'watch_gradients')
            and hasattr(head, 'audio_query_decoder')
        ):
            self.interval = 0
            runner.logger.info(
                f'GradientShareHook is idle: {type(model).__name__} with '
                f'{type(head).__name__} has no shares of gradients.'
            )
            return
        # From the second iteration: every log after it holds them.
        model.watch_gradients = (
            runner.iter % self.interval == 1 % self.interval
        )
