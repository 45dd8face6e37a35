"""Checkpoints that are missing, damaged, or of something else."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch


class Program:
    """Unpickled by a careless loader, it makes a file."""

    def __reduce__(self):
        return exec, ("open('ran', 'w')",)


def text(path, good):
    path.write_text('not a checkpoint')


def web_page(path, good):
    path.write_text('<!DOCTYPE html><title>404</title>')


def empty(path, good):
    path.touch()


def truncated(path, good):
    path.write_bytes(good[: len(good) // 2])


def altered(path, good):
    content = bytearray(good)
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def program(path, good):
    torch.save({'state_dict': {'a': torch.zeros(1)}, 'b': Program()}, path)


def pickled_program(path, good):
    path.write_bytes(pickle.dumps(Program()))


def whole_module(path, good):
    torch.save(torch.nn.Linear(2, 2), path)


def other_archive(path, good):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('notes.txt', 'x')


def no_weights(path, good):
    torch.save({'epoch': 3}, path)


def not_finite(path, good):
    torch.save({'state_dict': {'a': torch.tensor([float('nan')])}}, path)


def image_backbone(path, good):
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, path)


FAULTS = [
    (text, "it is no file of PyTorch (it begins with b'not a checkpoint')"),
    (web_page, "it is no file of PyTorch (it begins with b'<!DOCTYPE html>"),
    (empty, 'the file is empty (0 bytes)'),
    (truncated, 'the file is truncated'),
    (altered, 'is damaged: the checksum of'),
    (program, 'exec, and was refused, since such a file can run any program'),
    (pickled_program, 'was refused, since such a file can run any program'),
    (whole_module, 'namely torch.nn.modules.linear.Linear, and was refused'),
    (other_archive, 'was not written by tools/train.py'),
    (no_weights, 'holds no weights: expected a dict of tensors'),
    (not_finite, 'holds NaN or infinite numbers in 1 weights (first: a)'),
    (image_backbone, 'does not fit the model: of 2'),
]


@pytest.mark.parametrize(('make', 'message'), FAULTS)
def test_checkpoint_of_a_test(tools, weights, make, message):
    path = Path('some.pth')
    make(path, weights.read_bytes())
    content = path.read_bytes()
    found = tools.refuses('test', 'some.pth')
    assert 'checkpoint some.pth' in found and message in found
    assert path.read_bytes() == content
    assert not Path('ran').exists()


@pytest.mark.parametrize('how', ['load_from', 'resume'])
def test_checkpoint_of_a_training(tools, how):
    text(Path('some.pth'), b'')
    if how == 'resume':
        message = tools.refuses('train', resume='some.pth')
    else:
        message = tools.refuses('train', 'load_from=some.pth')
    assert 'some.pth cannot be read: it is no file of PyTorch' in message


@pytest.mark.parametrize('kind', ['nothing', 'folder'])
def test_checkpoint_is_missing(tools, kind):
    if kind == 'folder':
        Path('some.pth').mkdir()
    message = tools.refuses('test', 'some.pth')
    assert f'checkpoint not found: {Path.cwd()}/some.pth' in message
    assert ('it is a folder' in message) == (kind == 'folder')
    assert 'such as epoch_1.pth' in message


def test_checkpoint_of_other_classes(tools, weights):
    state = torch.load(weights, weights_only=True)['state_dict']
    name = 'decode_head.cls_embed.weight'
    state[name] = state[name][:10]
    torch.save({'state_dict': state}, 'ten.pth')
    message = tools.refuses('test', 'ten.pth')
    assert f'1 have another shape (first: {name}, (10, 64) in' in message
    assert '(72, 64) in the model). Use the configuration' in message


def test_weights_alone_cannot_be_resumed(tools, weights):
    message = tools.refuses('train', resume=str(weights))
    assert 'it has no meta, message_hub, optimizer' in message
    assert f'load_from={weights} without --resume' in message


PRETRAINED = """
model['audio_backbone'] = dict(
    norm_cfg=None,
    init_cfg=dict(
        _delete_=True, type='Pretrained', checkpoint='vggish.pth'))
"""


def use_pretrained_audio(tools):
    config = Path(tools.config)
    config.write_text(config.read_text() + PRETRAINED)


def test_pretrained_weights_are_missing(tools):
    use_pretrained_audio(tools)
    message = tools.refuses('train')
    assert 'weights of audio_backbone could not be read from vggish.pth' in (
        message
    )
    assert '--cfg-options model.audio_backbone.init_cfg.checkpoint=FILE' in (
        message
    )
    assert 'model.audio_backbone.init_cfg=None' in message


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (text, 'it is no file of PyTorch'),
        (truncated, 'the file is truncated'),
        (image_backbone, 'vggish.pth is not a weight file for audio_backbone'),
    ],
)
def test_pretrained_weights_of_something_else(tools, weights, make, message):
    use_pretrained_audio(tools)
    make(Path('vggish.pth'), weights.read_bytes())
    assert message in tools.refuses('train')
