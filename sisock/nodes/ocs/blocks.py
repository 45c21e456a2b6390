"""The blocks of OCS feeds in rolling buffers: which fields share one, for how long, and in how many bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import FieldType, Times, Values
from sisock.nodes.live.buffer_folder import BufferFolder
from sisock.nodes.ocs.messages import BlockRows, FeedBlock, Typed
from sisock.nodes.ocs_names import Key

MOST_FIELDS = 50_000
ASIDE_S = 3600.0  # so long is what a jump of a clock would drop kept, for that clock may be set right again
MOST_AHEAD_S = 600.0  # a jump of a clock by more than that is believed when the next message confirms it
_MOST_PLANS = 10_000

Tell = Callable[[str, str, str], None]
"""Called with a topic, what is left out and why."""


@dataclass(frozen=True, eq=False)
class LiveTimeline:
    """Fields of a block that come together, by their names in the feed."""

    name: str
    address: str
    block: str
    buffer: RollingBuffer
    agent_class: str = ""
    units: Mapping[str, str] = field(default_factory=dict)

    def field_keys(self) -> Iterator[Key]:
        """Yield what tells each of its fields from all others."""
        return (Key(self.address, self.block, name, kind) for name, kind in self.buffer.fields.items())


@dataclass
class _Clock:
    """How far the times of a block have come, what came that is far ahead of it, and when something came last.

    The former is UNIX time, the latter of the clock that never steps.
    """

    newest: float
    heard_at: float
    ahead: list[BlockRows] = field(default_factory=list)


@dataclass(frozen=True)
class _Aside:
    """What there was of a block before its clock jumped ahead, how far it had come, and until when it is kept."""

    timelines: Sequence[LiveTimeline]
    newest: float
    until: float


class LiveBlocks:
    """All that was published in the last hours; to be called by one thread at a time.

    ``version`` changes when fields come or go; buffers may be read by any thread.

    Parameters
    ----------
    keep_s, max_bytes, late_s
        How long samples are kept, in how many bytes altogether, and how late they may come.
    folder
        Where they are kept, too; None for in memory only.
    now
        Returns the present, UNIX seconds.
    steady
        Returns seconds of a clock that never steps, for how long nothing was heard.
    """

    def __init__(
        self,
        keep_s: float,
        max_bytes: float,
        late_s: float,
        folder: str | None,
        now: Callable[[], float],
        steady: Callable[[], float],
        tell: Tell,
    ) -> None:
        self._limits = (keep_s, max_bytes, late_s)
        self._now = now
        self._steady = steady
        self._tell = tell
        self._folder = BufferFolder(folder)
        self._timelines: dict[str, LiveTimeline] = {}
        self._clocks: dict[tuple[str, str], _Clock] = {}
        self._aside: dict[tuple[str, str], _Aside] = {}
        self._plans: dict[tuple[str, str, tuple[Typed, ...]], list[tuple[LiveTimeline, list[Typed]]]] = {}
        self._bytes = 0
        self.owners: dict[Key, LiveTimeline] = {}
        self.version = 0
        self._restore()

    def take(self, address: str, agent_class: str, block: FeedBlock) -> None:
        """Take the samples of a block."""
        for rows in self._believed(address, block):
            for timeline, columns in self._plan(address, agent_class, block, tuple(rows.values)):
                self._extend(timeline.buffer, rows.times, {one.field: rows.values[one] for one in columns})
        if self._bytes > self._limits[1]:
            self._share_bytes()

    def tidy(self) -> None:
        """Forget the blocks that nothing was heard of for longer than samples are kept."""
        steady, keep_s = self._steady(), self._limits[0]
        silent = {key for key, clock in self._clocks.items() if steady - clock.heard_at > keep_s}
        for key in silent:
            del self._clocks[key]
        for key in silent:
            self._forget(self._timelines_of(*key))
        for key in [key for key, aside in self._aside.items() if steady > aside.until or key in silent]:
            self._let_go_aside(key)
        self._share_bytes()

    # ---- times

    def _believed(self, address: str, block: FeedBlock) -> list[BlockRows]:
        """Return what may be taken now: times far ahead only when the next message has nothing but such times.

        One wild time would otherwise let all that is kept expire.
        """
        now = self._now()
        clock = self._clocks.setdefault((address, block.name), _Clock(-math.inf, 0.0))
        clock.heard_at = self._steady()
        limit = max(clock.newest, now) + MOST_AHEAD_S
        near, far = list(block.rows), []
        if any(rows.newest > limit for rows in near):
            parts = [(rows, rows.times > limit) for rows in block.rows]
            near = [rows.take(~ahead) for rows, ahead in parts if not ahead.all()]
            far = [rows.take(ahead) for rows, ahead in parts if ahead.any()]
        # What comes first of all may be from a clock that is ahead of this one.
        goes_on = not near and (bool(clock.ahead) or clock.newest == -math.inf)
        believed = clock.ahead + far if goes_on else near
        clock.ahead = [] if goes_on else far
        if near:
            self._set_back(clock, address, block.name, near)
        if believed:
            self._put_aside(clock, address, block.name, believed)
        if clock.ahead:
            self._tell(
                address, f"times of block '{block.name:.80}' jump ahead", "they are left out unless more follow"
            )
        clock.newest = max([clock.newest, *(rows.newest for rows in believed)])
        return believed

    def _put_aside(self, clock: _Clock, address: str, block: str, parts: Sequence[BlockRows]) -> None:
        """Begin a block anew where its clock jumps so far ahead that nothing of its past could stay."""
        key, oldest = (address, block), min(float(rows.times.min()) for rows in parts)
        timelines = self._timelines_of(*key)
        if timelines and key not in self._aside and oldest > clock.newest + self._limits[0]:
            self._aside[key] = _Aside(timelines, clock.newest, self._steady() + ASIDE_S)
            for timeline in timelines:
                self._remove(timeline)

    def _take_up(self, key: tuple[str, str], newest: float) -> bool:
        """Go on with what was put aside of a block, if its clock is set right; tell whether it is."""
        aside = self._aside.get(key)
        if aside is None or abs(newest - aside.newest) > self._limits[0]:
            return False
        del self._aside[key]
        self._forget(self._timelines_of(*key))
        for timeline in aside.timelines:
            self._add(replace(timeline, name=self._unused(timeline.name)))
        self._clocks[key].newest = aside.newest
        return True

    def _timelines_of(self, address: str, block: str) -> list[LiveTimeline]:
        return [one for one in self._timelines.values() if (one.address, one.block) == (address, block)]

    def _forget(self, timelines: Sequence[LiveTimeline]) -> None:
        for timeline in timelines:
            self._remove(timeline)
            self._folder.discard(timeline.buffer)

    def _let_go_aside(self, key: tuple[str, str]) -> None:
        for timeline in self._aside.pop(key).timelines:
            self._folder.discard(timeline.buffer)

    def _set_back(self, clock: _Clock, address: str, block: str, parts: Sequence[BlockRows]) -> None:
        """Drop what is in the future when its clock has been set right, and could keep out all that comes now."""
        now, newest = self._now(), max(rows.newest for rows in parts)
        oldest = min(float(rows.times.min()) for rows in parts)
        if clock.newest > now + MOST_AHEAD_S and newest < clock.newest - self._limits[0]:
            if self._take_up((address, block), newest):
                return
            for timeline in self._timelines_of(address, block):
                kept_from, latest = timeline.buffer.oldest, max(now, newest)
                # Where nothing stays, what comes must not be too late: it was measured some moments ago.
                stays = kept_from is not None and kept_from <= latest
                timeline.buffer.forget_after(latest if stays else oldest)
            clock.newest = newest

    # ---- which fields share a timeline

    def _plan(
        self, address: str, agent_class: str, block: FeedBlock, columns: tuple[Typed, ...]
    ) -> list[tuple[LiveTimeline, list[Typed]]]:
        """Return the timelines that samples of some fields go to, which have just these fields."""
        plan = self._plans.get((address, block.name, columns))
        if plan is None:
            plan = self._make_plan(address, agent_class, block, columns)
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[address, block.name, columns] = plan
        return plan

    def _make_plan(
        self, address: str, agent_class: str, block: FeedBlock, columns: Sequence[Typed]
    ) -> list[tuple[LiveTimeline, list[Typed]]]:
        known: dict[LiveTimeline | None, list[Typed]] = {}
        for column in columns:
            known.setdefault(self.owners.get(Key(address, block.name, *column)), []).append(column)
        new = known.pop(None, [])
        plan = []
        for timeline, members in known.items():
            assert timeline is not None
            whole = len(members) == len(timeline.buffer.fields)
            plan.append((timeline if whole else self._split(timeline, members), members))
        if len(self.owners) + len(new) > MOST_FIELDS:
            self._tell(address, "further fields are left out", f"{MOST_FIELDS} are as many as are kept")
        elif new:
            about = (address, block.name, agent_class, dict(block.units))
            plan.append((self._begin(self._unused(f"{address}.{block.name}"), about, dict(new)), new))
        return plan

    def _begin(
        self, name: str, about: tuple[str, str, str, dict[str, str]], fields: Mapping[str, FieldType]
    ) -> LiveTimeline:
        """Begin a timeline of a block."""
        address, block, agent_class, units = about
        keep_s, max_bytes, late_s = self._limits
        known: dict[str, Any] = {"timeline": name, "address": address, "block": block}
        known |= {"agent_class": agent_class, "units": units}
        buffer = self._folder.new_buffer(fields, keep_s, known, max_bytes, late_s)
        return self._add(LiveTimeline(name, address, block, buffer, agent_class, units))

    def _split(self, timeline: LiveTimeline, members: Sequence[Typed]) -> LiveTimeline:
        """Put fields that do not always come together on timelines of their own; return that of some."""
        inside = dict(members)
        outside = {name: kind for name, kind in timeline.buffer.fields.items() if name not in inside}
        self._remove(timeline)
        part = self._copy(timeline, timeline.name, inside)
        self._copy(timeline, self._unused(timeline.name), outside)
        self._folder.discard(timeline.buffer)
        return part

    def _copy(self, timeline: LiveTimeline, name: str, fields: Mapping[str, FieldType]) -> LiveTimeline:
        about = (timeline.address, timeline.block, timeline.agent_class, dict(timeline.units))
        copy = self._begin(name, about, fields)
        block = timeline.buffer.block(fields, -math.inf, math.inf)
        if block.available_from > -math.inf:
            copy.buffer.forget_before(block.available_from)
        self._extend(copy.buffer, block.times, block.values)
        return copy

    def _add(self, timeline: LiveTimeline) -> LiveTimeline:
        self._timelines[timeline.name] = timeline
        self._bytes += timeline.buffer.bytes
        self.owners.update((key, timeline) for key in timeline.field_keys())
        self._plans.clear()
        self.version += 1
        return timeline

    def _remove(self, timeline: LiveTimeline) -> None:
        del self._timelines[timeline.name]
        self._bytes -= timeline.buffer.bytes
        for key in timeline.field_keys():
            del self.owners[key]
        self._plans.clear()
        self.version += 1

    def _unused(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._timelines:
            count += 1
            candidate = f"{name}-{count}"
        return candidate

    # ---- memory and disk

    def _extend(self, buffer: RollingBuffer, times: Times, values: Mapping[str, Values]) -> None:
        before = buffer.bytes
        if len(times) == 1:  # quicker in this way
            buffer.append(float(times[0]), {name: array[0] for name, array in values.items()})
        else:
            buffer.extend(times, values)
        self._bytes += buffer.bytes - before

    def _share_bytes(self) -> None:
        """Keep to the bytes of all: where they are too many, the largest buffers are cut to one size."""
        buffers = sorted((one.buffer for one in self._timelines.values()), key=lambda buffer: buffer.bytes)
        left = most = self._limits[1]
        share = most
        aside = [timeline.buffer for one in self._aside.values() for timeline in one.timelines]
        if sum(buffer.bytes for buffer in [*buffers, *aside]) > most:
            for key in list(self._aside):
                self._let_go_aside(key)
        if sum(buffer.bytes for buffer in buffers) > most:
            for number, buffer in enumerate(buffers):
                share = left / (len(buffers) - number)
                if buffer.bytes > share:
                    break
                left -= buffer.bytes
        for buffer in buffers:
            if buffer.max_bytes != share:
                buffer.limit(share)
        self._bytes = sum(buffer.bytes for buffer in buffers)

    def _restore(self) -> None:
        """Take up what an earlier process kept; of a field that is there twice, what has come furthest."""
        found = self._folder.restored(*self._limits)
        latest = self._now() + MOST_AHEAD_S  # what lies beyond is from a clock that was ahead

        def rank(one: tuple[RollingBuffer, Mapping[str, Any]]) -> tuple[bool, float, int]:
            newest = one[0].newest or 0.0
            return newest <= latest, newest, len(one[0].fields)

        for buffer, about in sorted(found, key=rank, reverse=True):
            texts = [about.get(name) for name in ("timeline", "address", "block", "agent_class")]
            units = about.get("units")
            timeline = None
            if all(isinstance(text, str) for text in texts) and isinstance(units, dict):
                name, address, block, agent_class = map(str, texts)
                timeline = LiveTimeline(self._unused(name), address, block, buffer, agent_class, units)
            if timeline is None or not len(buffer) or any(key in self.owners for key in timeline.field_keys()):
                self._folder.discard(buffer)
                continue
            self._add(timeline)
            newest = buffer.newest or -math.inf
            clock = self._clocks.setdefault((timeline.address, timeline.block), _Clock(newest, 0.0))
            clock.newest = max(clock.newest, newest)
            clock.heard_at = self._steady() - max(0.0, self._now() - clock.newest)
