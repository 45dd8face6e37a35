from .gmm import GMMClassifier

__all__ = ['GMMClassifier']
