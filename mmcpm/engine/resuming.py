"""Comparison of a resumed run with the run that it continues."""

import ast
from collections.abc import Iterator

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


def changed_settings(before: str, now: str) -> list[str]:
    """Compare two configurations where it matters to the weights.

    A checkpoint carries its configuration as Python text, which is read
    here but not executed: nobody should run what came with the weights.

    Returns:
        list[str]: Differences, for example
        ``'optim_wrapper.optimizer.lr: 0.1 -> 0.2'``; empty if a text cannot
        be read.
    """
    try:
        old, new = (
            {
                path: value
                for statement in ast.parse(text).body
                if isinstance(statement, ast.Assign)
                and ast.unparse(statement.targets[0]) in COMPARED
                for path, value in _settings(
                    statement.value, ast.unparse(statement.targets[0])
                )
            }
            for text in (before, now)
        )
    except SyntaxError:  # Of another program, or of a newer Python.
        return []
    return [
        f'{path}: {old.get(path)} -> {new.get(path)}'
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    ]


def _settings(node: ast.expr, path: str) -> Iterator[tuple[str, str]]:
    """Yield the settings nested in an expression: path and text."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        items = [(item.arg, item.value) for item in node.keywords]
    elif isinstance(node, ast.Dict):
        keys = [ast.unparse(key).strip('\'"') for key in node.keys]
        items = zip(keys, node.values, strict=True)
    elif isinstance(node, ast.List | ast.Tuple):
        items = enumerate(node.elts)
    else:
        text = ast.unparse(node)
        if path.endswith('.type'):  # With or without its scope or address.
            text = text.strip('\'"').rpartition('.')[2]
        yield path, text if len(text) <= 60 else f'{text[:57]}...'
        return
    for key, value in items:
        if key not in IGNORED:
            yield from _settings(value, f'{path}.{key}')


def check_progress(
    epoch: int, iteration: int, length: int, world_size: int, batch_size: int
) -> None:
    """Refuse to go on within an epoch, or with epochs of another length.

    Schedules count iterations: with epochs of another length the learning
    rate would belong to another epoch than the data.
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
