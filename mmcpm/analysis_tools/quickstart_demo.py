"""The web page on what the quickstart made: its model and its test clips."""

import os
import sys
from pathlib import Path

from mmcpm.apis.web_demo.samples import write_samples
from mmcpm.apis.web_demo.serve import check_gradio
from mmcpm.utils.errors import reported
from mmcpm.video.pyav import import_av

from .quickstart import CONFIG, DATA, best_checkpoint

PROGRAM = 'quickstart'


def check_demo() -> None:
    """See, before a training, whether the page can be served after it.

    Raises:
        SystemExit: With code 2 and a message, if something is missing.
    """
    with reported(PROGRAM):
        check_gradio()
        import_av()


def is_done(work_dir: str | Path) -> bool:
    """Tell whether a quickstart ended well.

    Args:
        work_dir (str | Path): Its work directory.

    Returns:
        bool: Whether summary and best checkpoint are there.
    """
    # The summary is the last that is written, and removed at the beginning.
    return Path(work_dir, 'summary.json').is_file() and any(
        Path(work_dir).glob('best_*.pth')
    )


def demo_command(
    repository: Path, work_dir: str | Path, data_root: str | Path | None
) -> list[str]:
    """Make sample clips, and name the command that serves the page.

    Args:
        repository (Path): Root of the repository.
        work_dir (str | Path): Work directory of the quickstart; receives
            ``samples``.
        data_root (str | Path, optional): Root folder of its scenes. Defaults
            to ``data/sounding_scenes_demo``.

    Returns:
        list[str]: Script and arguments, without the interpreter.
    """
    samples = Path(work_dir).absolute() / 'samples'
    write_samples(data_root or repository / DATA, samples)
    return [
        str(repository / 'tools/web_demo.py'),
        str(repository / CONFIG),
        str(best_checkpoint(Path(work_dir).absolute())),
        '--samples',
        str(samples),
    ]


def serve_demo(
    repository: Path, work_dir: str | Path, data_root: str | Path | None
) -> None:
    """Become the server of the page, see :func:`demo_command`."""
    with reported(PROGRAM):
        command = demo_command(repository, work_dir, data_root)
    print('\n== Web page', flush=True)
    os.execv(sys.executable, [sys.executable, *command])
