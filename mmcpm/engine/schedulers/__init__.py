from .group_poly_lr import GroupPolyLR

__all__ = ['GroupPolyLR']
