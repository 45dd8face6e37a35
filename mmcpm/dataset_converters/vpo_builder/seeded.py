"""Random draws keyed by a seed and a name.

A draw does not depend on earlier draws: adding a picture or a recording
leaves the draws of all others unchanged.
"""

import hashlib
import random
from collections.abc import Iterable


def seeded_order(names: Iterable[str], *key: object) -> list[str]:
    """Put names in an order that only they and the key decide.

    Args:
        names (Iterable[str]): Names, in any order; repeated ones count once.
        key (object): Seed and purpose.

    Returns:
        list[str]: The names.
    """
    start = '/'.join(map(str, key))
    return sorted(
        set(names),
        key=lambda name: hashlib.blake2b(
            f'{start}/{name}'.encode(), digest_size=8
        ).digest(),
    )


def seeded_generator(*key: object) -> random.Random:
    """Make a generator of random numbers.

    Args:
        key (object): Seed, purpose and name.

    Returns:
        random.Random: The same for the same key, on every machine.
    """
    digest = hashlib.blake2b('/'.join(map(str, key)).encode(), digest_size=8)
    return random.Random(int.from_bytes(digest.digest(), 'big'))
