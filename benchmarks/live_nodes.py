"""Data nodes that live: feeds as observatories have them, and a node with very many fields."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.column.column import Column
from sisock.core.model import DataBlock, Field, FieldCatalogue, Statement, TimelineBlock


def feed_names(feed: str, fields: int) -> list[str]:
    """Return names as OCS agents have them."""
    return [f"observatory.{feed}.feeds.temperatures.Channel_{number:02}_T" for number in range(1, fields + 1)]


class Feed:
    """The fields of one feed on one timeline, in a rolling buffer.

    Parameters
    ----------
    spacing_s
        Of the samples, which are at whole multiples of it.
    """

    def __init__(self, names: Sequence[str], spacing_s: float, keep_s: float, seed: int = 0) -> None:
        self.buffer = RollingBuffer(dict.fromkeys(names, "number"), keep_s, f"bench-{seed}")
        self.names = names
        self._spacing_s = spacing_s
        self._generator = np.random.default_rng(seed)
        self._next: int | None = None

    def fill(self, start: float, end: float) -> None:
        """Take the samples up to ``end``, UNIX seconds; those of the first time from ``start`` on."""
        first = int(start / self._spacing_s) if self._next is None else self._next
        self._next = max(int(end / self._spacing_s), first)
        times = np.arange(first, self._next) * self._spacing_s
        if times.size:
            noise = self._generator.standard_normal((len(self.names), times.size))
            self.buffer.extend(times, dict(zip(self.names, noise + np.sin(times / 600), strict=True)))


class Feeds:
    """Several feeds as one data node.

    Parameters
    ----------
    feeds, fields
        How many, and how many fields each has.
    history_s
        The age of the oldest sample at the beginning.
    count_calls
        A file with one int64, which counts the calls for data.
    """

    name = "feeds"
    description = "feeds of temperatures"
    in_memory = True

    def __init__(
        self,
        feeds: int = 1,
        fields: int = 20,
        spacing_s: float = 1.0,
        history_s: float = 3600.0,
        count_calls: str = "",
        now: float | None = None,
    ) -> None:
        self.poll_interval_s = spacing_s
        self._spacing_s = spacing_s
        self._calls = np.memmap(count_calls, np.int64, "r+", shape=(1,)) if count_calls else np.zeros(1, np.int64)
        self.feeds = {
            f"LSA{number:02}": Feed(feed_names(f"LSA{number:02}", fields), spacing_s, 2 * history_s, number)
            for number in range(feeds)
        }
        self._feed_of = {name: feed for feed, one in self.feeds.items() for name in one.names}
        now = time.time() if now is None else now
        for feed in self.feeds.values():
            feed.fill(now - history_s, now)

    def poll(self, now: float) -> None:
        """Take what is new."""
        for feed in self.feeds.values():
            feed.fill(now, now)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return all fields."""
        fields = [Field(name, feed, units="K") for feed, one in self.feeds.items() for name in one.names]
        return FieldCatalogue.of(fields, dict.fromkeys(self.feeds, self._spacing_s))

    def columns(self, fields: Sequence[str]) -> dict[str, Column]:
        """Return the samples as they are now, and count the call."""
        self._calls[0] += 1
        return {
            name: column
            for feed, names in self._by_feed(fields).items()
            for name, column in self.feeds[feed].buffer.columns(names).items()
        }

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples inside [start, end)."""
        blocks = {
            feed: self.feeds[feed].buffer.block(names, start, end) for feed, names in self._by_feed(fields).items()
        }
        return DataBlock(blocks)

    def _by_feed(self, fields: Sequence[str]) -> dict[str, list[str]]:
        known: dict[str, list[str]] = {}
        for name in fields:
            if name in self._feed_of:
                known.setdefault(self._feed_of[name], []).append(name)
        return known


class ManyFields:
    """Very many fields that all have the same few samples.

    Parameters
    ----------
    fields
        How many.
    """

    name = "many"
    description = "very many fields"
    in_memory = True
    start = 1.7e9
    spacing_s = 0.1

    def __init__(self, fields: int = 100_000, samples: int = 40_000) -> None:
        times = self.start + np.arange(samples) * self.spacing_s
        self._column = Column.of(times, np.sin(times / 60), Statement(generation="bench"))
        self._names: Mapping[str, Field] = {
            name: Field(name, f"feed{number // 20}", units="K", description="A temperature of the cryostat")
            for number, name in enumerate(many_names(fields))
        }

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return all fields."""
        fields = list(self._names.values())
        return FieldCatalogue.of(fields, {one.timeline: self.spacing_s for one in fields})

    def columns(self, fields: Sequence[str]) -> dict[str, Column]:
        """Return the samples with their summaries."""
        return dict.fromkeys((name for name in fields if name in self._names), self._column)

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples inside [start, end)."""
        times, values = self._column.within(start, end)
        return DataBlock({name: TimelineBlock(times, {name: values}) for name in fields if name in self._names})


def many_names(count: int) -> list[str]:
    """Return names of fields such that three letters in a row are in many of them, or in few."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    feeds = [f"{one}{two}{three}" for one in letters for two in letters for three in letters]
    return [
        f"observatory.{feeds[feed * 7 % len(feeds)]}{feed}.feeds.temperatures.Channel_{channel:02}_T"
        for feed, channel in (divmod(number, 20) for number in range(count))
    ]


def make_counter(path: Path) -> np.memmap:
    """Write a file that :class:`Feeds` counts its calls in; return what reads it."""
    return np.memmap(path, np.int64, "w+", shape=(1,))
