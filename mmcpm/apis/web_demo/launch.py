"""How Gradio serves the page: nothing is shared, sent or fetched."""

from typing import Any

import gradio as gr
from gradio import processing_utils

from .jobs import Jobs
from .messages import page_error
from .style import CSS, SCRIPT


def launch_options(jobs: Jobs, host: str, port: int | None) -> dict[str, Any]:
    """Arguments of ``launch``: nothing is shared, sent, fetched or kept.

    Args:
        jobs (Jobs): Has the limits.
        host (str): Address to listen at.
        port (int, optional): Port; the first free one from 7860 on if None.

    Returns:
        dict[str, Any]: Arguments.
    """
    forbid_downloads()
    return {
        'server_name': host,
        'server_port': port,
        'share': False,
        'show_error': False,
        'quiet': True,
        'max_file_size': int(jobs.limits.megabytes * 1e6),
        'enable_monitoring': False,
        'ssr_mode': False,
        'pwa': False,
        'mcp_server': False,
        'run_history': False,
        'footer_links': [],
        'css': CSS,
        'js': SCRIPT,
        'theme': gr.themes.Default(
            font=['system-ui', 'sans-serif'],
            font_mono=['ui-monospace', 'monospace'],
        ),
    }


def forbid_downloads() -> None:
    """Let no request make the server fetch an address in place of a file.

    A file that a request names by its address would be downloaded.
    """

    async def refuse(*_: Any, **__: Any) -> None:
        raise page_error('this page takes uploads, and no addresses')

    processing_utils.async_ssrf_protected_download = refuse
