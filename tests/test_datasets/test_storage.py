"""Data that lie on other storage: an HTTP server, a backend of one's own."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mmengine.fileio.io as io
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio.backends import BaseStorageBackend
from mmseg.registry import DATASETS

from mmcpm.apis import options
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.datasets.errors import SampleReadError
from mmcpm.utils.errors import UsageError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
LAYOUTS = {
    'avss': 'avss',
    'demo': 'sounding_scenes_demo',
    **{
        layout: f'scenes_{layout}'
        for layout in ('s4', 'ms3', 'vpo_ss', 'vpo_ms', 'vpo_msmi')
    },
}

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture(scope='module')
def folder(tmp_path_factory, avss_root):
    """Data in every layout."""
    folder = tmp_path_factory.mktemp('storage')
    (folder / 'avss').symlink_to(avss_root)
    for name in LAYOUTS:
        if name != 'avss':
            kind = {} if name == 'demo' else {'layout': name}
            write_sounding_scenes(
                folder / name, clips=(4, 2, 1), size=48, workers=0, **kind
            )
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope='module')
def address(folder):
    """The same data behind an HTTP server."""
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


class Bucket(BaseStorageBackend):
    """Gives bytes and text of files, and can nothing else."""

    def __init__(self, root):
        self.root = root

    def get(self, filepath):
        return Path(filepath.replace('bucket', self.root, 1)).read_bytes()

    def get_text(self, filepath, encoding='utf-8'):
        return self.get(filepath).decode(encoding)


def open_dataset(name, data_root, backend_args=None):
    cfg = Config.fromfile(CONFIGS / f'{LAYOUTS[name]}.py')
    options.apply_data_root(cfg, data_root)
    dataset = cfg.test_dataloader.dataset
    if backend_args:
        dataset.update(data_root='bucket/' + name, backend_args=backend_args)
        for step in dataset.pipeline:
            if step.type.startswith('Load'):
                step.backend_args = backend_args
    return DATASETS.build(dataset)


@pytest.mark.parametrize('name', LAYOUTS)
@pytest.mark.parametrize('storage', ['http', 'bucket'])
def test_samples_are_those_of_the_local_disk(
    folder, address, monkeypatch, name, storage
):
    local = open_dataset(name, str(folder / name))
    if storage == 'http':
        remote = open_dataset(name, f'{address}/{name}')
    else:
        monkeypatch.setitem(io.backends, 'bucket', Bucket)
        args = {'backend': 'bucket', 'root': str(folder)}
        remote = open_dataset(name, str(folder / name), args)
    assert len(remote) == len(local) > 0
    assert not remote.is_local and remote.missing_files() == []
    for index in range(len(local)):
        one, other = local[index], remote[index]
        assert torch.equal(one['inputs'], other['inputs'])
        one, other = one['data_samples'], other['data_samples']
        assert torch.equal(one.audio, other.audio)
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)
        assert one.sample_id == other.sample_id


@pytest.mark.parametrize('name', LAYOUTS)
def test_missing_files_are_named(folder, address, name):
    index = rf'index file {address}/no/\S*: .*404'
    with pytest.raises(UsageError, match=index):
        open_dataset(name, f'{address}/no')
    data = open_dataset(name, f'{address}/{name}')
    data.data_root = f'{address}/elsewhere'
    frame = rf'frame {address}/else\S*: .*404'
    with pytest.raises(SampleReadError, match=frame):
        data[0]
