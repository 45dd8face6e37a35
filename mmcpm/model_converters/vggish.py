"""Rules for a VGGish in torchvggish's naming, which mmcpm keeps."""

import re

from .key_rules import Drop, Rename, Rule


def vggish_rules(
    prefix: str = '', name: str = 'audio_backbone.'
) -> tuple[Rule, ...]:
    """Rules for a VGGish within a file, for the module ``VGGish``.

    Args:
        prefix (str): Beginning of its keys in the file; empty for a file that
            holds nothing else.
        name (str): Beginning of its weights in mmcpm.

    Returns:
        tuple[Rule]: They match keys of this prefix only.
    """
    old = re.escape(prefix)
    return (
        Rename(rf'{old}(features|embeddings)\.', rf'{name}\1.'),
        Drop(rf'{old}pproc\.', 'principal components, for quantized values'),
    )
