"""The names of all targets, ready to be looked up, searched and matched, however many there are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import FieldCatalogue
from sisock.gateway.drawing.planner import SEPARATOR, SeriesWanted

# Between the parts of a field's name.
LEVEL_SEPARATOR = "."
_LINE = "\n"
# In place of a line's end inside a name, so that each name is one line.
_NO_LINE = "\0"
# Searched at once: what is made of so many bytes stays in the processor's cache.
_CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class Lines:
    """Names as one text, the end of a line behind each, and the offset at which each begins, ascending."""

    text: bytes
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, text: str) -> Lines:
        """Make them of lines; what is no Unicode is replaced."""
        encoded = text.encode("utf-8", "replace")
        ends = np.flatnonzero(np.frombuffer(encoded, dtype=np.uint8) == ord(_LINE))
        return cls(encoded, np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends)

    def having(self, text: bytes) -> Iterator[list[int]]:
        """Yield the numbers of the lines that have a text in them, ascending, some at a time, some perhaps twice.

        Compared in arrays, which takes a third of ``bytes.find``'s time, and lets other threads go on.
        """
        signs = np.frombuffer(self.text, dtype=np.uint8)
        last = len(text) - 1
        stop = len(signs) - last
        for low in range(0, stop, _CHUNK_BYTES):
            high = min(low + _CHUNK_BYTES, stop)
            # The first and the last sign rule out nearly all places; only what is left is compared sign by sign.
            alike = (signs[low:high] == text[0]) & (signs[low + last : high + last] == text[last])
            places = np.flatnonzero(alike) + low
            for offset in range(1, last):
                if not places.size:
                    break
                places = places[signs[places + offset] == text[offset]]
            yield (np.searchsorted(self.starts, places, side="right") - 1).tolist()


class Names:
    """Names in their order, none twice, and what is made of them on demand; never changes, so any thread may read.

    Parameters
    ----------
    names
        In the order in which they are found.
    prefix
        Put before each of them; levels are counted behind it.
    """

    def __init__(self, names: Iterable[str], prefix: str = "") -> None:
        self.given = tuple(names)
        self.prefix = prefix

    def __len__(self) -> int:
        return len(self.given)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    @property
    def blocks(self) -> Sequence[Names]:
        """Return the parts that are searched one after the other: these names themselves."""
        return (self,)

    @property
    def aliases(self) -> Sequence[Names]:
        """Return other names for the same: there are none."""
        return ()

    def name_of(self, alias: str) -> str:
        """Return what an alias is another name for."""
        return alias

    @cached_property
    def lines(self) -> Lines:
        """Return all names as lines; one that has several lines itself is put on one."""
        return Lines.of(self._text)

    @cached_property
    def levels(self) -> Mapping[str, Sequence[str]]:
        """Return the names, sorted, by the level that they are on: all of a name up to its last dot."""
        levels: dict[str, list[str]] = {}
        start = len(self.prefix)
        for name in self._sorted:
            levels.setdefault(name[: name.rfind(LEVEL_SEPARATOR, start) + 1] or self.prefix, []).append(name)
        return levels

    def at(self, offsets: Sequence[int]) -> list[str]:
        """Return the names whose lines begin at some offsets."""
        return [self._names[number] for number in np.searchsorted(self.lines.starts, offsets).tolist()]

    def under(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with a prefix, sorted."""
        low = bisect_left(self._sorted, prefix)
        high = bisect_left(self._sorted, x=True, lo=low, key=lambda name: not name.startswith(prefix))
        return self._sorted[low:high]

    def neighbours(self, name: str, count: int) -> Sequence[str]:
        """Return so many of the names, sorted, that are nearest to where one would stand among them."""
        middle = bisect_left(self._sorted, name)
        first = max(min(middle - count // 2, len(self) - count), 0)
        return self._sorted[first : first + count]

    def containing(self, text: str, most: int) -> Sequence[str]:
        """Return the first names that contain a text, whatever its case."""
        wanted = text.casefold().replace(_LINE, _NO_LINE).encode("utf-8", "replace")
        if not wanted:
            return self._names[:most]
        numbers: dict[int, None] = {}
        for some in self._folded.having(wanted):
            numbers.update(dict.fromkeys(some))
            if len(numbers) >= most:
                break
        return [self._names[number] for number in islice(numbers, most)]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.prefix + name for name in self.given) if self.prefix else self.given

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._names)

    @cached_property
    def _sorted(self) -> Sequence[str]:
        return sorted(self._names)

    @property
    def _text(self) -> str:
        text = _LINE.join(chain(self._names, ("",)))
        # Hardly any name has a line's end in it, and one count finds that out for all.
        if text.count(_LINE) == len(self):
            return text
        return _LINE.join(chain((name.replace(_LINE, _NO_LINE) for name in self._names), ("",)))

    @cached_property
    def _folded(self) -> Lines:
        # Folding may change the length of a name, so these lines begin elsewhere.
        return Lines.of(self._text.casefold())


class Described(Protocol):
    """A node of which the fields are known."""

    @property
    def catalogue(self) -> FieldCatalogue:
        """Return its fields."""


class Targets(Mapping[str, SeriesWanted]):
    """The series that each ``node::field`` names, by node and then by field; what is looked up is made then.

    An alias of a field is among them for who asks for it; no list has it.

    Parameters
    ----------
    nodes
        By name.
    former
        Targets that were known before: what was made of the names of a node is kept while its names stay.
    """

    def __init__(self, nodes: Mapping[str, Described], former: Targets | None = None) -> None:
        self._catalogues = {name: node.catalogue for name, node in nodes.items()}
        known: Mapping[str, Names] = former.names_of if former else {}
        self.names_of: Mapping[str, Names] = {
            name: _names_of(name, one.fields, known.get(name)) for name, one in self._catalogues.items()
        }

    def __len__(self) -> int:
        return sum(len(one.fields) for one in self._catalogues.values())

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.blocks)

    def __contains__(self, target: object) -> bool:
        node, separator, field = target.partition(SEPARATOR) if isinstance(target, str) else ("", "", "")
        catalogue = self._catalogues.get(node) if separator else None
        return catalogue is not None and catalogue.find(field) is not None

    def __getitem__(self, target: str) -> SeriesWanted:
        if target not in self:
            raise KeyError(target)
        node, _, field = target.partition(SEPARATOR)
        return SeriesWanted(node, field)

    @property
    def blocks(self) -> Sequence[Names]:
        """Return the names of each node."""
        return tuple(self.names_of.values())

    @cached_property
    def aliases(self) -> Sequence[Names]:
        """Return the aliases of the fields of each node that has some."""
        aliases = {name: one.aliases for name, one in self._catalogues.items()}
        return tuple(Names(given, f"{name}{SEPARATOR}") for name, given in aliases.items() if given)

    def name_of(self, alias: str) -> str:
        """Return the target that an alias means."""
        node, _, field = alias.partition(SEPARATOR)
        return f"{node}{SEPARATOR}{self._catalogues[node].aliases.get(field, field)}"

    def under(self, prefix: str) -> Sequence[str]:
        """Return the targets that begin with a prefix, which names a node."""
        names = self.names_of.get(prefix.partition(SEPARATOR)[0])
        return names.under(prefix) if names else ()

    def has_names_of(self, other: Targets) -> bool:
        """Tell whether these are the very names of others, without comparing them."""
        return len(self.blocks) == len(other.blocks) and all(map(_is, self.blocks, other.blocks))


def _is(one: Names, other: Names) -> bool:
    return one is other


def _names_of(node: str, fields: Mapping[str, object], known: Names | None) -> Names:
    # The same object while the names stay: its lines and levels need not be made again at each renewal.
    names = tuple(fields)
    return known if known and known.given == names else Names(names, f"{node}{SEPARATOR}")
