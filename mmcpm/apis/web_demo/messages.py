"""What a visitor is told of a mistake, and of a fault."""

import logging
import traceback
from collections.abc import Callable
from typing import Any

import gradio as gr
from mmengine.logging import print_log

from mmcpm.utils.errors import UsageError

from .limits import without_paths

BROKEN = (
    'Something went wrong on the server, and is in its log. Try another clip.'
)


def told(work: Callable, *args: Any, **kwargs: Any) -> Any:
    """Do some work; a visitor is told a mistake, and no more of a fault.

    Args:
        work (Callable): The work.
        args (Any): Its arguments.
        kwargs (Any): Its arguments.

    Returns:
        Any: What it returns.

    Raises:
        gr.Error: In place of any other error.
    """
    try:
        return work(*args, **kwargs)
    except UsageError as error:
        message = without_paths(str(error), {})
        raise page_error(message) from None
    except Exception as error:
        print_log(f'web page: {error!r}', 'current', logging.ERROR)
        traceback.print_exc()
        raise page_error(BROKEN) from None


def page_error(message: str) -> gr.Error:
    """Make a message that stays until it is closed.

    Args:
        message (str): The message.

    Returns:
        gr.Error: To be raised.
    """
    return gr.Error(
        message,
        duration=None,
        title='Please note',
        print_exception=False,
    )
