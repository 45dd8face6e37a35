"""What a resumed run has to have in common with the one it continues."""

import ast

from mmcpm.utils.errors import UsageError

# Parts of a configuration that decide what weights a training reaches.
COMPARED = (
    'model',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'train_dataloader',
)
# Where data lie and who loads them does not matter.
IGNORED = ('data_root', 'init_cfg', 'num_workers', 'prefetch_factor')


def parse_settings(text: str) -> dict:
    """Read the text of a configuration without executing it.

    A checkpoint carries its configuration as Python text, which nobody
    should run just because it came with the weights.

    Args:
        text (str): Of ``mmengine.Config.pretty_text``.

    Returns:
        dict: Nested dicts and lists; what is no literal is left as text.
    """
    return {
        target.id: _evaluate(statement.value)
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _evaluate(node: ast.expr):
    """Turn dicts, lists and literals into what they stand for."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        return {item.arg: _evaluate(item.value) for item in node.keywords}
    if isinstance(node, ast.Dict):
        return {
            ast.unparse(key).strip('\'"'): _evaluate(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.List | ast.Tuple):
        return [_evaluate(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def differences(before, now, path: str = '') -> list[str]:
    """List where two nested settings differ.

    Args:
        before (Any): Settings of the earlier run.
        now (Any): Settings of this one.
        path (str): Where they stand, for the output.

    Returns:
        list[str]: For example ``'optim_wrapper.optimizer.lr: 0.1 -> 0.2'``.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in {**before, **now}
            if key not in IGNORED
            for line in differences(
                before.get(key),
                now.get(key),
                f'{path}.{key}' if path else str(key),
            )
        ]
    if (
        isinstance(before, list)
        and isinstance(now, list)
        and len(before) == len(now)
    ):
        return [
            line
            for index, pair in enumerate(zip(before, now, strict=True))
            for line in differences(*pair, f'{path}.{index}')
        ]
    if before == now or (
        path.endswith('.type') and _bare(before) == _bare(now)
    ):
        return []
    return [f'{path}: {_short(before)} -> {_short(now)}']


def _bare(name) -> str:
    """Return the name of a type without its scope or address."""
    return str(name).rpartition('.')[2]


def _short(value) -> str:
    """Show a setting in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def changed_settings(before: str, now: str) -> list[str]:
    """Compare two configurations where it matters to the weights.

    Args:
        before (str): Text of the configuration a checkpoint carries.
        now (str): Text of this run's.

    Returns:
        list[str]: See :func:`differences`; empty if a text cannot be read.
    """
    try:
        old, new = parse_settings(before), parse_settings(now)
    except SyntaxError:  # Of another program, or of a newer Python.
        return []
    return differences(
        {key: old.get(key) for key in COMPARED},
        {key: new.get(key) for key in COMPARED},
    )


def check_progress(
    epoch: int, iteration: int, length: int, world_size: int, batch_size: int
) -> None:
    """Refuse to go on within an epoch, or with epochs of another length.

    Schedules count iterations: with epochs of another length the learning
    rate would belong to another epoch than the data.

    Args:
        epoch (int): Epochs the checkpoint has behind it.
        iteration (int): Iterations it has behind it.
        length (int): Iterations per epoch of this run.
        world_size (int): Processes of this run.
        batch_size (int): Frames per iteration and process of this run.

    Raises:
        UsageError: If they do not fit.
    """
    if iteration == epoch * length:
        return
    if not epoch or 0 < iteration - epoch * length < length:
        raise UsageError(
            f'the checkpoint was saved in the midst of an epoch ({iteration} '
            f'iterations, {epoch} whole epoch(s), {length} iterations per '
            'epoch of this run), and EpochBasedTrainLoop cannot go on there. '
            'Resume from one that was saved after an epoch (default_hooks.'
            'checkpoint.by_epoch=True saves such), or start from its weights '
            'only: --cfg-options load_from=CHECKPOINT without --resume'
        )
    raise UsageError(
        f'the checkpoint has {iteration} iterations in {epoch} epoch(s) '
        f'behind it, that is {iteration / epoch:g} per epoch, but this run '
        f'has {length} per epoch (batch {batch_size} on {world_size} '
        'process(es)). Resume with the same data and the same total batch '
        'size (processes x train_dataloader.batch_size), or start from its '
        'weights only: --cfg-options load_from=CHECKPOINT without --resume'
    )
