from .finite_hungarian_assigner import FiniteHungarianAssigner

__all__ = ['FiniteHungarianAssigner']
