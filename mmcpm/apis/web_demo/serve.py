"""What tools/web_demo.py does."""

import importlib.util
import os
import signal
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from mmcpm.utils.errors import UsageError, reported
from mmcpm.video.pyav import import_av

from .. import options
from ..av_inferencer import AVSInferencer
from ..model_loading import resolve_config
from .jobs import Jobs
from .limits import Limits
from .session_files import SessionFiles

REMEDY = 'pip install "gradio>=6.31,<7" av'
# Read when Gradio is imported: it asks for its newest version otherwise.
SETTINGS = {
    'GRADIO_ANALYTICS_ENABLED': 'False',
    'GRADIO_RUN_HISTORY': 'False',
    'HF_HUB_OFFLINE': '1',
    'HF_HUB_DISABLE_TELEMETRY': '1',
}


def check_gradio() -> None:
    """See whether Gradio is there.

    Raises:
        UsageError: If not; tells how to install it.
    """
    if importlib.util.find_spec('gradio') is None:
        raise UsageError(
            f'the web page needs Gradio, which is not installed: {REMEDY}'
        )


def run(args: Namespace) -> None:
    """Serve the page as told by the arguments of tools/web_demo.py.

    Args:
        args (Namespace): The parsed arguments.

    Raises:
        SystemExit: With code 2 and a message, if something is wrong.
    """
    with reported('web_demo.py', after_interrupt='The page is closed.'):
        check_gradio()
        import_av()
        limits = Limits(args.max_seconds, args.max_megabytes, args.max_pixels)
        limits.check()
        samples = find_samples(args.samples)
        cfg, _ = resolve_config(args.config)
        options.apply_cfg_options(cfg, args.cfg_options)
        inferencer = AVSInferencer(
            cfg, args.checkpoint, args.device, show_progress=False
        )
        os.environ.update(SETTINGS)
        # Ended by the system, it deletes its files, too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with tempfile.TemporaryDirectory(prefix='avs-demo-') as folder:
            os.environ['GRADIO_TEMP_DIR'] = folder
            serve(args, inferencer, limits, samples, SessionFiles(folder))


def serve(
    args: Namespace,
    inferencer: AVSInferencer,
    limits: Limits,
    samples: list[Path],
    files: SessionFiles,
) -> None:
    """Build the page, tell its address, and wait for Ctrl-C."""
    from .launch import launch_options
    from .page import build_page

    jobs = Jobs(inferencer, limits, files.keep)
    name = Path(args.config).stem
    page = build_page(jobs, files, samples, args.fps, name)
    settings = launch_options(jobs, args.host, args.port)
    try:
        _, address, _ = page.launch(
            **settings,
            prevent_thread_lock=True,
            allowed_paths=sorted({str(p.parent) for p in samples}),
        )
    except OSError as error:
        raise UsageError(
            f'port {args.port or "7860 to 7959"} of {args.host} cannot be '
            f'used ({error}). Choose another one: --port N'
        ) from error
    print(f'The page is at {address} (Ctrl-C closes it)', flush=True)
    if args.host not in ('127.0.0.1', 'localhost', '::1'):
        print(
            f'note: {args.host} lets others in, who can upload files and use '
            'this machine; there is no password',
            file=sys.stderr,
        )
    try:
        page.block_thread()
    finally:
        page.close()


def find_samples(folder: str | None) -> list[Path]:
    """List the sample clips.

    Args:
        folder (str, optional): Folder with mp4 files.

    Returns:
        list[Path]: Files.

    Raises:
        UsageError: If there is no such folder.
    """
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise UsageError(f'--samples {folder}: no such folder')
    return sorted(p.resolve() for p in Path(folder).glob('*.mp4'))
