"""Hook that trains a part of the model from a later epoch on."""

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmcpm.utils.checkpoints import unwrap


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keeps the weights of a part fixed in the first epochs.

    Running statistics of batch normalization follow the data meanwhile, as in
    AVSegFormer. In distributed training set ``find_unused_parameters=True``:
    the gradients of the part are missing at first and there later on.

    Args:
        part (str): Module of the model by its name.
        epochs (int): Epochs in which it is fixed; 0 changes nothing.
    """

    def __init__(self, *, part: str = 'backbone', epochs: int = 0) -> None:
        if epochs < 0:
            raise ValueError(
                f'epochs must be 0 or a number of epochs, but got {epochs}.'
            )
        self.part = part
        self.epochs = epochs

    def before_train(self, runner) -> None:
        """Find the weights that are trained at all.

        Raises:
            ValueError: If the model has no such part.
        """
        model = unwrap(runner.model)
        parts = dict(model.named_modules())
        if self.part not in parts:
            children = ', '.join(name for name, _ in model.named_children())
            raise ValueError(
                f'FreezeHook: the model has no part {self.part!r}. It has '
                f'{children} and what is inside them.'
            )
        self._parameters = [
            p for p in parts[self.part].parameters() if p.requires_grad
        ]
        self._frozen = False

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Freeze or release, at the beginning of an epoch."""
        frozen = runner.epoch < self.epochs
        if frozen == self._frozen:
            return
        self._frozen = frozen
        for parameter in self._parameters:
            parameter.requires_grad_(not frozen)
        done = 'frozen' if frozen else 'trained'
        runner.logger.info(
            f'{self.part} is {done} from epoch {runner.epoch + 1} on.'
        )

    def after_train(self, runner) -> None:
        """Leave the model as it was."""
        for parameter in self._parameters:
            parameter.requires_grad_(True)
