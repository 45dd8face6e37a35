"""Windows that slide over an image, and the settings they come from."""


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Offsets at which windows cover a line; the last one ends with it.

    Args:
        length (int): Length of the line in pixels.
        window (int): Length of a window in pixels.
        stride (int): Distance of two windows in pixels.

    Returns:
        list[int]: Ascending offsets; ``[0]`` if one window suffices.
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def check_test_cfg(test_cfg: dict) -> None:
    """Refuse settings of the inference that do not fit together.

    Args:
        test_cfg (dict): ``mode``, and of sliding windows ``crop_size`` and
            ``stride``, each height and width in pixels.

    Raises:
        ValueError: Tells what is wrong.
    """
    mode = test_cfg.get('mode', 'whole')
    if mode not in ('whole', 'slide'):
        raise ValueError(
            f"test_cfg.mode must be 'whole' or 'slide', but is {mode!r}"
        )
    if mode == 'whole':
        return
    sizes = []
    for name in ('crop_size', 'stride'):
        size = test_cfg.get(name)
        if not (
            isinstance(size, list | tuple)
            and len(size) == 2
            and all(isinstance(x, int) and x > 0 for x in size)
        ):
            raise ValueError(
                f"test_cfg of mode 'slide' needs {name}=(height, width) in "
                f'pixels, but it is {size!r}'
            )
        sizes.append(size)
    if any(stride > window for window, stride in zip(*sizes, strict=True)):
        raise ValueError(
            f'test_cfg.stride={tuple(sizes[1])} is larger than crop_size='
            f'{tuple(sizes[0])}: the windows would leave gaps'
        )
