"""Training on several CPU processes, which mmengine's Runner would refuse.

mmengine selects a CUDA device and hands device ids to the distributed wrapper
without asking whether there is a device.
"""

import datetime
import os

import torch
import torch.distributed as torch_dist

from mmcpm.compat import revert_sync_bn

# What torchrun tells each of its processes.
TOLD = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


def prepare_launcher(launcher: str, cfg=None) -> None:
    """Let mmengine's Runner train on several CPU processes.

    Without CUDA the gloo process group is opened here, before the Runner
    looks for one, the wrapper is configured without device ids, and SyncBN
    gives way to BN. With CUDA nothing is changed.

    Args:
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.
        cfg (mmengine.Config, optional): The run's configuration; its
            ``model_wrapper_cfg`` is set where the Runner's default would fail.

    Raises:
        RuntimeError: If a launcher other than 'pytorch' is used without CUDA.
    """
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise RuntimeError(
            f'--launcher {launcher} needs CUDA devices, and none is visible. '
            'Several CPU processes are started with --launcher pytorch '
            '(tools/dist_train.sh).'
        )
    cfg = {} if cfg is None else cfg
    if not torch_dist.is_initialized():
        missing = [name for name in TOLD if name not in os.environ]
        if missing:
            raise RuntimeError(
                f'--launcher pytorch expects {", ".join(missing)} in the '
                'environment; start the processes with tools/dist_train.sh, '
                'tools/dist_test.sh or python -m torch.distributed.run.'
            )
        dist_cfg = cfg.get('env_cfg', {}).get('dist_cfg', {})
        torch_dist.init_process_group(
            backend='gloo',
            timeout=datetime.timedelta(seconds=dist_cfg.get('timeout', 1800)),
        )
    reverted = revert_sync_bn(cfg.get('model'))
    if reverted and torch_dist.get_rank() == 0:
        print(
            f'SyncBN needs CUDA: {reverted} norm_cfg of the model use BN '
            'instead, with statistics of the frames of each process.'
        )
    if cfg.get('model_wrapper_cfg') is None:
        cfg['model_wrapper_cfg'] = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )


def leave_launcher() -> None:
    """Close the process group once all ranks are done, if there is one.

    Left to the interpreter's exit, threads of gloo may still run when their
    owner is destroyed, which aborts a rank that had finished its work.
    """
    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()
