from .avsbench import AVSBENCH
from .avsegformer import AVSEGFORMER
from .cavp import CAVP
from .code_base import CODE_BASES, CodeBase, find_code_base, register
from .combo import COMBO
from .key_rules import Drop, Join, KeyReport, Rename, Split, convert_keys
from .pvt_v2 import pvt_v2_rules
from .resnet import resnet_rules
from .vggish import vggish_rules

__all__ = [
    'AVSBENCH',
    'AVSEGFORMER',
    'CAVP',
    'CODE_BASES',
    'COMBO',
    'CodeBase',
    'Drop',
    'Join',
    'KeyReport',
    'Rename',
    'Split',
    'convert_keys',
    'find_code_base',
    'pvt_v2_rules',
    'register',
    'resnet_rules',
    'vggish_rules',
]
