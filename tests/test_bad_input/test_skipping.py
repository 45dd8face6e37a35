"""Training without a few unreadable samples, counted and reported."""

from pathlib import Path

import pytest

TRAIN = (
    'v1s/__GOGlHL23s_4000_9000',
    'v1s/zVfLHhs9uv8_3000_8000',
    'v1m/m1_0',
    'v1m/m2_1',
    'v2/-apT0tfo6U_16000_26000',
    'v2/_offscreen_0_10000',
)
SKIP = 'train_dataloader.dataset.skip_unreadable'
ONLY_TRAIN = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')


def spoil(tools, *numbers):
    """Empty the sounds of clips."""
    files = [tools.data_root / TRAIN[n] / 'audio.wav' for n in numbers]
    for file in files:
        file.write_bytes(b'')
    return [str(file) for file in files]


def warnings():
    log = next(Path('work').glob('*/*.log')).read_text()
    return [line for line in log.splitlines() if ' - WARNING - ' in line]


@pytest.mark.parametrize('workers', [0, 2])
def test_skipped_samples_are_reported_per_epoch(tools, workers):
    files = spoil(tools, 1, 4)
    tools.train(
        f'{SKIP}=2',
        f'train_dataloader.num_workers={workers}',
        'train_cfg.max_epochs=2',
        *ONLY_TRAIN,
    )
    lines = warnings()
    for epoch in (1, 2):
        (line,) = [x for x in lines if f'of epoch {epoch} were repl' in x]
        assert '2 samples' in line and '2 files were unreadable since' in line
        assert '(skip_unreadable allows for 2)' in line
        assert all(file in line for file in files)
    # The file and its fault are told where it is met.
    assert any('Replaced by the next sample' in line for line in lines)
    assert any('the file is empty (0 bytes)' in line for line in lines)


def test_one_too_many(tools):
    files = spoil(tools, 1, 3, 4)
    message = tools.refuses('train', f'{SKIP}=2', begun=True)
    assert 'More than skip_unreadable=2 files cannot be read' in message
    assert all(file in message for file in files)


def test_workers_are_counted_together(tools):
    """Each of two workers meets one file: neither alone is over the limit."""
    config = Path(tools.config)
    # In this order worker 0 reads clips 0 to 2 and worker 1 the others.
    config.write_text(
        config.read_text() + "train_dataloader['sampler'] = dict(\n"
        "    type='DefaultSampler', shuffle=False)\n"
    )
    files = spoil(tools, 1, 4)
    message = tools.refuses(
        'train',
        f'{SKIP}=1',
        'train_dataloader.num_workers=2',
        'train_dataloader.batch_size=3',
        *ONLY_TRAIN,
        begun=True,
    )
    assert 'More than skip_unreadable=1 files cannot be read' in message
    assert all(file in message for file in files)


def test_more_missing_files_than_allowed_are_known_before(tools):
    for number in (1, 4):
        (tools.data_root / TRAIN[number] / 'audio.wav').unlink()
    message = tools.refuses('train', f'{SKIP}=1')
    assert "2 files of the split 'train' are missing" in message
    assert f'--cfg-options {SKIP}=2' in message
    tools.accepts('train', f'{SKIP}=2')


def test_nothing_can_be_read(tools):
    spoil(tools, *range(6))
    message = tools.refuses('train', f'{SKIP}=9')
    assert 'No sample can be read' in message


def test_nothing_to_report(tools):
    tools.train(f'{SKIP}=3')
    assert not [line for line in warnings() if 'unreadable' in line]
