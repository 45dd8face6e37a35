"""Predictions that cannot be scored, counted and named at once."""

from collections import defaultdict

from mmcpm.utils.errors import UsageError, shorten


class Faults:
    """Files that cannot be scored, by what is wrong with them."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, what: str) -> None:
        """Note a fault.

        Args:
            kind (str): What is wrong, and the remedy.
            what (str): The file and what arrived.
        """
        self.found[kind].append(what)

    def check(self) -> None:
        """Raise one UsageError that counts and names what was noted."""
        if self.found:
            raise UsageError(
                'These masks cannot be scored as they are; nothing was '
                'written.\n'
                + '\n'.join(
                    f'{len(files)} x {kind}: {shorten(files)}'
                    for kind, files in self.found.items()
                )
            )
