"""A cache bounded in bytes: what was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

OVERHEAD_BYTES = 640  # of an entry: its key, with the objects in it, and its place in the table


class Lru:
    """Entries by key, each with its size in bytes; not for use by several threads.

    Parameters
    ----------
    capacity_bytes
        The most that all entries take together; 0 keeps nothing.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def get(self, key: Hashable) -> Any:
        """Return an entry, which is then the one used last; None when it is not there."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Any, size_bytes: int) -> None:
        """Keep an entry in place of the one of that key, and drop what was used longest ago for it."""
        size_bytes += OVERHEAD_BYTES
        former = self._entries.pop(key, None)
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes - (former[1] if former else 0)
        while self.size_bytes > self.capacity_bytes:
            _, (_, dropped_bytes) = self._entries.popitem(last=False)
            self.size_bytes -= dropped_bytes
