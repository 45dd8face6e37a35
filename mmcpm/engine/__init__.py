from . import hooks, optim_wrappers, optimizers, schedulers

__all__ = ['hooks', 'optim_wrappers', 'optimizers', 'schedulers']
