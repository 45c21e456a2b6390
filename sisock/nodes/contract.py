"""The contract of a source of data: one small Protocol a capability.

Methods are called from worker threads (but see :class:`InMemory`), at most one call of :meth:`Polls.poll` at a time,
but several reads side by side and beside a poll: what they share must be guarded or replaced whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataBlock, FieldCatalogue


@runtime_checkable
class DataNode(Protocol):
    """A source of time series."""

    name: str
    description: str

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the fields inside [start, end), UNIX seconds.

        Unknown fields are left out. A timeline of a known field is in the block even when it has no sample in the
        span, with its ``finalized_until``. Arrays may be views that nobody will write to.
        """


@runtime_checkable
class Summarizes(Protocol):
    """A node that keeps summaries of its samples, so that to reduce years costs what minutes cost."""

    def columns(self, fields: Sequence[str]) -> Mapping[str, ReducibleSeries]:
        """Return the samples of the known ones of the fields, each with its summary; nobody writes to them."""


@runtime_checkable
class InMemory(Protocol):
    """A node whose :meth:`DataNode.read` returns views of arrays at once, and is called without a thread."""

    # isinstance() sees only that the name is there, so servers look at its value too.
    in_memory: Literal[True]


@runtime_checkable
class Polls(Protocol):
    """A node that must be called regularly to take its samples."""

    poll_interval_s: float

    def poll(self, now: float) -> None:
        """Take what is there at ``now``, UNIX seconds."""


@runtime_checkable
class Subscribes(Protocol):
    """A node that is fed by WAMP topics, of which an empty part stands for any.

    Events come one after the other, each once; those that are published while there is no connection never come.
    """

    topics: Sequence[str]

    def receive(self, topic: str, *arguments: Any) -> None:
        """Take one event."""


@runtime_checkable
class SubscribesElsewhere(Subscribes, Protocol):
    """A node whose topics may be those of another router than its own, one that asks for no login.

    ``router`` is its address, ``ws://HOST:PORT/PATH``; None for the node's own.
    """

    router: str | None
