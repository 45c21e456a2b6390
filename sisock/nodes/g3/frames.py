"""The frames of a housekeeping file, and what they say: the provider of a block, what is in a file, and the samples.

It knows nothing of how frames are stored: a *frame reader* is a function from a path to :data:`Frame` objects, and
:mod:`sisock.nodes.g3.reader` has the real one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import FieldType, Times, Values
from sisock.core.times import EARLIEST

TYPE_OF_KIND: dict[str, FieldType] = {"float": "number", "int": "number", "bool": "bool", "string": "string"}
DTYPE_OF_TYPE: dict[str, type] = {"float": np.float64, "int": np.int64, "bool": np.bool_, "string": object}


class Vector(NamedTuple):
    """The values of a field in one block: their kind, a key of ``DTYPES``, and what decodes them, shape (n,)."""

    kind: str
    load: Callable[[], Values]


class RawBlock(NamedTuple):
    """A block as it stands in a frame; times in UNIX seconds, shape (n,), in any order."""

    name: str
    times: Times
    vectors: Mapping[str, Vector]


class Place(NamedTuple):
    """The end of a frame, in bytes from the beginning of the file, and the checksum that it has there."""

    end: int
    checksum: int = 0


BEGINNING = Place(0)


class SessionFrame(NamedTuple):
    """The aggregator has started: numbers of providers begin anew."""

    place: Place
    session_id: int


class StatusFrame(NamedTuple):
    """The providers there are from now on: description by number."""

    place: Place
    providers: Mapping[int, str]


class DataFrame(NamedTuple):
    """Samples of one provider; blocks are decoded when asked for. ``address`` is its description, if it says so."""

    place: Place
    provider: int
    address: str | None
    blocks: Callable[[], Iterable[RawBlock]]


class DamagedFrame(NamedTuple):
    """Something that cannot be decoded, and why."""

    place: Place
    reason: str


class OtherFrame(NamedTuple):
    """A frame that is not of housekeeping."""

    place: Place


Frame = SessionFrame | StatusFrame | DataFrame | DamagedFrame | OtherFrame
FrameReader = Callable[[Path], Iterator[Frame]]


class FrameBlock(NamedTuple):
    """Samples of the fields of a block of a provider, at times after 1970."""

    provider: str
    name: str
    times: Times
    vectors: Mapping[str, Vector]


class Undecodable(Exception):
    """The blocks of a frame that cannot be decoded; the text says why."""


@dataclass
class FrameLog:
    """A log of the frames of a file that were gone through, and of what was wrong with them.

    Parameters
    ----------
    place
        Where the last of them ends, with a checksum of all.
    problem
        In words, the first thing that had to be left out.
    earlier
        A place of an earlier reading.
    continues
        Whether the frames up to there are those of that reading.
    """

    place: Place = BEGINNING
    problem: str | None = None
    earlier: Place = BEGINNING
    continues: bool = True

    def see(self, place: Place) -> None:
        """Go on to the next frame."""
        # A file that was cut and written on has no frame that ends there, and one that was rewritten another checksum.
        passes = self.place.end < self.earlier.end
        self.place = Place(place.end, zlib.crc32(place.checksum.to_bytes(4, "little"), self.place.checksum))
        if passes and self.place.end >= self.earlier.end:
            self.continues = self.place == self.earlier

    def note(self, problem: str) -> None:
        """Keep a problem, if it is the first."""
        self.problem = self.problem or problem


@dataclass(frozen=True)
class BlockSummary:
    """The samples of a block of a provider in one file, as long as the block has the same fields.

    Parameters
    ----------
    fields
        Names and kinds, in order of name.
    count, first, last
        The number of samples, and the earliest and the latest time, UNIX seconds.
    """

    provider: str
    name: str
    fields: tuple[tuple[str, str], ...]
    count: int
    first: float
    last: float


@dataclass(frozen=True)
class FileSummary:
    """A file as an index keeps it; ``place`` and ``problem`` as in :class:`FrameLog`.

    Parameters
    ----------
    continues
        Whether the file has only grown since an earlier reading, by samples that come after those of then.
    """

    blocks: tuple[BlockSummary, ...]
    place: Place
    problem: str | None = None
    continues: bool = True


# Provider, name of the block, names and kinds of its fields.
_Contents = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass
class _Extent:
    count: int = 0
    first: float = math.inf
    last: float = -math.inf
    # Of an earlier reading, and of what has come behind it: where the one is after the other, the file went back.
    last_before: float = -math.inf
    first_since: float = math.inf

    def add(self, times: Times, *, since: bool) -> None:
        self.count += len(times)
        first, last = float(times.min()), float(times.max())
        self.first, self.last = min(self.first, first), max(self.last, last)
        if since:
            self.first_since = min(self.first_since, first)
        else:
            self.last_before = max(self.last_before, last)


def blocks_in(
    frames: Iterable[Frame], log: FrameLog, is_wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[FrameBlock]:
    """Yield the blocks that have samples, in the order of the file.

    Parameters
    ----------
    log
        Gets what is noticed on the way.
    is_wanted
        Tells of the description of a provider whether its blocks are to be decoded.
    """
    session: int | None = None
    providers: dict[int, str] = {}
    for frame in frames:
        log.see(frame.place)
        if isinstance(frame, SessionFrame):
            # A session may go on behind such a frame, and then so do the numbers.
            providers = providers if frame.session_id == session else {}
            session = frame.session_id
        elif isinstance(frame, StatusFrame):
            providers = dict(frame.providers)
        elif isinstance(frame, DamagedFrame):
            log.note(frame.reason)
        elif isinstance(frame, DataFrame):
            # A status frame that is damaged leaves numbers without a name; frames say it too, but for old ones.
            provider = providers.get(frame.provider, frame.address)
            if provider is None:
                log.note(f"nothing says who provider {frame.provider} is")
            elif is_wanted(provider):
                yield from _decoded(provider, frame, log)


def summarize(frames: Iterable[Frame], earlier: Place = BEGINNING) -> FileSummary:
    """Return what an index keeps of a file; ``earlier`` is the place up to which it was read before."""
    log = FrameLog(earlier=earlier)
    extents: dict[_Contents, _Extent] = {}
    for block in blocks_in(frames, log):
        fields = tuple(sorted((name, vector.kind) for name, vector in block.vectors.items()))
        extent = extents.setdefault((block.provider, block.name, fields), _Extent())
        extent.add(block.times, since=log.place.end > earlier.end)
    blocks = tuple(BlockSummary(*key, one.count, one.first, one.last) for key, one in extents.items())
    continues = log.continues and log.place.end >= earlier.end and not _goes_back(extents)
    return FileSummary(blocks, log.place, log.problem, continues)


def _goes_back(extents: Mapping[_Contents, _Extent]) -> bool:
    """Tell whether a field has got samples that are before some of an earlier reading."""
    newest: dict[tuple[str, str], float] = {}
    for (provider, _, fields), extent in extents.items():
        for field in fields:
            newest[provider, field[0]] = max(extent.last_before, newest.get((provider, field[0]), -math.inf))
    return any(
        extent.first_since < newest[provider, name]
        for (provider, _, fields), extent in extents.items()
        for name, _ in fields
    )


def field_name(provider: str, field: str) -> str:
    """Return the name that a field is served under."""
    return f"{provider}.{field}"


def unified_kind(kinds: Iterable[str]) -> str:
    """Return the kind that holds values of all of these: numbers of bools and ints, texts of whatever has texts."""
    distinct = set(kinds)
    # Of one kind nothing is converted: an int64 that float64 cannot hold must stay what it is.
    if len(distinct) == 1:
        return distinct.pop()
    if "string" in distinct:
        return "string"
    return "float" if "float" in distinct else "int"


def converted(values: Values, kind: str) -> Values:
    """Return values as those of another kind, which :func:`unified_kind` gave."""
    if kind == "string" and values.dtype != object:
        texts = np.empty(len(values), dtype=object)
        texts[:] = [str(value) for value in values.tolist()]
        return texts
    return values.astype(DTYPE_OF_TYPE[kind], copy=False)


def _decoded(provider: str, frame: DataFrame, log: FrameLog) -> Iterator[FrameBlock]:
    try:
        raw_blocks = list(frame.blocks())
    except Undecodable as error:
        log.note(str(error))
        return
    for raw in raw_blocks:
        block = _checked(FrameBlock(provider, *raw), log)
        if block.times.size and block.vectors:
            yield block


def _checked(block: FrameBlock, log: FrameLog) -> FrameBlock:
    """Return a block without what cannot be served."""
    names = [name for name in block.vectors if _can_be_served(field_name(block.provider, name))]
    if len(names) < len(block.vectors):
        log.note(f"a field of {block.provider!a} has a name that cannot be printed, and is left out")
    vectors = {name: block.vectors[name] for name in names}
    # Sorted where they are read; here their ends are enough.
    if (np.diff(block.times) < 0).any():
        log.note(f"times of '{block.provider}' go back, and are sorted")
    served = block.times >= EARLIEST
    if served.all():
        return FrameBlock(block.provider, block.name, block.times, vectors)
    log.note(f"'{block.provider}' has times before 1970, which are left out")
    # Not decoded yet: most summaries need no values at all.
    vectors = {name: Vector(one.kind, partial(_masked, one, served)) for name, one in vectors.items()}
    return FrameBlock(block.provider, block.name, block.times[served], vectors)


def _masked(vector: Vector, served: NDArray[np.bool_]) -> Values:
    return vector.load()[served]


def _can_be_served(name: str) -> bool:
    # Hubs, targets and patterns take names as people type them.
    return name.isprintable() and name == name.strip()
