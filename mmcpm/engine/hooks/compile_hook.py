"""Hook that compiles parts of the model whose shapes do not change."""

from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmcpm.utils.checkpoints import unwrap


def why_not_to_compile(device: torch.device) -> str | None:
    """Try the compiler on one addition.

    Returns:
        str, optional: What went wrong; None if it works.
    """
    try:
        torch.compile(torch.add)(torch.ones(1, device=device), 1)
    except Exception as error:
        return f'{type(error).__name__}: {str(error).strip().splitlines()[0]}'
    return None


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles parts of the model by torch.compile, or says why it does not.

    Training on crops and testing at one size gain; frames of many sizes do
    not, as every size is compiled anew. Parameters keep their names, so that
    checkpoints fit with and without.

    Args:
        parts (Sequence[str]): Modules of the model by their names.
        **options: Options of torch.compile.
    """

    def __init__(
        self,
        *,
        parts: Sequence[str] = ('backbone', 'audio_backbone', 'audio_neck'),
        **options,
    ) -> None:
        self.parts = tuple(parts)
        self.options = options

    def before_run(self, runner) -> None:
        """Compile, once the model is where it runs.

        Raises:
            ValueError: If the model has no such part.
        """
        model = unwrap(runner.model)
        names = {name for name, _ in model.named_modules()}
        unknown = [part for part in self.parts if part not in names]
        if unknown:
            children = ', '.join(name for name, _ in model.named_children())
            raise ValueError(
                f'CompileHook: the model has no part {", ".join(unknown)}. '
                f'It has {children} and what is inside them.'
            )
        reason = why_not_to_compile(next(model.parameters()).device)
        if reason is not None:
            runner.logger.warning(
                f'torch.compile does not work here, nothing is compiled: '
                f'{reason}'
            )
            return
        for part in self.parts:
            model.get_submodule(part).compile(**self.options)
        runner.logger.info(f'Compiled on first use: {", ".join(self.parts)}')
