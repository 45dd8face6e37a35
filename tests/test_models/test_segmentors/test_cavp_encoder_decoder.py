"""Shuffled sounds, and the bank that some of them come from."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.structures import AudioFeatures

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/_base_/models'


@pytest.fixture
def cfg():
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / 'cavp_r18_tiny.py').model
    cfg.data_preprocessor.size = (64, 64)
    return cfg


@pytest.fixture
def model(cfg):
    torch.manual_seed(0)
    return MODELS.build(cfg)


@pytest.fixture(autouse=True)
def epoch():
    """Set the epoch of the training."""
    hub = MessageHub.get_current_instance()

    def start(number):
        hub.update_info('epoch', number)

    start(0)
    yield start
    start(0)


@pytest.fixture
def batch(make_batch):
    """Frames with one class each; their sounds are told by their level."""

    def make(*classes):
        parts = [make_batch(1, labels=found) for found in classes]
        samples = [part['data_samples'][0] for part in parts]
        for index, sample in enumerate(samples):
            sample.set_metainfo(dict(uid=str(index)))
            sample.audio = torch.full((1, 16000), index + 1.0)
        inputs = [part['inputs'][0] for part in parts]
        return dict(inputs=inputs, data_samples=samples)

    return make


@pytest.fixture
def deal(model, monkeypatch):
    """Levels of the sounds that are encoded, and what matches."""

    def run(samples, partner=(1, 2, 0)):
        levels = []

        def extract(waveform):
            levels.extend(waveform[:, 0, 0].tolist())
            return AudioFeatures([], torch.zeros(len(waveform), 64))

        monkeypatch.setattr(torch, 'randperm', lambda n: torch.tensor(partner))
        monkeypatch.setattr(model, 'extract_audio', extract)
        waveform = torch.stack([s.audio for s in samples])
        audio = model.extract_training_audio(waveform, samples)
        half = len(samples)
        assert levels[:half] == waveform[:, 0, 0].tolist()
        return levels[half:], audio.shuffled.matches.tolist()

    return run


def test_sounds_are_dealt(deal, batch):
    samples = batch((1,), (3,), (3,))['data_samples']
    assert deal(samples) == ([2, 3, 1], [False, True, False])


def test_the_bank_is_used_from_the_second_epoch(model, deal, batch, epoch):
    model.sound_bank.swap_rate = 1.0
    samples = batch((1,), (3,), (3,))['data_samples']
    assert deal(samples)[1] == [False, True, False]
    assert model.sound_bank.count.tolist() == [1, 0, 2, 0, 0, 0, 0, 0]
    for sample in samples:
        sample.audio += 10
    epoch(1)
    # The oldest sounds of the images' classes.
    assert deal(samples) == ([1, 13, 2], [True, True, True])
    assert model.sound_bank.count[2] == 4


def test_half_of_the_pairs_are_changed(model, deal, batch, epoch):
    samples = batch((1,), (3,), (4,))['data_samples']
    deal(samples)
    epoch(1)
    torch.manual_seed(0)
    changed = sum(sum(deal(samples)[1]) for _ in range(40))
    assert 40 <= changed <= 80  # 120 pairs, 3.7 standard deviations


def test_several_sounds_are_not_stored(model, deal, batch):
    deal(batch((1, 3), (), (4,))['data_samples'])
    assert model.sound_bank.count.nonzero().flatten().tolist() == [3]


def step(model, data):
    data = model.data_preprocessor(copy.deepcopy(data), True)
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    return total, losses


@pytest.mark.parametrize('number', [1, 3])
def test_training_steps(model, batch, epoch, number):
    """Also with a single frame, and with frames of a bank."""
    data = batch(*[(1,), (3,), ()][:number])
    for start in (0, 1):
        epoch(start)
        total, losses = step(model, data)
        total.backward()
        assert total.isfinite()
        assert {'decode.loss_decode', 'decode.loss_contrast'} <= set(losses)
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_sounds_decide(model, batch):
    data = model.data_preprocessor(batch((1,), (3,)), False)
    model.eval()
    with torch.no_grad():
        first = model(**copy.deepcopy(data), mode='predict')
        for sample in data['data_samples']:
            sample.audio = torch.randn(1, 16000)
        other = model(**data, mode='predict')
    assert first[0].seg_logits.data.shape == (9, 64, 64)
    assert not torch.equal(first[0].seg_logits.data, other[0].seg_logits.data)


def test_a_resumed_training_has_the_bank(cfg, model, batch, epoch):
    """The same step, bit by bit, from a checkpoint of the model."""
    data = batch((1,), (3,), (4,))
    step(model, data)
    torch.manual_seed(1)
    other = MODELS.build(cfg)
    other.load_state_dict(model.state_dict())
    epoch(1)
    totals = []
    for one in (model, other):
        torch.manual_seed(5)
        totals.append(step(one, data)[0])
    assert torch.equal(*totals)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_without_contrast_nothing_is_dealt(cfg, batch):
    cfg.decode_head.loss_contrast = None
    model = MODELS.build(cfg)
    total, losses = step(model, batch((1,), (3,)))
    assert 'decode.loss_contrast' not in losses and total.isfinite()
    assert not model.sound_bank.count.any()


def test_two_classes_have_no_bank(cfg, batch):
    cfg.decode_head.num_classes = 2
    with pytest.raises(ValueError, match='sound_bank=None'):
        MODELS.build(cfg)
    cfg.sound_bank = None
    model = MODELS.build(cfg)
    total, _ = step(model, batch((1,), (1,)))
    assert total.isfinite()
