"""Parts of a field of which a file has changed, is gone, or has come between: what they hold of the others is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sisock.core.column import Column
from sisock.core.model import Times
from sisock.nodes.cache import digest
from sisock.nodes.index import Stretch
from sisock.nodes.lineup import Lineup
from sisock.nodes.part import Part

_KEY_DIGITS = 15  # that fit into an int64

Keys = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Remnant:
    """The column of a part, and which files it was made of.

    Parameters
    ----------
    keys
        Shape (n,): what tells each file as it was from any other.
    oldest, newest
        Shape (n,): times of the first and the last sample of each, UNIX seconds.
    """

    keys: Keys
    oldest: Times
    newest: Times
    column: Column

    @classmethod
    def of(cls, members: Sequence[Stretch], column: Column) -> Remnant:
        """Return what is left of a part with these members."""
        oldest, newest = (np.array([getattr(one, name) for one in members]) for name in ("oldest", "newest"))
        return cls(keys_of(members), oldest, newest, column)

    def common(self, first: int, stretches: Sequence[Stretch]) -> int:
        """Return how many of the stretches are its files from one on, such that time parts them from its others."""
        if first and self.newest[:first].max() >= self.oldest[first]:
            return 0
        count = min(len(stretches), len(self.keys) - first)
        same = self.keys[first : first + count] == keys_of(stretches[:count])
        count = count if same.all() else int(same.argmin())
        reach = np.maximum.accumulate(self.newest[first : first + count])
        following = self.oldest[first + 1 : first + count + 1]
        parted = np.append(reach[: len(following)] < following, [True] * (count - len(following)))
        return int(np.flatnonzero(parted)[-1]) + 1 if parted.any() else 0


class Remnants:
    """Finds what is left of parts in a new lineup of a field."""

    def __init__(self, lineup: Lineup) -> None:
        self._lineup = lineup
        self._places: dict[int, tuple[Remnant, int]] = {}

    def add(self, remnant: Remnant) -> None:
        """Take the remnant of one more part."""
        self._places |= {key: (remnant, number) for number, key in enumerate(remnant.keys.tolist())}

    def find(self, at: int) -> Part | None:
        """Return a part that begins with a stretch, by the number of that, and need not be made of files."""
        if not self._places:
            return None
        (key,) = keys_of(self._lineup.stretches[at : at + 1]).tolist()
        remnant, first = self._places.get(key, (None, 0))
        count = remnant.common(first, self._lineup.stretches[at:]) if remnant is not None else 0
        if remnant is None or not count or remnant.column.dtype != self._lineup.dtype:
            return None
        return Part(self._lineup.stretches[at : at + count], self._lineup.dtype, source=remnant.column)


def keys_of(stretches: Sequence[Stretch]) -> Keys:
    """Return a number for each stretch that is another one when its file has changed."""
    texts = (f"{one.file} {one.signature} {one.count}" for one in stretches)
    return np.array([int(digest(text)[:_KEY_DIGITS], 16) for text in texts], dtype=np.int64)
