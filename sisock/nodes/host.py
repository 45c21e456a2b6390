"""The machine that the node runs on, live: load, memory, disks, network, sensors. A day is kept, in memory."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sisock.core.buffer import RollingBuffer
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType
from sisock.nodes.host_readings import HostReadings, Reading, Value

Sample = Callable[[float], Mapping[str, Reading]]


@dataclass(frozen=True)
class _Series:
    """One timeline: a buffer with the fields that were there when it began."""

    buffer: RollingBuffer
    types: Mapping[str, FieldType]


@dataclass(frozen=True)
class _State:
    """All that is served at one moment; replaced whole, so that readers need no lock."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    series: Mapping[str, _Series] = field(default_factory=dict)


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
    """

    def __init__(
        self,
        name: str = "host",
        description: str = "This machine, live",
        keep_s: float = 86400.0,
        poll_interval_s: float = 1.0,
        sample: Sample | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.poll_interval_s = poll_interval_s
        self._keep_s = keep_s
        self._sample = sample or HostReadings()
        self._state = _State()
        self._identity = uuid.uuid4().hex
        self._series_count = 0

    def poll(self, now: float) -> None:
        """Take one sample of everything at ``now``, UNIX seconds."""
        readings = self._sample(now)
        state = self._with_new_series(self._without_stale_series(now), readings)
        # Served only once each series has its first sample, so that no timeline is ever seen without one.
        for series in state.series.values():
            if _newest(series.buffer) > now + 2 * self.poll_interval_s:  # the clock was ahead, and is set right
                series.buffer.forget_after(now)
            _append(series, now, readings)
        self._state = state

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        state = self._state
        alive = {name for name, series in state.series.items() if len(series.buffer.block((), start, end).times)}
        fields = [one for one in state.fields.values() if one.timeline in alive]
        return FieldCatalogue.of(fields, {name: _interval_s(state.series[name].buffer) for name in alive})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the fields inside [start, end), UNIX seconds; views, not to be written to."""
        state = self._state
        names: dict[str, list[str]] = {}
        for name in dict.fromkeys(fields):
            if name in state.fields:
                names.setdefault(state.fields[name].timeline, []).append(name)
        return DataBlock(
            {timeline: state.series[timeline].buffer.block(members, start, end) for timeline, members in names.items()}
        )

    def _without_stale_series(self, now: float) -> _State:
        """Drop what is no longer kept, also when a step of the clock left it in the far future."""
        series = {
            name: one for name, one in self._state.series.items() if abs(now - _newest(one.buffer)) <= self._keep_s
        }
        fields = {name: one for name, one in self._state.fields.items() if one.timeline in series}
        return _State(fields, series)

    def _with_new_series(self, state: _State, readings: Mapping[str, Reading]) -> _State:
        """Add timelines for the fields that were not there before."""
        groups: dict[tuple[str, bool], list[str]] = {}
        for name, reading in readings.items():
            if name not in state.fields and reading.value is not None:
                groups.setdefault(_group(name, reading.value), []).append(name)
        fields, series = dict(state.fields), dict(state.series)
        for (group, _), names in groups.items():
            timeline = _unused(group, series)
            types = {name: _type(readings[name].value) for name in names}
            series[timeline] = self._new_series(types)
            for name in names:
                reading = readings[name]
                fields[name] = Field(name, timeline, types[name], reading.units, reading.description)
        return _State(fields, series)

    def _new_series(self, types: Mapping[str, FieldType]) -> _Series:
        self._series_count += 1
        return _Series(RollingBuffer(types, self._keep_s, f"{self._identity}-{self._series_count}"), types)


def _append(series: _Series, now: float, readings: Mapping[str, Reading]) -> None:
    """Add one row, unless nothing of the timeline was read."""
    row: dict[str, Value] = {}
    for name, kind in series.types.items():
        value = readings[name].value if name in readings else None
        if value is not None and _type(value) == kind:
            row[name] = value
    if row:
        series.buffer.append(now, {name: row.get(name, math.nan) for name in series.types})


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


def _interval_s(buffer: RollingBuffer) -> float | None:
    """Return the mean spacing of what is kept."""
    count, oldest, newest = len(buffer), buffer.oldest, buffer.newest
    if count < 2 or oldest is None or newest is None or newest <= oldest:  # noqa: PLR2004 - a spacing needs two
        return None
    return float(newest - oldest) / (count - 1)
