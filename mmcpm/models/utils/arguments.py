"""Checks of arguments that would have no effect."""

import inspect
from collections.abc import Mapping
from typing import Any

# Names in configs that were saved before -> names now.
RENAMED = {
    'AudioQueryDecoder': 'AudioTransformerDecoder',
    'merge': 'inference_mode',
}


def known_arguments(kind: type) -> set[str]:
    """Names that the constructors of a class and its bases take.

    Args:
        kind (type): The class.

    Returns:
        set[str]: Their names.
    """
    return {
        name
        for base in kind.__mro__
        if '__init__' in vars(base)
        for name in inspect.signature(base.__init__).parameters
    } - {'self', 'args', 'kwargs'}


def check_arguments(
    owner: str, base: type, arguments: Mapping[str, Any]
) -> None:
    """Refuse arguments that a base class does not know.

    mmdet's heads take any argument without a word and drop it.

    Args:
        owner (str): Class that was configured.
        base (type): Class that the arguments are passed on to.
        arguments (Mapping[str, Any]): Arguments by name.

    Raises:
        TypeError: Names them, and what they are called now.
    """
    unknown = sorted(arguments.keys() - known_arguments(base))
    if unknown:
        now = [f'{n} is {RENAMED[n]} now' for n in unknown if n in RENAMED]
        raise TypeError(
            f'{owner} has no argument {", ".join(unknown)}: it would have no '
            f'effect. {"; ".join(now) or "Check the spelling"} '
            '(decode_head in the config).'
        )


def check_type(setting: str, cfg: Mapping[str, Any]) -> None:
    """Refuse the former name of a class.

    Args:
        setting (str): Name of the setting.
        cfg (Mapping[str, Any]): Configuration with a ``type``.

    Raises:
        ValueError: Tells the present name.
    """
    kind = cfg.get('type')
    if isinstance(kind, str) and kind.rpartition('.')[2] in RENAMED:
        raise ValueError(
            f'{setting}.type {kind!r} is '
            f'{RENAMED[kind.rpartition(".")[2]]!r} now: change it in the '
            'config.'
        )
