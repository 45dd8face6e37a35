"""The paper's configuration runs: trains, validates, keeps the best, tests."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer
from mmseg.registry import MODELS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/avmask2former/avmask2former_r50_avss.py'
# Convolutions of the public file vggish-10086976.pth.
VGGISH = {
    0: (64, 1),
    3: (128, 64),
    6: (256, 128),
    8: (256, 256),
    11: (512, 256),
    13: (512, 512),
}


@pytest.fixture(scope='module')
def weight_files(tmp_path_factory):
    """Files as torchvision and torchvggish publish them, with own numbers."""
    resnet50 = pytest.importorskip('torchvision.models').resnet50

    folder = tmp_path_factory.mktemp('weights')
    torch.manual_seed(0)
    image = resnet50(weights=None).state_dict()
    audio = {'embeddings.0.weight': torch.zeros(2, 2)}
    for index, channels in VGGISH.items():
        audio[f'features.{index}.weight'] = 0.01 * torch.randn(*channels, 3, 3)
        audio[f'features.{index}.bias'] = torch.randn(channels[0])
    torch.save(image, folder / 'resnet50.pth')
    torch.save(audio, folder / 'vggish.pth')
    return folder / 'resnet50.pth', folder / 'vggish.pth'


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Runs a tool as in a new process, which would only import once more."""
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.delenv('RANK', raising=False)

    def run(name, *arguments, expected=0):
        for manager in (MMLogger, MessageHub, Visualizer):
            manager._instance_dict.clear()
        main = runpy.run_path(str(ROOT / 'tools' / name))['main']
        code = 0
        try:
            main([*map(str, arguments)])
        except SystemExit as error:
            code = error.code
        output = ''.join(capsys.readouterr())
        assert code == expected, output
        return output

    return run


def test_pretrained_weights_are_loaded_by_name(weight_files, mmseg_scope):
    image_file, audio_file = weight_files
    model = Config.fromfile(CONFIG).model
    model.backbone.init_cfg.checkpoint = str(image_file)
    model.audio_backbone.init_cfg.checkpoint = str(audio_file)
    model = MODELS.build(model)
    model.init_weights()
    for part, file in (
        (model.backbone, image_file),
        (model.audio_backbone, audio_file),
    ):
        saved = torch.load(file)
        weights = part.state_dict()
        assert weights
        for name, weight in weights.items():
            assert torch.equal(weight, saved[name]), name
        rest = {name.split('.')[0] for name in saved.keys() - weights.keys()}
        assert rest in ({'fc'}, {'embeddings'})


def test_the_best_checkpoint_is_chosen_on_the_validation_split():
    cfg = Config.fromfile(CONFIG)
    assert cfg.default_hooks.checkpoint.save_best == 'dataset/mIoU'
    assert [
        cfg[f'{name}_dataloader'].dataset.split
        for name in ('train', 'val', 'test')
    ] == ['train', 'val', 'test']


def test_train_validate_and_test(weight_files, avss_root, tmp_path, run_tool):
    """At a small crop, with the whole model of 71 classes."""
    image_file, audio_file = weight_files
    common = ['--data-root', avss_root]
    output = run_tool(
        'train.py',
        CONFIG,
        *(*common, '--work-dir', tmp_path / 'work', '--cfg-options'),
        f'model.backbone.init_cfg.checkpoint={image_file}',
        f'model.audio_backbone.init_cfg.checkpoint={audio_file}',
        'model.data_preprocessor.size=(64,64)',
        'train_dataloader.dataset.pipeline.6.crop_size=(64,64)',
        'train_dataloader.batch_size=1',
        'train_dataloader.num_workers=1',
        'train_dataloader.dataset.indices=2',
        'val_dataloader.num_workers=0',
        'val_dataloader.dataset.indices=2',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'param_scheduler.0.end=1',
        # Half a gigabyte that nothing reads here.
        'default_hooks.checkpoint.save_optimizer=False',
        'default_hooks.logger.interval=1',
    )
    assert 'Epoch(train) [1][2/2]' in output
    assert 'The best checkpoint with' in output
    best = tmp_path / 'work/best_dataset_mIoU_epoch_1.pth'
    weights = torch.load(best)['state_dict']
    # They have been trained from the file's: at 1e-5, two steps of Adam.
    start = torch.load(image_file)['layer1.0.conv1.weight']
    moved = (weights['backbone.layer1.0.conv1.weight'] - start).abs()
    assert 0 < moved.max() < 1e-4

    scores = tmp_path / 'scores.json'
    run_tool(
        'test.py',
        CONFIG,
        best,
        *common,
        *('--work-dir', tmp_path / 'test', '--scores', scores),
        *('--cfg-options', 'test_dataloader.num_workers=0'),
        'test_dataloader.dataset.indices=3',
    )
    metrics = json.loads(scores.read_text())['metrics']
    assert 0 <= metrics['dataset/mIoU'] <= 1
    assert 'dataset/ms/mIoU' in metrics or 'dataset/ss/mIoU' in metrics


def test_missing_weights_without_a_network(
    avss_root, tmp_path, run_tool, monkeypatch
):
    """The message names the part and the way out, at once."""
    # Port 9 discards what it gets, where it exists at all.
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    output = run_tool(
        'train.py',
        CONFIG,
        *('--data-root', avss_root, '--work-dir', tmp_path / 'work'),
        expected=2,
    )
    message = output.rsplit('train.py: error: ', 1)[-1]
    assert 'pretrained weights of backbone' in message
    assert 'torchvision://resnet50' in message
    assert 'model.backbone.init_cfg.checkpoint=FILE' in message
    assert 'Traceback' not in output
