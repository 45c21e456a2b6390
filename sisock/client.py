"""A consumer for scripts and notebooks: it blocks, and gives NumPy arrays."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import sisock.wamp  # noqa: F401 - first, so that Autobahn is loaded quietly

# isort: split
import numpy as np
from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core.errors import BadRequest, NodeUnavailable, OverAllowance, SisockError, UnknownField, UnknownNode
from sisock.core.model import DataRequest, Field, FieldCatalogue, Span, Times, Values
from sisock.core.times import check_number, resolve_span
from sisock.core.window.remarks import kind_of
from sisock.core.window.review import is_unmistakable, misplaced
from sisock.core.window.walks import ForwardWalk
from sisock.core.wire import info
from sisock.core.wire.catalogue import CataloguePages, decode_catalogue
from sisock.core.wire.data import decode_after, decode_data
from sisock.core.wire.info import Capability, decode_entries, decode_info, procedure, uri
from sisock.core.wire.requests import request_arguments
from sisock.core.wire.spans import decode_remarks
from sisock.settings import Settings
from sisock.wamp.blocking_connection import BlockingConnection

# Longer than a panel waits: what a script asks of an archive may take a while.
CALL_TIMEOUT_S = 30.0
# As packed numbers 4 MB, well inside the 12 MiB of a reply.
PAGE_SAMPLES = 250_000
# Seconds; no span is longer.
ALL_TIME_S = 1e15


class TooLarge(BadRequest):
    """A span that holds more than one reply may."""


@dataclass(frozen=True)
class NodeEntry:
    """A data node that is online."""

    name: str
    description: str | None


@dataclass(frozen=True)
class FetchedSeries:
    """Samples of one field: ``times`` (UNIX seconds) and ``values``, both of shape (n,).

    ``remarks`` says in words what is wrong with them, if anything: what the node tells, and what is seen as they come.
    """

    field: Field
    times: Times
    values: Values
    remarks: tuple[str, ...] = ()


def join_pages(pages: Sequence[FetchedSeries]) -> FetchedSeries:
    """Return pages of one field, at least one and in order of time, as one series."""
    return FetchedSeries(
        field=pages[0].field,
        times=np.concatenate([page.times for page in pages]),
        # An empty page has no type of its own, and would make floats of whole numbers.
        values=np.concatenate([page.values for page in pages if page.times.size] or [pages[0].values]),
        remarks=tuple({kind_of(remark): remark for page in pages for remark in page.remarks}.values()),
    )


class Consumer:
    """Asks data nodes, from a program that has no event loop.

    It connects when it is first used, and by itself again when the connection was lost. Put it into a ``with`` block,
    or call :meth:`close`; where neither is done, it ends with the program. The first one of a process starts Twisted's
    reactor in a thread of its own, unless the program runs it. Several may be used at once, from any threads but the
    reactor's. After ``os.fork`` it cannot be used: connect in the new processes only.

    Parameters
    ----------
    settings
        Where the router is; from the environment unless given.
    timeout_s
        Seconds to wait for the router.

    Examples
    --------
    ::

        with Consumer() as consumer:
            series = consumer.get("weather::jfk_temperature", start=1.36e9, end=1.37e9)
            print(series.times, series.values, series.field.units)
    """

    def __init__(self, settings: Settings | None = None, timeout_s: float = 10.0) -> None:
        self._settings = settings or Settings.from_environment()
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._line: BlockingConnection | None = None
        self._closed = False
        self._abandoned: Any = None

    def __enter__(self) -> Self:
        """Connect; ConfigurationError without a secret, NodeUnavailable when the router can't be reached in time."""
        self._closed = False
        try:
            self._connected()
        except BaseException:
            # There will be no __exit__.
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect; nothing can be asked after that."""
        self._closed = True
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            # Hung up below: nobody need do so when this object goes.
            self._abandoned.detach()
            line.close()

    def nodes(self) -> list[NodeEntry]:
        """Return the data nodes that are online."""
        entries = self._call(uri("consumer.get_data_node"), who="the hub")
        return [NodeEntry(*entry) for entry in decode_entries(entries)]

    def fields(self, node: str, start: float = 1, end: float = 0) -> FieldCatalogue:
        """Return the fields of a node that have samples in [start, end), sisock time; of all time unless given."""
        start, end = _instants(start, end)
        procedure = info.procedure(node, "get_fields")
        if Capability.PAGING not in self._capabilities(node):
            return decode_catalogue(self._call(procedure, start, end, who=node))[0]
        pages = CataloguePages()
        while not pages.are_whole:
            pages.take(self._call(procedure, start, end, who=node, **pages.next_arguments))
        return pages.catalogue

    def get(
        self,
        target: str,
        start: float,
        end: float = 0,
        *,
        min_stride: float | None = None,
        reduce: str | None = None,
    ) -> FetchedSeries:
        """Return the samples of ``node::field`` inside [start, end), sisock time.

        Parameters
        ----------
        min_stride
            Seconds between samples that are fine enough; every sample unless given.
        reduce
            How to downsample to that: ``"first"``, ``"last"``, ``"minmax"``, ``"m4"``, ``"mean"``, ``"min"``,
            ``"max"``, ``"count"``, ``"sum"`` or ``"stddev"``; plain thinning unless given.

        Raises
        ------
        UnknownNode, UnknownField, BadRequest, NodeUnavailable
        """
        return join_pages(list(self.pages(target, start, end, min_stride=min_stride, reduce=reduce)))

    def pages(
        self,
        target: str,
        start: float,
        end: float = 0,
        *,
        min_stride: float | None = None,
        reduce: str | None = None,
    ) -> Iterator[FetchedSeries]:
        """Yield the same as :meth:`get` page by page, in order of time, so that no more than a page is in memory.

        Every sample of a long span is asked for in parts, which also spares the node. There is at least one page.
        """
        node, name = _split(target)
        start, end = _instants(start, end)
        min_stride = None if min_stride is None else check_number(min_stride, "the stride")
        catalogue = self.fields(node)
        field = catalogue.find(name)
        if field is None:
            raise UnknownField(node, name, catalogue.fields)
        extended = bool(self._capabilities(node))
        # What it gives must be cut, and so the span known.
        if not extended:
            start, end = resolve_span(start, end, time.time())
        request = DataRequest(
            (name,), start, end, min_stride, reduce, packed=extended, limit=PAGE_SAMPLES if extended else None
        )
        read = self._pages_at_once if min_stride or reduce else self._pages_in_parts
        return read(node, request, catalogue)

    def extent(self, target: str) -> Span | None:
        """Return the times of the first and of the newest sample of ``node::field``, UNIX seconds.

        None where there is no sample, or where the node cannot tell.
        """
        node, name = _split(target)
        if Capability.REDUCE not in self._capabilities(node):
            return None
        # One bucket holds all of time: its first sample, and the newest behind it.
        request = DataRequest((name,), 1, 0, min_stride=ALL_TIME_S, reduce="first", packed=True)
        try:
            (page,) = self._pages_at_once(node, request, FieldCatalogue())
        except SisockError:
            # Perhaps because all of time is too much for it.
            return None
        return (float(page.times[0]), float(page.times[-1])) if page.times.size else None

    def _pages_at_once(self, node: str, request: DataRequest, catalogue: FieldCatalogue) -> Iterator[FetchedSeries]:
        """Yield pages of all of a span: what is downsampled must not be cut."""
        while True:
            series, request = self._page(node, request, catalogue)
            yield series
            if request.after is None:
                return

    def _pages_in_parts(self, node: str, request: DataRequest, catalogue: FieldCatalogue) -> Iterator[FetchedSeries]:
        """Yield what parts of a span hold, one after the other."""
        (name,) = request.fields
        start, end = resolve_span(request.start, request.end, time.time())
        # Half a page, so that a part still fits into one where samples become twice as dense.
        walk = ForwardWalk(start, end, PAGE_SAMPLES // 2, catalogue.spacings_s([name]).get(name))
        # An empty span is asked for as well: there is at least one page, and the node may have something to tell.
        if walk.span is None:
            yield from self._pages_at_once(node, request, catalogue)
        while (span := walk.span) is not None:
            # Times that were given relative to now are left to the node's clock.
            low, high = request.start if span[0] == start else span[0], request.end if span[1] == end else span[1]
            try:
                series, following = self._page(
                    node, replace(request, start=low, end=high, after=walk.after), catalogue
                )
            except TooLarge:
                if not walk.refused():
                    raise
                continue
            walk.answered(series.times.size, following.after)
            yield series

    def _page(self, node: str, request: DataRequest, catalogue: FieldCatalogue) -> tuple[FetchedSeries, DataRequest]:
        """Return a page, and the request for the next one, which has no ``after`` where there is none."""
        (name,) = request.fields
        positional, keywords = request_arguments(request)
        reply = self._call(procedure(node, "get_data"), *positional, who=node, **keywords)
        if reply is False:
            raise TooLarge(f"data node '{node}' has more samples than it can give: ask for a shorter span")
        block, remarks = decode_data(reply, request.fields, catalogue)
        remarks += decode_remarks(reply, request).get(name, ())
        timeline = block.find(name)
        if timeline is not None and not request.extended:
            if is_unmistakable(timeline.times):
                remarks.append(misplaced(timeline.times, request.start, request.end) or "")
            timeline = timeline.within(request.start, request.end)
        times, values = (timeline.times, timeline.values[name]) if timeline else (np.empty(0), np.empty(0))
        described = catalogue.find(name) or Field(name, name)
        series = FetchedSeries(described, times, values, tuple(dict.fromkeys(filter(None, remarks))))
        return series, replace(request, after=decode_after(reply))

    def _capabilities(self, node: str) -> frozenset[str]:
        try:
            return decode_info(self._call(procedure(node, "info"), who=node)).capabilities
        except UnknownNode:
            if node in {entry.name for entry in self.nodes()}:
                # It runs on the original library.
                return frozenset()
            raise

    def _connected(self) -> BlockingConnection:
        """Return the connection, once it stands."""
        if self._closed:
            raise SisockError("this Consumer is closed: make a new one, or ask inside of its 'with' block")
        with self._lock:
            if self._line is None:
                line = BlockingConnection(self._settings)
                line.open()
                self._line = line
                # Who forgets a Consumer has its connection closed; the loop's end closes what is left.
                self._abandoned = weakref.finalize(self, line.drop)
                self._abandoned.atexit = False
            line = self._line
        line.wait(self._timeout_s)
        return line

    def _call(self, procedure: str, *arguments: Any, who: str, **keywords: Any) -> Any:
        """Call a procedure and wait; errors come in words."""
        line = self._connected()
        try:
            return line.call(CALL_TIMEOUT_S, procedure, *arguments, **keywords)
        except ApplicationError as error:
            raise self._translated(error, who) from None
        except DeadlinePassed:
            raise NodeUnavailable(f"{who} did not answer within {CALL_TIMEOUT_S:.0f} s") from None
        except TransportLost:
            raise NodeUnavailable("the connection to the router was lost; it is made again at the next call") from None

    def _translated(self, error: ApplicationError, who: str) -> SisockError:
        if error.error != ApplicationError.NO_SUCH_PROCEDURE:
            kind = TooLarge if error.error == OverAllowance.uri else SisockError
            return kind(str(error.args[0]) if error.args else error.error)
        if who == "the hub":
            return NodeUnavailable("the hub is not online: start it with 'sisock hub'")
        return UnknownNode(who)


def _split(target: str) -> tuple[str, str]:
    node, separator, name = target.partition("::")
    if not separator:
        raise BadRequest(f"'{target}' must be NODE::FIELD")
    return node, name


def _instants(start: float, end: float) -> Span:
    """Return both ends of a span as plain numbers: NumPy's do not travel."""
    return check_number(start, "a time"), check_number(end, "a time")
