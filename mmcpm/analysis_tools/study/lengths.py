"""How many epochs of a training take the time of another one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from mmcpm.apis.train_and_test import read_config
from mmcpm.utils.errors import UsageError

from .table import by_variant


def equal_time_epochs(
    configs: Iterable[str], records: Sequence[dict], reference: str
) -> dict[int | None, list[str]]:
    """Find the lengths of schedules that take the time of a reference.

    Args:
        configs (Iterable[str]): Config files.
        records (Sequence[dict]): Finished runs of them as they are, and of
            the reference, with ``seconds_per_step`` and ``iterations``.
        reference (str): Name of the config whose time is taken.

    Returns:
        dict[int | None, list[str]]: Configs by the number of epochs; None
        for those whose own length it is.

    Raises:
        UsageError: If a config, or the reference, has no record.
    """
    groups = by_variant(list(records))
    seconds = {
        name: median(r['seconds_per_step'] * r['iterations'] for r in runs)
        for name, runs in groups.items()
    }
    lengths: dict[int | None, list[str]] = {}
    for config in configs:
        name = Path(config).stem
        missing = {name, reference} - seconds.keys()
        if missing:
            raise UsageError(
                f'no run of {" or ".join(sorted(missing))} is on record: '
                'train the configs as they are first'
            )
        own = read_config(config).train_cfg.max_epochs
        epochs = max(1, round(own * seconds[reference] / seconds[name]))
        lengths.setdefault(None if epochs == own else epochs, []).append(
            config
        )
    return lengths
