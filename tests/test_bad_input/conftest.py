"""The users' tools on a tiny AVSBench-Semantic folder that a test damages."""

import gc
import hashlib
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner

from mmcpm.apis import train_and_test
from mmcpm.visualization import AVSLocalVisualizer

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_'

# The smallest model of the family, on crops of 32 x 32 pixels.
CONFIG = f"""
_base_ = [
    '{CONFIGS}/default_runtime.py',
    '{CONFIGS}/datasets/avss.py',
    '{CONFIGS}/models/avmask2former_r18_tiny.py',
    '{CONFIGS}/schedules/adamw_poly_scenes.py',
]
model = dict(
    data_preprocessor=dict(size=(32, 32)),
    decode_head=dict(
        num_classes=71,
        num_queries=4,
        pixel_decoder=dict(encoder=dict(num_layers=1)),
        transformer_decoder=dict(num_layers=1),
        train_cfg=dict(num_points=32),
    ),
)
train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='RandomCrop', crop_size=(32, 32)),
    dict(type='PackAVSInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(pipeline=train_pipeline, serialize_data=False),
)
few = dict(indices=2, serialize_data=False)
val_dataloader = dict(num_workers=0, dataset=few)
test_dataloader = dict(num_workers=0, dataset=few)
train_cfg = dict(max_epochs=1)
param_scheduler = []
"""


def digests(folder: Path) -> dict[str, str]:
    """Hash every file of a folder's clips and index files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for pattern in ('*', 'v*/*/*', 'v*/*/*/*')
        for path in folder.glob(pattern)
        if path.is_file()
    }


class Tools:
    """tools/train.py and tools/test.py as a user calls them."""

    def __init__(self, config: str, data_root: Path, capsys, parse) -> None:
        self.config = config
        self.parse = parse
        self.data_root = data_root
        self.capsys = capsys
        self.has_begun = False
        self.stops_at_begin = False

    def configure(self, lines: str) -> None:
        """Use a configuration that adds lines to the tiny one."""
        self.config = 'configured.py'
        Path(self.config).write_text(f"_base_ = ['tiny.py']\n{lines}\n")

    def train(self, *options: str, **arguments) -> str:
        """Train; return what was printed on stderr."""
        self._call('train', [], options, arguments)
        return self.capsys.readouterr().err

    def test(self, checkpoint, *options: str, **arguments) -> dict:
        """Test; return the scores."""
        return self._call('test', [str(checkpoint)], options, arguments)

    def _call(self, name, required, options, arguments):
        for manager in (MMLogger, MessageHub, AVSLocalVisualizer):
            manager._instance_dict.clear()
        settings = {
            'work_dir': 'work',
            'data_root': str(self.data_root),
            'cfg_options': list(options) or None,
            **arguments,
        }
        config = settings.pop('config', self.config)
        args = self.parse[name](config, *required, **settings)
        return getattr(train_and_test, name)(args)

    def accepts(self, name: str = 'train', *args, **kwargs) -> None:
        """Call a tool that must get as far as its first iteration."""
        self.stops_at_begin = True
        getattr(self, name)(*args, **kwargs)
        assert self.has_begun

    def refuses(self, name: str, *args, begun: bool = False, **kwargs) -> str:
        """Call a tool that must end with one message.

        Args:
            name (str): 'train' or 'test'.
            *args: Of the tool.
            begun (bool): Whether the fault can only be seen in the run.
            **kwargs: Of the tool.

        Returns:
            str: The message.
        """
        before = digests(self.data_root) if self.data_root.is_dir() else {}
        with pytest.raises(SystemExit) as stop:
            getattr(self, name)(*args, **kwargs)
        # Ends the data-loading processes that the error still holds.
        stop.value.__context__ = None
        gc.collect()
        captured = self.capsys.readouterr()
        assert stop.value.code == 2
        assert captured.err.count(f'{name}.py: error: ') == 1
        message = captured.err[captured.err.index(f'{name}.py: error: ') :]
        assert 'Traceback' not in captured.err + captured.out
        assert self.has_begun == begun, message
        # Nothing of the user's was touched, nothing half is left behind.
        after = digests(self.data_root) if self.data_root.is_dir() else {}
        assert after == before
        assert not list(Path('.').rglob('*.partial-*'))
        return message


@pytest.fixture
def tools(avss_copy, tmp_path, monkeypatch, capsys, train_args, test_args):
    """The tools, in an empty folder, on a data root of their own."""
    folder = tmp_path / 'here'
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv('LOCAL_RANK', '0')
    for name in ('RANK', 'WORLD_SIZE', 'MMCPM_TRACEBACK', 'DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    Path('tiny.py').write_text(CONFIG)
    # After an error PyTorch waits that long for every data-loading process.
    monkeypatch.setattr(
        'torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.1
    )
    tools = Tools(
        'tiny.py', avss_copy, capsys, dict(train=train_args, test=test_args)
    )
    for name in ('train', 'test'):
        run = getattr(Runner, name)

        def begin(runner, run=run):
            tools.has_begun = True
            return None if tools.stops_at_begin else run(runner)

        monkeypatch.setattr(Runner, name, begin)
    return tools


@pytest.fixture(scope='session')
def weights(tmp_path_factory):
    """A checkpoint of the tiny model, weights alone."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    folder = tmp_path_factory.mktemp('weights')
    (folder / 'tiny.py').write_text(CONFIG)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    path = folder / 'weights.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    return path
