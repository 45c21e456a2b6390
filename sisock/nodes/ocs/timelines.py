"""The timelines of OCS feeds: which fields of a block share one, and in how many bytes their buffers are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import FieldType, Times, Values
from sisock.nodes.live.buffer_folder import BufferFolder
from sisock.nodes.live.live_timelines import unused_name
from sisock.nodes.ocs.messages import BlockRows, Typed
from sisock.nodes.ocs_names import Key

MOST_FIELDS = 50_000
_MOST_PLANS = 10_000

Warn = Callable[[str, str, str], None]
"""Called with a topic, what is left out and why."""


class Limits(NamedTuple):
    """The limits of a buffer: how long samples are kept, in how many bytes altogether, and how late they may come."""

    keep_s: float
    max_bytes: float
    late_s: float


@dataclass(frozen=True)
class Origin:
    """A block of a feed at an address, with what its agent says of it."""

    address: str
    block: str
    agent_class: str = ""
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the block among all others."""
        return self.address, self.block

    def about(self, timeline: str) -> dict[str, Any]:
        """Return what is kept beside the buffer of one of its timelines, as for JSON."""
        return {
            "timeline": timeline,
            "address": self.address,
            "block": self.block,
            "agent_class": self.agent_class,
            "units": dict(self.units),
        }

    @classmethod
    def from_about(cls, about: Mapping[str, Any]) -> tuple[str, Origin] | None:
        """Return the timeline and the block that a buffer was kept for; None where they are not in it."""
        texts = [about.get(name) for name in ("timeline", "address", "block", "agent_class")]
        units = about.get("units")
        if not all(isinstance(text, str) for text in texts) or not isinstance(units, dict):
            return None
        timeline, address, block, agent_class = map(str, texts)
        return timeline, cls(address, block, agent_class, units)


# Told apart by identity, which makes it a key of dictionaries.
@dataclass(frozen=True, eq=False)
class LiveTimeline:
    """Fields of a block that come in the same messages, by their names in the feed."""

    name: str
    origin: Origin
    buffer: RollingBuffer

    def field_keys(self) -> Iterator[Key]:
        """Yield what tells each of its fields from all others."""
        return (Key(*self.origin.key, name, kind) for name, kind in self.buffer.fields.items())


Plan = list[tuple[LiveTimeline, list[Typed]]]
"""Timelines, each with its fields in the order in which a message has them."""


class BlockTimelines:
    """The timelines of all blocks of all feeds; to be called by one thread at a time.

    ``owners`` has the timeline of each field, ``version`` changes when fields come or go, and ``bytes`` is what all
    buffers take, as far as it is known without asking each.

    Parameters
    ----------
    folder
        Makes the buffers.
    """

    def __init__(self, folder: BufferFolder, limits: Limits, warn: Warn) -> None:
        self._folder = folder
        self._limits = limits
        self._warn = warn
        self._timelines: dict[str, LiveTimeline] = {}
        # Agents send the same fields again and again: where they go is found once.
        self._plans: dict[tuple[str, str, tuple[Typed, ...]], Plan] = {}
        self.owners: dict[Key, LiveTimeline] = {}
        self.version = 0
        self.bytes = 0

    def take(self, origin: Origin, rows: BlockRows) -> None:
        """Take samples of a block."""
        for timeline, columns in self._plan(origin, tuple(rows.values)):
            self._extend(timeline.buffer, rows.times, {one.field: rows.values[one] for one in columns})

    def of_block(self, key: tuple[str, str]) -> list[LiveTimeline]:
        """Return the timelines of a block."""
        return [one for one in self._timelines.values() if one.origin.key == key]

    def restored(self, buffer: RollingBuffer, about: Mapping[str, Any]) -> LiveTimeline | None:
        """Add a timeline of an earlier process and return it; None when it is unknown or has fields that are there."""
        kept = Origin.from_about(about)
        if kept is None:
            return None
        name, origin = kept
        timeline = LiveTimeline(self._unused(name), origin, buffer)
        if any(key in self.owners for key in timeline.field_keys()):
            return None
        return self._add(timeline)

    def remove(self, timelines: Iterable[LiveTimeline]) -> None:
        """Leave out timelines from now on, with buffers that stay as they are."""
        for timeline in timelines:
            self._remove(timeline)

    def put_back(self, timelines: Iterable[LiveTimeline]) -> None:
        """Go on with timelines that were removed, of whose fields there are none now."""
        for timeline in timelines:
            self._add(replace(timeline, name=self._unused(timeline.name)))

    def discard(self, timelines: Iterable[LiveTimeline]) -> None:
        """Leave out timelines for good, and remove what is kept of them on the disk."""
        for timeline in timelines:
            self._remove(timeline)
            self._folder.discard(timeline.buffer)

    def share_bytes(self) -> None:
        """Keep to the bytes of all: where they are too many, the largest buffers are cut to one size."""
        buffers = sorted((one.buffer for one in self._timelines.values()), key=lambda buffer: buffer.bytes)
        share = _share_of_each([buffer.bytes for buffer in buffers], self._limits.max_bytes)
        for buffer in buffers:
            # To set one takes the lock of the buffer, and most of the time none changes.
            if buffer.max_bytes != share:
                buffer.limit(share)
        self.count_bytes()

    def count_bytes(self) -> int:
        """Count anew what all buffers take, which changes, too, when one of them lets go of something."""
        self.bytes = sum(one.buffer.bytes for one in self._timelines.values())
        return self.bytes

    # ---- which fields share a timeline

    def _plan(self, origin: Origin, columns: tuple[Typed, ...]) -> Plan:
        """Return the timelines that samples of some fields go to, which have just these fields."""
        plan = self._plans.get((*origin.key, columns))
        if plan is None:
            plan = self._make_plan(origin, columns)
            # Names that are made up anew in each message must not fill the memory.
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[(*origin.key, columns)] = plan
        return plan

    def _make_plan(self, origin: Origin, columns: Sequence[Typed]) -> Plan:
        """Begin timelines for new fields, and split those of which only some fields are there."""
        known: dict[LiveTimeline, list[Typed]] = {}
        new: list[Typed] = []
        for column in columns:
            timeline = self.owners.get(Key(*origin.key, *column))
            members = new if timeline is None else known.setdefault(timeline, [])
            members.append(column)
        plan = [(self._timeline_of_just(members, timeline), members) for timeline, members in known.items()]
        # Those that are known go on, however many new ones an agent makes up.
        if len(self.owners) + len(new) > MOST_FIELDS:
            self._warn(origin.address, "further fields are left out", f"{MOST_FIELDS} are as many as are kept")
        elif new:
            plan.append((self._begin(self._unused(".".join(origin.key)), origin, dict(new)), new))
        return plan

    def _timeline_of_just(self, members: Sequence[Typed], timeline: LiveTimeline) -> LiveTimeline:
        return timeline if len(members) == len(timeline.buffer.fields) else self._split(timeline, members)

    def _begin(self, name: str, origin: Origin, fields: Mapping[str, FieldType]) -> LiveTimeline:
        """Begin a timeline of a block."""
        keep_s, max_bytes, late_s = self._limits
        buffer = self._folder.new_buffer(fields, keep_s, origin.about(name), max_bytes, late_s)
        return self._add(LiveTimeline(name, origin, buffer))

    def _split(self, timeline: LiveTimeline, members: Sequence[Typed]) -> LiveTimeline:
        """Put fields that do not always come with the others on timelines of their own; return that of ``members``."""
        inside = dict(members)
        outside = {name: kind for name, kind in timeline.buffer.fields.items() if name not in inside}
        self._remove(timeline)
        part = self._copy(timeline, timeline.name, inside)
        self._copy(timeline, self._unused(timeline.name), outside)
        # Last of all: a process that ends before that leaves the samples twice, and not nowhere.
        self._folder.discard(timeline.buffer)
        return part

    def _copy(self, timeline: LiveTimeline, name: str, fields: Mapping[str, FieldType]) -> LiveTimeline:
        """Begin a timeline with the past that some fields have on another."""
        copy = self._begin(name, timeline.origin, fields)
        # What was dropped before is not known of the copy either.
        block = timeline.buffer.block(fields, -math.inf, math.inf)
        if block.available_from > -math.inf:
            copy.buffer.forget_before(block.available_from)
        self._extend(copy.buffer, block.times, block.values)
        return copy

    def _add(self, timeline: LiveTimeline) -> LiveTimeline:
        self._timelines[timeline.name] = timeline
        self.bytes += timeline.buffer.bytes
        self.owners.update((key, timeline) for key in timeline.field_keys())
        self._plans.clear()
        self.version += 1
        return timeline

    def _remove(self, timeline: LiveTimeline) -> None:
        del self._timelines[timeline.name]
        self.bytes -= timeline.buffer.bytes
        for key in timeline.field_keys():
            del self.owners[key]
        self._plans.clear()
        self.version += 1

    def _unused(self, name: str) -> str:
        return unused_name(name, self._timelines)

    def _extend(self, buffer: RollingBuffer, times: Times, values: Mapping[str, Values]) -> None:
        before = buffer.bytes
        # A single row, which most messages are, is taken more quickly in this way.
        if len(times) == 1:
            buffer.append(float(times[0]), {name: array[0] for name, array in values.items()})
        else:
            buffer.extend(times, values)
        self.bytes += buffer.bytes - before


def _share_of_each(sizes: Sequence[int], most: float) -> float:
    """Return the bytes that each may take so that all take at most so many; those that take less leave it to others.

    Parameters
    ----------
    sizes
        Ascending.
    """
    share = left = most
    if sum(sizes) > most:
        for number, size in enumerate(sizes):
            share = left / (len(sizes) - number)
            if size > share:
                break
            left -= size
    return share
