"""The machine that the node runs on, live: load, memory, disks, network, sensors. A day is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.column.column import Column
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType
from sisock.nodes.host.readings import HostReadings, Reading, Value
from sisock.nodes.live.buffer_folder import BufferFolder

ASIDE_S = 3600.0
TakeSample = Callable[[float], Mapping[str, Reading]]


@dataclass(frozen=True)
class _State:
    """All that is served at one moment; replaced whole, so that readers need no lock.

    Each timeline has a buffer with the fields that were there when it began.
    """

    fields: Mapping[str, Field] = field(default_factory=dict)
    buffers: Mapping[str, RollingBuffer] = field(default_factory=dict)


@dataclass(frozen=True)
class _Aside:
    """What a jump of the clock would have dropped, and until when it is kept, by the clock that never steps."""

    state: _State
    until: float


class HostNode:
    """Serves what the operating system says of this machine.

    Numbers whose names agree up to the last dot (``network.eth0.received``, ``network.eth0.sent``) share a timeline;
    each string and each bool is on one of its own. A number that is missing while others of its timeline are there is
    NaN; when all are missing there is no sample. What appears later begins a timeline of its own, and what was gone
    for longer than is kept is forgotten.

    Parameters
    ----------
    name, description
        What the hub lists.
    keep_s
        Seconds that samples are kept for.
    poll_interval_s
        Seconds between two samples.
    sample
        Called with the time, UNIX seconds; returns the readings by the names of their fields.
    folder
        Where samples are kept, so that they survive a restart; without it they are in memory only. One process at a
        time uses a folder. It holds little more than what is kept. When it cannot be written to, the log says so
        once, and the node goes on in memory.
    clock
        Seconds, never stepping; for how long what a jump of the wall clock would drop is put aside.
    """

    def __init__(
        self,
        name: str = "host",
        description: str = "This machine, live",
        keep_s: float = 86400.0,
        poll_interval_s: float = 1.0,
        sample: TakeSample | None = None,
        folder: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.description = description
        self.poll_interval_s = poll_interval_s
        self._keep_s = keep_s
        self._sample = sample or HostReadings()
        self._folder = BufferFolder(folder)
        self._state = self._restored()
        self._clock = clock
        self._aside: _Aside | None = None

    def poll(self, now: float) -> None:
        """Take one sample of everything at ``now``, UNIX seconds.

        After a small step back of the wall clock, samples of the time that is yet to come are dropped: they would make
        all that comes late. After a jump so far that nothing of the past could stay, the node begins anew, and takes
        the past up again if the clock is set right within an hour.
        """
        readings = self._sample(now)
        state = self._with_new_timelines(self._without_stale_timelines(self._after_jump(now), now), readings)
        # Served only once each timeline has its first sample, so that none is ever seen without one.
        for buffer in state.buffers.values():
            if _newest(buffer) > now + 2 * self.poll_interval_s:  # the clock was ahead, and is set right
                buffer.forget_after(now)
            _append(buffer, now, readings)
        self._state = state

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        state = self._state
        alive = {name for name, buffer in state.buffers.items() if buffer.count(start, end)}
        fields = [one for one in state.fields.values() if one.timeline in alive]
        return FieldCatalogue.of(fields, {name: state.buffers[name].interval_s for name in alive})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the fields inside [start, end), UNIX seconds; not to be written to."""
        return DataBlock(
            {timeline: buffer.block(names, start, end) for timeline, buffer, names in self._asked_for(fields)}
        )

    def columns(self, fields: Sequence[str]) -> Mapping[str, Column]:
        """Return all samples of the fields, with what makes reducing them quick; unknown fields are left out."""
        columns: dict[str, Column] = {}
        for _, buffer, names in self._asked_for(fields):
            columns.update(buffer.columns(names))
        return columns

    def _asked_for(self, fields: Sequence[str]) -> Iterator[tuple[str, RollingBuffer, list[str]]]:
        """Yield each timeline of the known ones of some fields, with its buffer and those of them that are on it."""
        state = self._state
        names: dict[str, list[str]] = {}
        for name in dict.fromkeys(fields):
            if name in state.fields:
                names.setdefault(state.fields[name].timeline, []).append(name)
        for timeline, members in names.items():
            yield timeline, state.buffers[timeline], members

    def _restored(self) -> _State:
        """Return what an earlier process kept; of a name that is there twice, the one with the newest sample."""
        fields: dict[str, Field] = {}
        buffers: dict[str, RollingBuffer] = {}
        found = self._folder.restored(self._keep_s)
        for buffer, about in sorted(found, key=lambda one: _newest(one[0]), reverse=True):
            timeline = str(about.get("timeline", ""))
            if not len(buffer) or not timeline or timeline in buffers or buffer.fields.keys() & fields:
                self._folder.discard(buffer)
                continue
            buffers[timeline] = buffer
            for name, kind in buffer.fields.items():
                fields[name] = Field(name, timeline, kind, *about.get("fields", {}).get(name, ()))
        return _State(fields, buffers)

    def _after_jump(self, now: float) -> _State:
        """Return what to go on with: another state where the clock jumped so far that nothing of this could stay."""
        state, aside = self._state, self._aside
        if aside is not None and self._clock() > aside.until:
            self._discard(aside.state)
            self._aside = aside = None
        if not state.buffers or self._is_kept(state, now):
            return state
        if aside is None:
            self._aside = _Aside(state, self._clock() + ASIDE_S)
            return _State()
        self._discard(state)
        if not self._is_kept(aside.state, now):
            return _State()
        self._aside = None
        return aside.state

    def _is_kept(self, state: _State, now: float) -> bool:
        """Tell whether any of it is kept at a time; what is in the far future is not."""
        return any(abs(now - _newest(buffer)) <= self._keep_s for buffer in state.buffers.values())

    def _discard(self, state: _State) -> None:
        for buffer in state.buffers.values():
            self._folder.discard(buffer)

    def _without_stale_timelines(self, state: _State, now: float) -> _State:
        """Drop what is no longer kept, also when a step of the clock left it in the far future."""
        buffers = {}
        for name, buffer in state.buffers.items():
            if abs(now - _newest(buffer)) <= self._keep_s:
                buffers[name] = buffer
            else:
                self._folder.discard(buffer)
        return _State({name: one for name, one in state.fields.items() if one.timeline in buffers}, buffers)

    def _with_new_timelines(self, state: _State, readings: Mapping[str, Reading]) -> _State:
        """Add timelines for the fields that were not there before."""
        groups: dict[tuple[str, bool], list[str]] = {}
        for name, reading in readings.items():
            if name not in state.fields and reading.value is not None:
                groups.setdefault(_group(name, reading.value), []).append(name)
        fields, buffers = dict(state.fields), dict(state.buffers)
        for (group, _), names in groups.items():
            timeline = _unused(group, buffers)
            for name in names:
                reading = readings[name]
                fields[name] = Field(name, timeline, _type(reading.value), reading.units, reading.description)
            buffers[timeline] = self._new_buffer(timeline, [fields[name] for name in names])
        return _State(fields, buffers)

    def _new_buffer(self, timeline: str, fields: Sequence[Field]) -> RollingBuffer:
        about: dict[str, Any] = {
            "timeline": timeline,
            "fields": {field.name: [field.units, field.description] for field in fields},
        }
        return self._folder.new_buffer({field.name: field.type for field in fields}, self._keep_s, about)


def _append(buffer: RollingBuffer, now: float, readings: Mapping[str, Reading]) -> None:
    """Add one row, unless nothing of the timeline was read."""
    row: dict[str, Value] = {}
    for name, kind in buffer.fields.items():
        value = readings[name].value if name in readings else None
        if value is not None and _type(value) == kind:
            row[name] = value
    if row:
        buffer.append(now, {name: row.get(name, math.nan) for name in buffer.fields})


def _type(value: Value | None) -> FieldType:
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def _group(name: str, value: Value) -> tuple[str, bool]:
    """Return the name for a field's timeline and whether numbers share it: only they can be missing from a row."""
    is_number = _type(value) == "number"
    return (is_number and name.rpartition(".")[0]) or name, is_number


def _unused(name: str, taken: Mapping[str, object]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}-{count}"
    return candidate


def _newest(buffer: RollingBuffer) -> float:
    return -math.inf if buffer.newest is None else float(buffer.newest)
