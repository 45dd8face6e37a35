import pytest
import torch
from mmengine.config import Config

from mmcpm.engine.launching import prepare_launcher


def test_launcher_without_torchrun_is_explained(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match='dist_train.sh'):
        prepare_launcher('pytorch')
    with pytest.raises(RuntimeError, match='needs CUDA'):
        prepare_launcher('slurm')
    prepare_launcher('none')


def test_cuda_and_single_processes_keep_their_configuration(monkeypatch):
    cfg = Config(dict(model=dict(norm_cfg=dict(type='SyncBN'))))
    before = cfg.to_dict()
    prepare_launcher('none', cfg)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    prepare_launcher('pytorch', cfg)
    assert cfg.to_dict() == before
