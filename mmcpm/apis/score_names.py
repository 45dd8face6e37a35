"""Scores that hooks and schedules name, compared with those to be computed.

mmengine looks a name up after the first validation: there a wrong one ends
the run, or does nothing at all.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

from mmcpm.utils.errors import UsageError

SAVE_BEST = 'default_hooks.checkpoint.save_best'


def named_scores(runner: Runner) -> Iterator[tuple[str, str, str | None]]:
    """List the scores that hooks and schedules of a run depend on.

    Yields:
        tuple[str, str, str or None]: Who names it, for messages; its name;
        which is better, 'greater' or 'less', if that is told.
    """
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            names, rules = (), ()
            if hook.save_best:
                names, rules = hook.key_indicators, hook.rules
            for name, rule in zip(names, rules, strict=True):
                yield SAVE_BEST, name, rule
            continue
        names = getattr(hook, 'monitor', None) or ()
        for name in [names] if isinstance(names, str) else names:
            place = f'{type(hook).__name__}.monitor'
            yield place, name, getattr(hook, 'rule', None)
    for schedule in schedules(runner.param_schedulers):
        if is_plateau(schedule):
            kind = setting(schedule, 'type') or type(schedule)
            place = f'param_scheduler {getattr(kind, "__name__", kind)}'
            yield (
                f'{place}.monitor',
                setting(schedule, 'monitor', 'loss'),
                setting(schedule, 'rule', 'less'),
            )


def schedules(settings: Any) -> list:
    """List schedules, built or not, whatever holds them."""
    if isinstance(settings, dict) and 'type' not in settings:
        settings = [s for part in settings.values() for s in schedules(part)]
    if settings is None:
        return []
    return list(settings) if isinstance(settings, list | tuple) else [settings]


def setting(schedule: Any, name: str, default: Any = None) -> Any:
    """Look up a setting of a schedule, built or not."""
    if isinstance(schedule, dict):
        return schedule.get(name, default)
    return getattr(schedule, name, default)


def is_plateau(schedule: Any) -> bool:
    """Tell whether a schedule waits for a score, as ReduceOnPlateauLR."""
    kind = schedule
    if isinstance(schedule, dict):
        kind = schedule.get('type')
        kind = PARAM_SCHEDULERS.get(kind) if isinstance(kind, str) else kind
    return getattr(kind, 'need_val_args', False)


def frame_groups(dataset) -> set[str]:
    """List the groups in which the frames of a dataset are scored as well.

    Returns:
        set[str]: Values of ``sources``; empty if they are not told.
    """
    if not hasattr(dataset, 'get_data_info'):
        return set()
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return {info.get('sources') for info in infos} - {None}


def check_scores(runner: Runner, loop: Any) -> None:
    """Refuse a training that depends on a score that is not computed."""
    named = list(named_scores(runner))
    if loop is None:
        for place, name, _ in named:
            if place == SAVE_BEST:
                runner.logger.warning(
                    f'{place}={name!r} has no effect: there is no validation.'
                )
                continue
            raise UsageError(
                f'{place}={name!r} needs a validation, and there is none. '
                'Set val_cfg, val_dataloader and val_evaluator, or leave it '
                'out'
            )
        return
    metrics = loop.evaluator.metrics
    known = computed_scores(metrics, ())
    if any(name not in ('auto', *known) for _, name, _ in named):
        groups = sorted(frame_groups(loop.dataloader.dataset))
        known = computed_scores(metrics, groups)
    for place, name, rule in named:
        if name == 'auto':
            check_automatic(runner, metrics, rule)
        elif name not in known:
            check_unknown(place, name, known, metrics)
        elif rule is not None and rule != better(name):
            raise UsageError(
                f"{place}={name!r} goes with rule='{rule}', but of this "
                f"score the {better(name)} is the better: set rule='"
                f"{better(name)}'"
            )


def computed_scores(metrics: Iterable, groups: Iterable[str]) -> list[str]:
    """List the scores of those metrics that can tell.

    Raises:
        UsageError: If two metrics give the same one.
    """
    known: list[str] = []
    for metric in metrics:
        if not hasattr(metric, 'score_names'):
            continue
        names = metric.score_names(groups)
        twice = [name for name in names if name in known]
        if twice:
            raise UsageError(
                f'two metrics of the evaluation give {twice[0]!r}. Give one '
                f'of them another prefix: {type(metric).__name__} takes '
                "prefix='NAME'"
            )
        known += names
    return known


def better(name: str) -> str:
    """Tell which values of a score are better: 'greater' or 'less'."""
    return 'less' if name.endswith('/FDR') else 'greater'


def check_unknown(
    place: str, name: str, known: list[str], metrics: Iterable
) -> None:
    """Refuse a name, unless it may be that of another program's metric."""
    others = [m for m in metrics if not hasattr(m, 'score_names')]
    if name != 'loss' and any(
        not m.prefix or name.startswith(f'{m.prefix}/') for m in others
    ):
        return
    prefixes = dict.fromkeys(m.prefix for m in metrics if m.prefix)
    reason = ', which computes no losses' if 'loss' in name else ''
    text = f'{place}={name!r} is no score of val_evaluator{reason}'
    if prefixes:
        text += (
            "; its scores' names begin with "
            f'{" or ".join(f"{p}/" for p in prefixes)}'
        )
    raise UsageError(
        text + (f'. There are {", ".join(known)}' if known else '')
    )


def check_automatic(
    runner: Runner, metrics: Iterable, rule: str | None
) -> None:
    """Refuse save_best='auto' where mmengine could not tell what is better."""
    first = next(iter(metrics), None)
    if rule is not None or not hasattr(first, 'score_names'):
        return
    name = first.score_names()[0]
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best == ['auto']:
            try:
                copy.copy(hook)._init_rule([None], [name])
            except ValueError as error:
                raise UsageError(
                    f"{SAVE_BEST}='auto' chooses by {name}, the first score, "
                    'and cannot tell which is better: set default_hooks.'
                    f"checkpoint.rule='{better(name)}'"
                ) from error
