"""The blocks of OCS feeds: which times of each are believed, and what becomes of its past when its clock jumps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sisock.core.buffer.rolling import RollingBuffer
from sisock.nodes.live.buffer_folder import Aside, BufferFolder
from sisock.nodes.ocs.messages import BlockRows, FeedBlock
from sisock.nodes.ocs.timelines import BlockTimelines, Limits, LiveTimeline, Origin, Warn
from sisock.nodes.ocs_names import Key

# A jump of a clock by more than that is believed when the next message confirms it.
MOST_AHEAD_S = 600.0


class _Past(NamedTuple):
    """The timelines of a block before its clock jumped ahead, and how far that had come."""

    timelines: Sequence[LiveTimeline]
    newest: float


@dataclass
class _BlockClock:
    """The clock of a block, as the times of its samples show it.

    Parameters
    ----------
    aside
        What there was of the block before its clock jumped ahead.
    newest
        How far its times have come, UNIX seconds.
    heard_at
        When something came last, by the clock that never steps.
    ahead
        What came in the message before and is far ahead.
    """

    aside: Aside[_Past]
    newest: float = -math.inf
    heard_at: float = 0.0
    ahead: list[BlockRows] = field(default_factory=list)


class LiveBlocks:
    """All that was published in the last hours; to be called by one thread at a time.

    ``version`` changes when fields come or go; buffers may be read by any thread.

    Parameters
    ----------
    limits
        How much is kept.
    folder
        Where samples are kept, too; None for in memory only.
    now
        Returns the present, UNIX seconds.
    steady
        Returns seconds of a clock that never steps, for how long nothing was heard.
    """

    def __init__(
        self,
        limits: Limits,
        folder: str | None,
        now: Callable[[], float],
        steady: Callable[[], float],
        warn: Warn,
    ) -> None:
        self._limits = limits
        self._now = now
        self._steady = steady
        self._warn = warn
        self._folder = BufferFolder(folder)
        self._timelines = BlockTimelines(self._folder, limits, warn)
        self._clocks: dict[tuple[str, str], _BlockClock] = {}
        # What lies beyond is from a clock that was ahead: it is restored where there is nothing else of a field.
        latest = now() + MOST_AHEAD_S
        self._folder.restore(self._take_restored, lambda buffer: _rank(buffer, latest), *limits)

    @property
    def version(self) -> int:
        """A number that changes when fields come or go."""
        return self._timelines.version

    @property
    def owners(self) -> Mapping[Key, LiveTimeline]:
        """The timeline of each field."""
        return self._timelines.owners

    def take(self, address: str, agent_class: str, block: FeedBlock) -> None:
        """Take the samples of a block."""
        origin = Origin(address, block.name, agent_class, block.units)
        for rows in self._believed(origin.key, block.rows):
            self._timelines.take(origin, rows)
        if self._timelines.bytes > self._limits.max_bytes:
            self._share_bytes()

    def tidy(self) -> None:
        """Forget the blocks that nothing was heard of for longer than samples are kept."""
        steady = self._steady()
        silent = [key for key, clock in self._clocks.items() if steady - clock.heard_at > self._limits.keep_s]
        for key in silent:
            self._clocks.pop(key).aside.discard()
            self._timelines.discard(self._timelines.of_block(key))
        for clock in self._clocks.values():
            clock.aside.discard_when_over()
        self._share_bytes()

    def _clock_of(self, key: tuple[str, str]) -> _BlockClock:
        if key not in self._clocks:
            self._clocks[key] = _BlockClock(Aside(self._folder, self._steady))
        return self._clocks[key]

    def _believed(self, key: tuple[str, str], rows: Sequence[BlockRows]) -> list[BlockRows]:
        """Return what may be taken now: times far ahead only when the next message has nothing but such times.

        One wild time would otherwise let all that is kept expire.
        """
        clock = self._clock_of(key)
        clock.heard_at = self._steady()
        near, far = _split_at(rows, max(clock.newest, self._now()) + MOST_AHEAD_S)
        # What comes first of all may be from a clock that is ahead of this one.
        if not near and (clock.ahead or clock.newest == -math.inf):
            believed, clock.ahead = clock.ahead + far, []
        else:
            believed, clock.ahead = near, far
        if near:
            self._set_back(clock, key, near)
        if believed:
            self._put_aside(clock, key, believed)
        if clock.ahead:
            address, block = key
            self._warn(address, f"times of block '{block:.80}' jump ahead", "they are left out unless more follow")
        clock.newest = max([clock.newest, *(one.newest for one in believed)])
        return believed

    def _set_back(self, clock: _BlockClock, key: tuple[str, str], rows: Sequence[BlockRows]) -> None:
        """Drop what is in the future when its clock has been set right, and could keep out all that comes now."""
        now, newest = self._now(), max(one.newest for one in rows)
        if clock.newest <= now + MOST_AHEAD_S or newest >= clock.newest - self._limits.keep_s:
            return
        if self._take_up(clock, key, newest):
            return
        latest = max(now, newest)
        for timeline in self._timelines.of_block(key):
            kept_from = timeline.buffer.oldest
            # Where nothing stays, what comes must not be too late: it was measured some moments ago.
            stays = kept_from is not None and kept_from <= latest
            timeline.buffer.forget_after(latest if stays else _oldest(rows))
        clock.newest = newest

    def _take_up(self, clock: _BlockClock, key: tuple[str, str], newest: float) -> bool:
        """Go on with what was put aside of a block, if its clock is set right; tell whether it is."""
        past = clock.aside.kept
        if past is None or abs(newest - past.newest) > self._limits.keep_s:
            return False
        clock.aside.clear()
        self._timelines.discard(self._timelines.of_block(key))
        self._timelines.put_back(past.timelines)
        clock.newest = past.newest
        return True

    def _put_aside(self, clock: _BlockClock, key: tuple[str, str], rows: Sequence[BlockRows]) -> None:
        """Begin a block anew where its clock jumps so far ahead that nothing of its past could stay."""
        timelines = self._timelines.of_block(key)
        if timelines and clock.aside.kept is None and _oldest(rows) > clock.newest + self._limits.keep_s:
            clock.aside.put(_Past(timelines, clock.newest), [one.buffer for one in timelines])
            self._timelines.remove(timelines)

    def _share_bytes(self) -> None:
        """Keep to the bytes of all: what is aside goes first."""
        aside = sum(buffer.bytes for clock in self._clocks.values() for buffer in clock.aside.buffers)
        if self._timelines.count_bytes() + aside > self._limits.max_bytes:
            for clock in self._clocks.values():
                clock.aside.discard()
        self._timelines.share_bytes()

    def _take_restored(self, buffer: RollingBuffer, about: Mapping[str, Any]) -> bool:
        """Take up what an earlier process kept; of a field that is there twice, what has come furthest."""
        timeline = self._timelines.restored(buffer, about)
        if timeline is None:
            return False
        clock = self._clock_of(timeline.origin.key)
        clock.newest = max(clock.newest, buffer.newest or -math.inf)
        # As if this process had heard it come, when the newest sample was measured.
        clock.heard_at = self._steady() - max(0.0, self._now() - clock.newest)
        return True


def _split_at(rows: Sequence[BlockRows], limit: float) -> tuple[list[BlockRows], list[BlockRows]]:
    """Return the samples up to a time, and those after it."""
    if not any(one.newest > limit for one in rows):
        return list(rows), []
    masks = [(one, one.times > limit) for one in rows]
    near = [one.take(~ahead) for one, ahead in masks if not ahead.all()]
    return near, [one.take(ahead) for one, ahead in masks if ahead.any()]


def _oldest(rows: Sequence[BlockRows]) -> float:
    return min(float(one.times.min()) for one in rows)


def _rank(buffer: RollingBuffer, latest: float) -> tuple[bool, float, int]:
    """Return by what a buffer is preferred to another: a time that can be, the newest sample, the most fields."""
    newest = buffer.newest or 0.0
    return newest <= latest, newest, len(buffer.fields)
