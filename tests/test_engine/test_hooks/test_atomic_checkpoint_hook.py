import os
import shutil
import time

import pytest
import torch
import torch.nn as nn
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import mmcpm  # noqa: F401
from mmcpm.engine.checkpoint_files import (
    AtomicLocalBackend,
    find_newest_whole_checkpoint,
    is_whole_checkpoint,
)


class Linear(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, mode='loss'):
        if mode == 'loss':
            return dict(loss=self.linear(torch.stack(inputs)).sum())
        return [{}]


class Scores(BaseMetric):
    """Gives the scores of a list, one per validation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(mIoU=next(self.scores))


def make_runner(
    work_dir, scores, epochs=None, load_from=None, val_interval=1, **hook
):
    init_default_scope('mmseg')
    data = [dict(inputs=torch.ones(2))]
    loader = dict(
        batch_size=1, dataset=data, collate_fn=dict(type='pseudo_collate')
    )
    return Runner(
        model=Linear(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            sampler=dict(type='DefaultSampler', shuffle=False), **loader
        ),
        train_cfg=dict(
            by_epoch=True,
            max_epochs=epochs or len(scores),
            val_interval=val_interval,
        ),
        val_dataloader=dict(
            sampler=dict(type='DefaultSampler', shuffle=False), **loader
        ),
        val_cfg={},
        val_evaluator=Evaluator(Scores(scores)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(
                type='AtomicCheckpointHook',
                interval=1,
                max_keep_ckpts=2,
                **{'save_best': 'mIoU', **hook},
            )
        ),
        load_from=None if load_from is None else str(load_from),
        resume=load_from is not None,
        experiment_name=f'{work_dir}_{load_from}_{time.time()}',
        default_scope='mmseg',
    )


def test_keeps_the_newest_and_the_best(tmp_path):
    make_runner(tmp_path, [0.1, 0.5, 0.3, 0.2]).train()
    names = sorted(n for n in os.listdir(tmp_path) if n.endswith('.pth'))
    assert names == ['best_mIoU_epoch_2.pth', 'epoch_3.pth', 'epoch_4.pth']
    assert all(is_whole_checkpoint(tmp_path / name) for name in names)
    assert not [n for n in os.listdir(tmp_path) if 'partial' in n]
    best = torch.load(tmp_path / names[0])
    assert best['message_hub']['runtime_info']['best_score'] == 0.5


def test_old_ones_go_only_after_the_new_one_is_there(tmp_path, monkeypatch):
    """At every moment of every save a whole checkpoint exists."""
    runner = make_runner(tmp_path, [0.1, 0.2, 0.3])
    seen = []
    put = AtomicLocalBackend.put

    def watched_put(self, obj, filepath):
        before = find_newest_whole_checkpoint(str(tmp_path))
        put(self, obj, filepath)
        seen.append(
            (
                os.path.basename(filepath),
                before,
                find_newest_whole_checkpoint(str(tmp_path)),
                sorted(os.listdir(tmp_path)),
            )
        )

    monkeypatch.setattr(AtomicLocalBackend, 'put', watched_put)
    runner.train()
    written = [entry for entry in seen if entry[0].endswith('.pth')]
    assert len(written) == 9  # per epoch: newest, best, newest with best
    assert written[0][1] is None
    assert all(before and after for _, before, after, _ in written[1:])
    # The third epoch is on disk while the first still is.
    third = next(e for e in written if e[0] == 'epoch_3.pth')
    assert 'epoch_1.pth' in third[3]
    best = next(e for e in written if e[0] == 'best_mIoU_epoch_3.pth')
    assert 'best_mIoU_epoch_2.pth' in best[3]


def test_stale_temporaries_are_cleared(tmp_path):
    stale = tmp_path / '.epoch_1.partial-abc.pth'
    stale.write_bytes(b'half')
    make_runner(tmp_path, [0.1]).train()
    assert not stale.exists()


def names(folder):
    return sorted(n for n in os.listdir(folder) if n.endswith('.pth'))


def logged(runner):
    with open(next(iter(runner.logger.handlers[1:])).baseFilename) as file:
        return file.read()


def test_validated_weights_say_so(tmp_path):
    """A resumed run need not validate them again, be they the best or not."""
    make_runner(tmp_path, [0.2, 0.1]).train()
    meta = torch.load(tmp_path / 'epoch_2.pth')['meta']
    assert meta['validated'] == 2
    runner = make_runner(tmp_path, [], 2, tmp_path / 'epoch_2.pth')
    runner.train()  # Scores would run out.
    assert 'was finished: 2 of 2 epochs' in logged(runner)


def test_interrupted_validation_is_made_up_for(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def killed(self, results):
            raise KeyboardInterrupt

        patch.setattr(Scores, 'compute_metrics', killed)
        with pytest.raises(KeyboardInterrupt):
            make_runner(tmp_path, [0.1, 0.2]).train()
    assert names(tmp_path) == ['epoch_1.pth']
    runner = make_runner(tmp_path, [0.3, 0.1], 2, tmp_path / 'epoch_1.pth')
    runner.train()
    assert 'Epoch 1 was not validated' in logged(runner)
    assert names(tmp_path) == [
        'best_mIoU_epoch_1.pth',
        'epoch_1.pth',
        'epoch_2.pth',
    ]


def test_validation_that_was_not_due_is_not_made_up_for(tmp_path):
    make_runner(tmp_path, [0.1], 4, val_interval=4).train()
    assert torch.load(tmp_path / 'epoch_3.pth')['meta']['validated'] is None
    # Only the fourth epoch is validated: one score is enough.
    make_runner(
        tmp_path, [0.1], 4, tmp_path / 'epoch_3.pth', val_interval=4
    ).train()


def test_a_folder_can_be_moved(tmp_path):
    make_runner(tmp_path / 'a', [0.1, 0.2]).train()
    shutil.move(tmp_path / 'a', tmp_path / 'b')
    newest = tmp_path / 'b/epoch_2.pth'
    make_runner(tmp_path / 'b', [0.3, 0.4], 4, newest).train()
    assert names(tmp_path / 'b') == [
        'best_mIoU_epoch_4.pth',
        'epoch_3.pth',
        'epoch_4.pth',
    ]
    assert not (tmp_path / 'a').exists()


def test_another_folder_is_left_as_it_is(tmp_path):
    """A run that branches off keeps a best checkpoint of its own."""
    make_runner(tmp_path / 'a', [0.5, 0.9]).train()
    before = names(tmp_path / 'a')
    runner = make_runner(
        # The second epoch again, then the third to the fifth.
        tmp_path / 'b',
        [0.6, 0.2, 0.7, 0.1],
        5,
        tmp_path / 'a/epoch_2.pth',
    )
    runner.train()
    assert names(tmp_path / 'a') == before
    assert before == ['best_mIoU_epoch_2.pth', 'epoch_1.pth', 'epoch_2.pth']
    assert names(tmp_path / 'b') == [
        'best_mIoU_epoch_4.pth',
        'epoch_4.pth',
        'epoch_5.pth',
    ]
    assert 'the best checkpoint is chosen anew' in logged(runner)


def test_removals_that_a_kill_prevented_are_made_up_for(tmp_path):
    make_runner(tmp_path, [0.1, 0.2, 0.3]).train()
    newest = tmp_path / 'epoch_3.pth'
    state = torch.load(newest)
    state['meta']['superseded_files'] = ['epoch_1.pth', '../precious.pth']
    torch.save(state, newest)
    folder = tmp_path.parent
    for path in (tmp_path / 'epoch_1.pth', folder / 'precious.pth'):
        path.touch()
    make_runner(tmp_path, [], 3, newest).train()
    assert 'epoch_1.pth' not in names(tmp_path)
    assert (folder / 'precious.pth').exists()


def test_text_of_a_checkpoint_is_not_executed(tmp_path):
    """mmengine runs the configuration that old checkpoints carry."""
    make_runner(tmp_path, [0.1]).train()
    newest = tmp_path / 'epoch_1.pth'
    state = torch.load(newest)
    text = f'open({str(tmp_path / "hacked")!r}, "w")'
    state['meta']['config'] = f'gpu_ids = {text}'
    state['meta']['cfg'] = f'model = {text}'
    torch.save(state, newest)
    make_runner(tmp_path, [0.1], 2, newest).train()
    assert not (tmp_path / 'hacked').exists()
    assert 'epoch_2.pth' in names(tmp_path)


def test_several_best_scores(tmp_path):
    """Each keeps its checkpoint when a run is continued."""

    def compute_metrics(self, results):
        score = next(self.scores)
        return dict(mIoU=score, F=1 - score)

    class TwoScores(Scores):
        pass

    TwoScores.compute_metrics = compute_metrics

    def make(scores, epochs, load_from=None):
        runner = make_runner(
            tmp_path,
            scores,
            epochs,
            load_from,
            save_best=['mIoU', 'F'],
            rule='greater',
        )
        runner._val_evaluator = Evaluator(TwoScores(scores))
        return runner

    make([0.4, 0.5], 2).train()
    make([0.3, 0.4], 4, tmp_path / 'epoch_2.pth').train()
    assert names(tmp_path) == [
        'best_F_epoch_3.pth',
        'best_mIoU_epoch_2.pth',
        'epoch_3.pth',
        'epoch_4.pth',
    ]


def test_another_number_of_ranks_is_told(tmp_path):
    make_runner(tmp_path, [0.1]).train()
    newest = tmp_path / 'epoch_1.pth'
    state = torch.load(newest)
    assert state['meta']['world_size'] == 1
    state['meta']['world_size'] = 2
    torch.save(state, newest)
    runner = make_runner(tmp_path, [0.1], 2, newest)
    runner.train()
    assert 'written by 2 process(es), this run has 1' in logged(runner)


def test_checkpoint_within_an_epoch_is_not_validated(tmp_path):
    """Nor does it take the place of the epoch's."""
    make_runner(tmp_path, [0.1]).train()
    state = torch.load(tmp_path / 'epoch_1.pth')
    state['meta']['validated'] = None
    torch.save(state, tmp_path / 'stopped.pth')
    before = (tmp_path / 'epoch_1.pth').read_bytes()
    make_runner(tmp_path, [], 1, tmp_path / 'stopped.pth').train()
    assert (tmp_path / 'epoch_1.pth').read_bytes() == before


def test_damaged_checkpoints_are_named(tmp_path):
    """Also where none is left to resume from; they are written anew."""
    (tmp_path / 'epoch_1.pth').write_bytes(b'half')
    runner = make_runner(tmp_path, [0.1])
    runner.train()
    assert 'epoch_1.pth is damaged' in logged(runner)
    assert is_whole_checkpoint(tmp_path / 'epoch_1.pth')
