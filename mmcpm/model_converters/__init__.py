from .code_base import CODE_BASES, CodeBase, find_code_base, register
from .key_rules import Drop, Join, KeyReport, Rename, Split, convert_keys

__all__ = [
    'CODE_BASES',
    'CodeBase',
    'Drop',
    'Join',
    'KeyReport',
    'Rename',
    'Split',
    'convert_keys',
    'find_code_base',
    'register',
]
