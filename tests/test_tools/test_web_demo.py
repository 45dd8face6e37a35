"""tools/web_demo.py and quickstart --demo: one message per mistake."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from mmcpm.analysis_tools import quickstart_demo
from mmcpm.apis.web_demo import serve

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py'
WAIT_SECONDS = 120


def load(name):
    """A tool as a module."""
    path = ROOT / f'tools/{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def refuses(monkeypatch, capsys):
    """The function that runs the tool and gives its one message."""
    monkeypatch.setattr(sys, 'path', [*sys.path])

    def run(*arguments, tool='web_demo'):
        with pytest.raises(SystemExit) as caught:
            load(tool).main(list(map(str, arguments)))
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert 'Traceback' not in error
        return error

    return run


@pytest.fixture
def without_gradio(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        serve.importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'gradio' else find(name, *rest),
    )


@pytest.fixture
def with_gradio(monkeypatch):
    """Gradio, or what passes for it until the page is built."""
    monkeypatch.setattr(serve, 'check_gradio', lambda: None)


@pytest.mark.usefixtures('without_gradio')
@pytest.mark.parametrize(
    ('tool', 'arguments'),
    [('web_demo', [CONFIG, 'none.pth']), ('quickstart', ['--demo'])],
)
def test_how_to_install_gradio(
    refuses, tmp_path, monkeypatch, tool, arguments
):
    """Before a model is loaded, or trained."""
    monkeypatch.chdir(tmp_path)
    error = refuses(*arguments, tool=tool)
    assert 'needs Gradio, which is not installed' in error
    assert 'pip install "gradio' in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures('with_gradio')
@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (['--max-seconds', '0'], '--max-seconds must be above 0, not 0.0'),
        (['--max-megabytes', 'nan'], '--max-megabytes must be above 0'),
        (['--max-pixels', '-1'], '--max-pixels must be above 0, not -1'),
        (['--samples', 'nowhere'], '--samples nowhere: no such folder'),
        ([], 'none.pth'),
    ],
)
def test_mistakes_are_told_before_the_page_is_there(refuses, arguments, told):
    pytest.importorskip('av', reason='PyAV is not installed')
    assert told in refuses(CONFIG, 'none.pth', '--device', 'cpu', *arguments)


def test_samples_are_videos_in_order(tmp_path):
    for name in ('b.mp4', 'a.mp4', 'c.txt'):
        (tmp_path / name).touch()
    found = serve.find_samples(str(tmp_path))
    assert [path.name for path in found] == ['a.mp4', 'b.mp4']
    assert serve.find_samples(None) == []


def test_a_quickstart_is_done_when_it_summed_up(tmp_path):
    assert not quickstart_demo.is_done(tmp_path)
    (tmp_path / 'best_dataset_mIoU_epoch_2.pth').touch()
    assert not quickstart_demo.is_done(tmp_path)
    (tmp_path / 'summary.json').write_text(json.dumps({}))
    assert quickstart_demo.is_done(tmp_path)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A few sounding scenes."""
    pytest.importorskip('av', reason='PyAV is not installed')
    from mmcpm.dataset_converters.sounding_scenes.writer import (
        write_sounding_scenes,
    )

    root = tmp_path_factory.mktemp('scenes')
    write_sounding_scenes(root, clips=(1, 1, 3))
    return root


def test_the_demo_has_samples_and_the_best_checkpoint(scenes, tmp_path):
    from mmcpm.video.video_reader import VideoReader

    (tmp_path / 'best_a.pth').touch()
    (tmp_path / 'epoch_1.pth').touch()
    command = quickstart_demo.demo_command(ROOT, tmp_path, scenes)
    # What the tool is given, it understands.
    args = load('web_demo').build_parser().parse_args(command[1:])
    assert Path(command[0]).is_file() and Path(args.config).is_file()
    assert args.checkpoint == str(tmp_path / 'best_a.pth')
    samples = serve.find_samples(args.samples)
    assert samples
    for sample in samples:
        with VideoReader(str(sample)) as reader:
            times = [frame.time for frame in reader]
            assert reader.info.audio_tracks
        # Scenes of five or ten seconds, a frame of which is shown for one.
        assert len(times) in (40, 80)
        assert times[8] == pytest.approx(1.0, abs=1e-3)
    before = [path.stat().st_mtime_ns for path in samples]
    quickstart_demo.demo_command(ROOT, tmp_path, scenes)
    assert [path.stat().st_mtime_ns for path in samples] == before


def test_quickstart_ends_with_the_address(scenes, tmp_path):
    """On what an earlier quickstart left; ended, it deletes its files."""
    pytest.importorskip('gradio', reason='Gradio is not installed: [demo]')
    import torch
    from mmengine.config import Config

    from mmcpm.apis import init_model

    cfg = Config.fromfile(ROOT / quickstart_demo.CONFIG)
    state = init_model(cfg, device='cpu').state_dict()
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'best_a.pth')
    (tmp_path / 'summary.json').write_text('{}')
    (tmp_path / 'temporary').mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / 'tools/quickstart.py'),
            *('--demo', '--work-dir', str(tmp_path)),
            *('--data-root', str(scenes)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            'TMPDIR': str(tmp_path / 'temporary'),
            'PYTHONUNBUFFERED': '1',
            'no_proxy': '127.0.0.1',
        },
    )
    try:
        told = ''
        for line in process.stdout:
            told += line
            address = re.search(r'page is at (http://127\.0\.0\.1:\d+)', line)
            if address:
                break
        else:
            raise AssertionError(told)
        with urllib.request.urlopen(address[1], timeout=WAIT_SECONDS) as page:
            assert 'What sounds in this clip?' in page.read().decode()
        assert list((tmp_path / 'temporary').glob('avs-demo-*'))
    finally:
        process.send_signal(signal.SIGTERM)
        told += process.communicate(timeout=WAIT_SECONDS)[0]
    assert list((tmp_path / 'temporary').glob('avs-demo-*')) == [], told
    assert 'Traceback' not in told
