"""Live feeds of OCS agents: the last hours of what they publish, as it comes."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from sisock.core.errors import ConfigurationError
from sisock.core.model import Field, FieldCatalogue
from sisock.core.wire.replies import MIB
from sisock.nodes.live.live_timelines import LiveNode, LiveTimelines
from sisock.nodes.ocs.blocks import LiveBlocks
from sisock.nodes.ocs.messages import read_message
from sisock.nodes.ocs.timelines import Limits, LiveTimeline
from sisock.nodes.ocs_names import Key, aliases_of, names_of, units_of
from sisock.settings import Settings

log = logging.getLogger(__name__)

ALL_FEEDS = "observatory.*.feeds.*"
_FEED = re.compile(r"[^\s.#]+\.[^\s.#]*\.feeds\.[^\s.#]*")
_ROUTER = re.compile(r"ws://[^\s/]+(/\S*)?")
_MOST_WARNINGS = 1000
# Naming that takes less than this is done for each message.
_QUICK_S = 0.02


class OcsFeedNode(LiveNode):
    """The samples that OCS agents publish for recording, under the names that it has in the archive that OCS writes.

    A block of a feed is a timeline. What an agent publishes later in a block, or not in each message, is on a
    timeline of its own; nothing is filled in. Fields can also be asked for by the names that the original gave them.

    Parameters
    ----------
    name, description
        What the hub lists.
    feeds
        Addresses of feeds, ``observatory.INSTANCE.feeds.FEED``, with ``*`` or nothing for any instance or feed.
    buffer_time
        Seconds that samples are kept for.
    max_mib
        The most MiB of memory that all samples take together; where it is too little, the largest blocks are kept
        for a shorter time.
    late_s
        Samples may come so many seconds after later ones of their block; what is older than that is final.
    units
        Units of fields by patterns of their names in the feed, such as ``{"*_T": "K"}``.
    router
        Address of the WAMP router of the agents, ``ws://HOST:PORT/ws``, where it is not that of the node itself.
    folder
        Where samples are kept, so that they survive a restart; without it they are in memory only.
    clock
        Returns the present, UNIX seconds.
    steady
        Returns seconds of a clock that never steps, for how long nothing was heard of a block.
    """

    poll_interval_s = 10.0

    def __init__(
        self,
        name: str = "ocs_feed",
        description: str = "Feeds of OCS agents, live",
        feeds: str | Sequence[str] = ALL_FEEDS,
        buffer_time: float = 7200.0,
        max_mib: float = 512.0,
        late_s: float = 5.0,
        units: Mapping[str, str] | None = None,
        router: str | None = None,
        folder: str | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(name, description)
        self.topics = _topics([feeds] if isinstance(feeds, str) else feeds)
        if router is not None and not _ROUTER.fullmatch(router):
            raise ConfigurationError(f"ocs_feed: router is '{router}', but must be like ws://HOST:8001/ws")
        self.router = router
        self._units = {str(pattern): str(one) for pattern, one in (units or {}).items()}
        for option, value in (("buffer_time", buffer_time), ("max_mib", max_mib)):
            if not 0 < value < math.inf:
                raise ConfigurationError(f"ocs_feed: {option} is {value}, but must be a number above zero")
        if not 0 <= late_s < math.inf:
            raise ConfigurationError(f"ocs_feed: late_s is {late_s}, but must be a number of seconds, or 0")
        # Of the blocks, and of what is served: events, polls and questions for all fields come from several threads.
        self._guard = threading.Lock()
        self._warned: set[tuple[str, str]] = set()
        self._blocks = LiveBlocks(Limits(buffer_time, max_mib * MIB, late_s), folder, clock, steady, self._warn)
        self._named_version = -1
        self._name_at = -math.inf
        self._update(at_once=True)

    def receive(self, topic: str, *arguments: Any) -> None:
        """Take one event of a feed; what is wrong with it is left out, with one warning."""
        message = read_message(arguments)
        with self._guard:
            for what, why in message.problems:
                self._warn(topic, what, why)
            for block in message.blocks:
                self._blocks.take(topic, message.agent_class, block)
            self._update()

    def poll(self, now: float) -> None:
        """Let go of what is no longer kept."""
        # By its own clock that never steps: ``now`` says nothing of how long a block was silent.
        with self._guard:
            self._blocks.tidy()
            self._update(at_once=True)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        # Read without the lock: at worst a field comes a question later, and most questions wait for nobody.
        if self._blocks.version != self._named_version:
            with self._guard:
                self._update(at_once=True)
        return super().catalogue(start, end)

    def _update(self, *, at_once: bool = False) -> None:
        """Serve the fields that there are now; where naming all of them takes long, after a break as long."""
        began, version = monotonic(), self._blocks.version
        # At the start each message has new fields: thousands of them would be named anew each time.
        if version != self._named_version and (at_once or began >= self._name_at):
            self.served = self._named()
            self._named_version = version
            ended = monotonic()
            self._name_at = 2 * ended - began if ended - began > _QUICK_S else -math.inf

    def _named(self) -> LiveTimelines:
        """Return the timelines of all blocks as they are now, with a name for each field."""
        owners = self._blocks.owners
        names = names_of(owners)
        aliases, unclear = aliases_of(names)
        if unclear:
            what = "names of the original that several fields would have mean none of them"
            self._warn("", what, f"such as {', '.join(unclear[:3])}")
        alias_of = {name: alias for alias, name in aliases.items()}
        return LiveTimelines(
            fields={names[key]: self._describe(key, names[key], one, alias_of) for key, one in owners.items()},
            buffers={one.name: one.buffer for one in owners.values()},
            columns_of={name: key.field for key, name in names.items()},
            aliases=aliases,
        )

    def _describe(self, key: Key, name: str, timeline: LiveTimeline, alias_of: Mapping[str, str]) -> Field:
        origin = timeline.origin
        units = units_of(key.field, origin.agent_class, self._units) or origin.units.get(key.field)
        agent = f" ({origin.agent_class})" if origin.agent_class else ""
        description = f"{key.field} of block {key.block}{agent}"
        aliases = (alias_of[name],) if name in alias_of else ()
        return Field(name, timeline.name, key.kind, units, description, aliases)

    def _warn(self, topic: str, what: str, why: str) -> None:
        """Warn once of what is left out; the number of warnings is bounded."""
        if (topic, what) not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add((topic, what))
            log.warning("%s: %s", f"{topic}: {what}" if topic else what, why)


def feed_options(settings: Settings) -> dict[str, Any]:
    """Return the options that the environment of the original gives, in ``TARGET``, ``FEED`` and others."""
    options: dict[str, Any] = {"buffer_time": settings.buffer_time_s}
    if settings.feed_target or settings.feed:
        options["feeds"] = [
            f"observatory.{target.strip()}.feeds.{feed.strip()}"
            for target in (settings.feed_target or "*").split(",")
            for feed in (settings.feed or "*").split(",")
        ]
        given = {"name": settings.node_name, "description": settings.node_description}
        options |= {option: text for option, text in given.items() if text}
    return options


def _topics(feeds: Sequence[str]) -> tuple[str, ...]:
    """Return feeds as WAMP has them, in which an empty part is any; those that others include are left out."""
    for feed in feeds:
        if not isinstance(feed, str) or not _FEED.fullmatch(feed):
            raise ConfigurationError(
                f"'{feed}' is no feed: give observatory.INSTANCE.feeds.FEED, with * for any instance or feed"
            )
    every = (".".join("" if part == "*" else part for part in feed.split(".")) for feed in feeds)
    topics = list(dict.fromkeys(every))
    if not topics:
        raise ConfigurationError("ocs_feed: name at least one feed, such as observatory.INSTANCE.feeds.FEED")
    return tuple(one for one in topics if not any(other != one and _includes(other, one) for other in topics))


def _includes(topic: str, other: str) -> bool:
    return all(part in ("", its) for part, its in zip(topic.split("."), other.split("."), strict=True))
