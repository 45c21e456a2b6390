"""The machine that the node runs on, live: load, memory, disks, network, sensors. A day is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import Field, FieldType
from sisock.nodes.host.readings import HostReadings, Reading, Value
from sisock.nodes.live.buffer_folder import Aside, BufferFolder
from sisock.nodes.live.live_timelines import LiveNode, LiveTimelines, unused_name

TakeSample = Callable[[float], Mapping[str, Reading]]


class HostNode(LiveNode):
    """The readings of this machine by its operating system.

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
        super().__init__(name, description)
        self.poll_interval_s = poll_interval_s
        self._keep_s = keep_s
        self._sample = sample or HostReadings()
        self._folder = BufferFolder(folder)
        self._aside: Aside[LiveTimelines] = Aside(self._folder, clock)
        self.served = self._restored()

    def poll(self, now: float) -> None:
        """Take one sample of everything at ``now``, UNIX seconds.

        After a small step back of the wall clock, samples of the time that is yet to come are dropped: they would make
        all that comes late. After a jump so far that nothing of the past could stay, the node begins anew, and takes
        the past up again if the clock is set right within an hour.
        """
        readings = self._sample(now)
        timelines = self._with_new_timelines(self._without_stale_timelines(self._after_jump(now), now), readings)
        for buffer in timelines.buffers.values():
            # The clock was ahead, and is set right. A difference of two polls may be chance.
            if _newest(buffer) > now + 2 * self.poll_interval_s:
                buffer.forget_after(now)
            _append(buffer, now, readings)
        # Served only once each timeline has its first sample, so that none is ever seen without one.
        self.served = timelines

    def _restored(self) -> LiveTimelines:
        """Return what an earlier process kept; of a name that is there twice, the one with the newest sample."""
        fields: dict[str, Field] = {}
        buffers: dict[str, RollingBuffer] = {}

        def take(buffer: RollingBuffer, about: Mapping[str, Any]) -> bool:
            timeline = str(about.get("timeline", ""))
            if not timeline or timeline in buffers or buffer.fields.keys() & fields:
                return False
            buffers[timeline] = buffer
            for name, kind in buffer.fields.items():
                fields[name] = Field(name, timeline, kind, *about.get("fields", {}).get(name, ()))
            return True

        self._folder.restore(take, _newest, self._keep_s)
        return LiveTimelines(fields, buffers)

    def _after_jump(self, now: float) -> LiveTimelines:
        """Return what to go on with: other timelines where the clock jumped so far that none of these could stay."""
        served = self.served
        self._aside.discard_when_over()
        if not served.buffers or self._is_kept(served, now):
            return served
        past = self._aside.kept
        if past is None:
            self._aside.put(served, served.buffers.values())
            return LiveTimelines()
        # A second jump, which may be the one back: what was measured under the wrong time is of no use.
        for buffer in served.buffers.values():
            self._folder.discard(buffer)
        if not self._is_kept(past, now):
            return LiveTimelines()
        self._aside.clear()
        return past

    def _is_kept(self, timelines: LiveTimelines, now: float) -> bool:
        """Tell whether any of them is kept at a time; what is in the far future is not."""
        return any(abs(now - _newest(buffer)) <= self._keep_s for buffer in timelines.buffers.values())

    def _without_stale_timelines(self, timelines: LiveTimelines, now: float) -> LiveTimelines:
        """Drop what is no longer kept, also when a step of the clock left it in the far future."""
        buffers = {}
        for name, buffer in timelines.buffers.items():
            if abs(now - _newest(buffer)) <= self._keep_s:
                buffers[name] = buffer
            else:
                self._folder.discard(buffer)
        fields = {name: one for name, one in timelines.fields.items() if one.timeline in buffers}
        return LiveTimelines(fields, buffers)

    def _with_new_timelines(self, timelines: LiveTimelines, readings: Mapping[str, Reading]) -> LiveTimelines:
        """Add timelines for the fields that were not there before."""
        groups: dict[tuple[str, bool], list[str]] = {}
        for name, reading in readings.items():
            if name not in timelines.fields and reading.value is not None:
                groups.setdefault(_group(name, reading.value), []).append(name)
        fields, buffers = dict(timelines.fields), dict(timelines.buffers)
        for (group, _), names in groups.items():
            # What appears later is on a timeline of its own: a buffer's fields never change.
            timeline = unused_name(group, buffers)
            for name in names:
                reading = readings[name]
                fields[name] = Field(name, timeline, _type(reading.value), reading.units, reading.description)
            buffers[timeline] = self._new_buffer(timeline, [fields[name] for name in names])
        return LiveTimelines(fields, buffers)

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
    # Of fields of other types there is one on a timeline, so that what is missing beside others is a number.
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


def _newest(buffer: RollingBuffer) -> float:
    return -math.inf if buffer.newest is None else float(buffer.newest)
