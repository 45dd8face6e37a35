from types import SimpleNamespace

import pytest
from mmengine.runner import IterBasedTrainLoop
from mmseg.structures import SegDataSample

from mmcpm.datasets.errors import SampleReadError
from mmcpm.engine.hooks import SampleReportHook


class Logger:
    def __init__(self):
        self.lines = []

    def warning(self, line):
        self.lines.append(line)


def make_runner(limit):
    inner = SimpleNamespace(skip_unreadable=limit)
    wrapper = SimpleNamespace(dataset=inner)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=wrapper))
    return SimpleNamespace(train_loop=loop, logger=Logger(), epoch=0)


def batch(*samples):
    return {'data_samples': [SegDataSample(metainfo=s) for s in samples]}


def skipped(*pairs):
    return {'sample_id': 'z/0', 'audio_valid_samples': 1, 'skipped': pairs}


def silent(sample_id):
    return {'sample_id': sample_id, 'audio_valid_samples': 0}


def test_files_of_all_epochs_and_samples_of_one():
    runner, hook = make_runner(limit=2), SampleReportHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    hook.after_train_iter(runner, 0, batch(skipped(('b/0', 'b.wav'))))
    # Two frames of one clip lack the same file.
    hook.after_train_iter(
        runner, 1, batch(skipped(('a/0', 'a.wav'), ('a/3', 'a.wav')))
    )
    hook.after_train_epoch(runner)
    runner.epoch = 1
    hook.before_train_epoch(runner)
    hook.after_train_iter(runner, 2, batch(skipped(('a/1', 'a.wav'))))
    hook.after_train_epoch(runner)
    assert runner.logger.lines == [
        '3 samples of epoch 1 were replaced; 2 files were unreadable since '
        'the start (skip_unreadable allows for 2): a.wav, b.wav',
        '1 samples of epoch 2 were replaced; 2 files were unreadable since '
        'the start (skip_unreadable allows for 2): a.wav, b.wav',
    ]


def test_one_file_too_many_over_all_workers():
    runner, hook = make_runner(limit=1), SampleReportHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, batch(skipped(('b/0', 'b.wav'))))
    with pytest.raises(
        SampleReadError, match='More than skip_unreadable=1.*\na.wav\nb.wav'
    ):
        hook.after_train_iter(runner, 1, batch(skipped(('a/0', 'a.wav'))))


def test_ranks_are_added_at_the_end_of_an_epoch(monkeypatch):
    runner, hook = make_runner(limit=1), SampleReportHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, batch(skipped(('b/0', 'b.wav'))))
    monkeypatch.setattr(
        'mmcpm.engine.hooks.sample_report_hook.all_gather_object',
        lambda names: [names, {'a.wav'}],
    )
    with pytest.raises(SampleReadError, match='\na.wav\nb.wav'):
        hook.after_train_epoch(runner)


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
def test_frames_after_the_end_of_their_sound(mode):
    runner, hook = make_runner(limit=0), SampleReportHook()
    getattr(hook, f'before_{mode}_epoch')(runner)
    names = [f'c{i:02}/4' for i in range(11)]
    for name in names:
        getattr(hook, f'after_{mode}_iter')(
            runner, 0, batch(silent(name), skipped()), None
        )
    getattr(hook, f'after_{mode}_epoch')(runner)
    (line,) = runner.logger.lines
    assert line.startswith('11 frames lie after the end of their sound')
    assert 'c00/4, c01/4' in line and line.endswith('c09/4 and 1 more')
    getattr(hook, f'before_{mode}_epoch')(runner)
    getattr(hook, f'after_{mode}_epoch')(runner)
    assert len(runner.logger.lines) == 1


def test_batches_without_such_samples_are_passed_over():
    runner, hook = make_runner(limit=0), SampleReportHook()
    views = {'data_samples': [[SegDataSample()], [SegDataSample()]]}
    for data_batch in (None, {'inputs': []}, batch({}), views):
        hook.after_test_iter(runner, 0, data_batch)
    hook.after_test_epoch(runner)
    assert runner.logger.lines == []


@pytest.mark.parametrize('others', [None, [], [1, 2], 'text', {'x': 1}])
def test_samples_of_other_datasets_are_no_reason_to_end(others):
    """They need no names, nor be data samples at all."""
    runner, hook = make_runner(limit=0), SampleReportHook()
    hook.before_train_epoch(runner)
    hook.after_train_iter(runner, 0, batch(silent('a/0'), {**silent(None)}))
    hook.after_train_iter(runner, 1, others)
    hook.after_train_iter(runner, 2, {'data_samples': others})
    hook.after_train_epoch(runner)
    assert runner.logger.lines[0].startswith('2 frames lie after the end')


def test_without_epochs_validations_part_the_reports():
    """A validation does not forget what the training has met."""
    runner, hook = make_runner(limit=1), SampleReportHook()
    runner._train_loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    runner.iter = 10
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    hook.after_train_iter(runner, 0, batch(skipped(('b/0', 'b.wav'))))
    for _ in range(2):
        hook.before_val_epoch(runner)
        hook.after_val_iter(runner, 0, batch(silent('v/0')), None)
        hook.after_val_epoch(runner)
    texts = [line.split(';')[0] for line in runner.logger.lines]
    assert texts[0] == '1 samples up to iteration 10 were replaced'
    assert texts[1].startswith('1 frames lie after the end of their sound')
    assert texts[2] == '0 samples up to iteration 10 were replaced'
