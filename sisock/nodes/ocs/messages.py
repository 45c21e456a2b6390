"""The messages of OCS agents on their feeds, read into arrays; whatever is published, nothing here fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sisock.core.buffer.batch import DTYPES
from sisock.core.model import FieldType, Times, Values

# By exact types: a bool is a number to isinstance, and nothing of NumPy travels over WAMP.
_KINDS: Mapping[type, FieldType] = {float: "number", int: "number", bool: "bool", str: "string"}
_NUMBERS = {float, int}
_UNIT_TAGS = ("units", "unit")


class Typed(NamedTuple):
    """A field of a block, with the type that some of its values have."""

    field: str
    kind: FieldType


class Problem(NamedTuple):
    """The parts that are left out of a message, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class BlockRows:
    """Samples that some fields have at the same times: times and values of shape (n,), UNIX seconds in any order."""

    times: Times
    values: Mapping[Typed, Values]

    @cached_property
    def newest(self) -> float:
        """The latest of the times."""
        return float(self.times.max())

    def take(self, mask: NDArray[np.bool_]) -> BlockRows:
        """Return the chosen samples."""
        return BlockRows(self.times[mask], {key: array[mask] for key, array in self.values.items()})


@dataclass(frozen=True)
class FeedBlock:
    """The samples of one block of a message.

    Parameters
    ----------
    rows
        All fields that have one type throughout, then each type of a field that has several, on its own.
    units
        Of the fields that the agent says them of.
    """

    name: str
    rows: tuple[BlockRows, ...]
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FeedMessage:
    """The content of one message, and what is wrong with it."""

    blocks: tuple[FeedBlock, ...] = ()
    agent_class: str = ""
    problems: tuple[Problem, ...] = ()


def read_message(arguments: Sequence[Any]) -> FeedMessage:
    """Read the arguments of an event: one of them, the pair of a message and the description of its feed.

    Heartbeats, states and whatever else is not for recording have no blocks, and that is no problem.
    """
    pair = arguments[0] if arguments else None
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[1], Mapping)):  # noqa: PLR2004 - a pair
        return FeedMessage(problems=(Problem("a message is left out", "it is no pair of a message and its feed"),))
    message, feed = pair
    agent_class = feed.get("agent_class")
    agent_class = agent_class if isinstance(agent_class, str) else ""
    if not feed.get("record") or not message:
        return FeedMessage(agent_class=agent_class)
    # After the heartbeats and states, of which nothing is expected.
    if not isinstance(message, Mapping):
        problem = Problem("a message is left out", f"its blocks must be in a dictionary, not in a {_type_of(message)}")
        return FeedMessage((), agent_class, (problem,))
    problems: list[Problem] = []
    blocks = [_read_block(name, entry, problems) for name, entry in message.items()]
    return FeedMessage(tuple(block for block in blocks if block), agent_class, tuple(problems))


def _read_block(name: Any, entry: Any, problems: list[Problem]) -> FeedBlock | None:
    what = f"block {name!r:.80} is left out"
    data = entry.get("data") if isinstance(entry, Mapping) else None
    stamps = entry.get("timestamps") if isinstance(entry, Mapping) else None
    if not (isinstance(name, str) and isinstance(data, Mapping) and isinstance(stamps, list | tuple)):
        problems.append(Problem(what, "it must have a name, a dictionary 'data' and a list 'timestamps'"))
        return None
    times = _as_times(stamps)
    if times is None:
        problems.append(Problem(what, "its timestamps are not all finite numbers"))
        return None
    columns = dict(_columns(name, data, len(times), problems))
    rows = tuple(_rows(name, times, columns, problems)) if columns and len(times) else ()
    return FeedBlock(name, rows, _units_of(entry.get("influxdb_tags"))) if rows else None


def _as_times(stamps: Sequence[Any]) -> Times | None:
    if not set(map(type, stamps)) <= _NUMBERS:
        return None
    try:
        return np.array(stamps, dtype=np.float64) if all(map(math.isfinite, stamps)) else None
    except OverflowError:
        # A whole number that no float64 can be.
        return None


def _columns(
    block: str, data: Mapping[Any, Any], count: int, problems: list[Problem]
) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield the fields of a block that have as many values as the block has times."""
    for name, values in data.items():
        if not isinstance(name, str) or not isinstance(values, list | tuple):
            why = "a field must have a name and a list of values"
        elif len(values) != count:
            why = f"it has {len(values)} values for {count} timestamps"
        else:
            yield name, values
            continue
        problems.append(Problem(f"field {name!r:.80} of block '{block:.80}' is left out", why))


def _rows(
    block: str, times: Times, columns: Mapping[str, Sequence[Any]], problems: list[Problem]
) -> Iterator[BlockRows]:
    """Yield the samples of all fields of one type throughout, then those of fields that have several."""
    whole, apart = _as_numbers(columns) or {}, []
    for name, values in () if whole else columns.items():
        for kind, places in _kinds_of(values).items():
            chosen = values if len(places) == len(values) else [values[place] for place in places]
            array = _as_array(chosen, kind) if kind else None
            if array is None or kind is None:
                what = f"values of field {name!r:.80} of block '{block:.80}' are left out"
                problems.append(
                    Problem(what, "they are no numbers that can be drawn, no texts, and not true or false")
                )
            elif len(places) == len(values):
                whole[Typed(name, kind)] = array
            else:
                apart.append(BlockRows(times[places], {Typed(name, kind): array}))
    if whole:
        yield BlockRows(times, whole)
    yield from apart


def _as_numbers(columns: Mapping[str, Sequence[Any]]) -> dict[Typed, Values] | None:
    """Return all fields at once where they are plain numbers, which most are: that takes a tenth of the time."""
    if not set(map(type, chain.from_iterable(columns.values()))) <= _NUMBERS:
        return None
    try:
        array = np.array(list(columns.values()), dtype=np.float64)
    except OverflowError:
        return None
    return {Typed(name, "number"): values for name, values in zip(columns, array, strict=True)}


def _kinds_of(values: Sequence[Any]) -> dict[FieldType | None, Sequence[int]]:
    """Return the places of the values of each type; None for those that cannot be drawn.

    Nothing in place of a number is one that is missing; nothing among texts or states is no sample.
    """
    types = set(map(type, values))
    kinds = {_KINDS.get(one) for one in types - {type(None)}} or {"number"}
    if kinds == {"number"} or (len(kinds) == 1 and type(None) not in types):
        return {kinds.pop(): range(len(values))}
    places: dict[FieldType | None, list[int]] = {}
    for place, value in enumerate(values):
        if value is not None:
            places.setdefault(_KINDS.get(type(value)), []).append(place)
    return dict(places)


def _as_array(values: Sequence[Any], kind: FieldType) -> Values | None:
    """Return values as an array, or None when some are too large; a number that is missing is NaN."""
    array = np.empty(len(values), dtype=DTYPES[kind])
    try:
        array[:] = values
    except OverflowError:
        return None
    return array


def _units_of(tags: Any) -> dict[str, str]:
    """Return the units that an agent gives among the tags of its fields."""
    # What is not as expected is passed over: units are worth no warning.
    entries = tags.items() if isinstance(tags, Mapping) else ()
    tagged = [(name, entry) for name, entry in entries if isinstance(name, str) and isinstance(entry, Mapping)]
    candidates = [(name, entry.get(key)) for name, entry in tagged for key in _UNIT_TAGS]
    return {name: units for name, units in candidates if isinstance(units, str) and units}


def _type_of(value: Any) -> str:
    return type(value).__name__
