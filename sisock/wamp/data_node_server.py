"""A data node server by the public API: what a subclass returns, and all that is guaranteed around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from autobahn.wamp.exception import ApplicationError
from twisted.internet import reactor, threads
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, inlineCallbacks, maybeDeferred

import sisock.wamp  # noqa: F401 - first, so that Autobahn is loaded quietly
from sisock import __version__
from sisock.core import times
from sisock.core.errors import BadReply, NodeUnavailable, SisockError
from sisock.core.model import DataRequest, FieldCatalogue, Span
from sisock.core.window.edge_reading import EdgeReading, Patience
from sisock.core.window.parts import Halving, Read
from sisock.core.window.remarks import Remarks, tell_thinned
from sisock.core.window.review import Review
from sisock.core.window.spans import SpanReading
from sisock.core.wire.catalogue import decode_catalogue
from sisock.core.wire.data import copy_reply, decode_data
from sisock.core.wire.info import CAPABILITIES, NODE_NAME, NodeInfo, encode_info, procedure
from sisock.core.wire.replies import EXTENDED_ALLOWANCE_BYTES, answer, answer_fields, answer_spans
from sisock.core.wire.requests import parse_request
from sisock.log import FaultLog
from sisock.settings import Settings
from sisock.wamp.connection import raise_transport_limits
from sisock.wamp.credentials import server_login
from sisock.wamp.presence import LIFELINE, Presence
from sisock.wamp.reactor import keep_steady
from sisock.wamp.session import Session, sign

FAULTS = FaultLog()
LOGIN = server_login(Settings.from_environment())
"""Name and secret, read once, as this module is loaded."""
# Within which the next page of a catalogue is asked for.
_PAGING_S = 60.0
_LACKS_FIELDS = (
    "has neither get_fields nor _get_fields_blocking: give its class one of them, "
    "def get_fields(self, start, end), which returns the fields and their timelines"
)
_LACKS_DATA = (
    "has neither get_data nor _get_data_blocking: give its class one of them, "
    "def get_data(self, field, start, end, min_stride=None), which returns the samples"
)


class DataNodeServer(Session):
    """Parent of all data node servers.

    Whatever the methods of a subclass return, callers get samples inside [start, end), in order, in types that can
    travel, downsampled as they asked, and never more than a message may hold.

    Attributes
    ----------
    name
        One component of a URI, ``[A-Za-z0-9_-]+``; the hub refuses a name that is taken.
    description
        For people.
    downsamples
        Set it to True when :meth:`get_data` keeps to ``min_stride`` itself. Otherwise it is called without, and its
        samples are downsampled here.
    catalogue_version
        Changes whenever the fields do; None when the server does not tell.
    """

    name: str | None = None
    description: str | None = None
    downsamples: bool = False
    catalogue_version: str | None = None

    # Nothing is set in __init__: servers written for the original API call ApplicationSession's and not ours.
    _presence: Presence | None = None
    _catalogue = FieldCatalogue()
    _proven: frozenset[str] = frozenset()
    _paged: tuple[tuple[Any, Any], float, FieldCatalogue] | None = None

    # ---- hooks of the session

    def onConnect(self) -> None:  # noqa: N802 - Autobahn's name
        """Log in when the connection stands; override it to log in another way."""
        extra = self.config.extra or {}
        self.join(self.config.realm, ["wampcra"], extra.get("authid", LOGIN[0]))

    def onChallenge(self, challenge: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Answer the router's challenge (WAMP-CRA); raise for any other method."""
        extra = self.config.extra or {}
        return sign(challenge, extra.get("secret", LOGIN[1]))

    @inlineCallbacks
    def onJoin(self, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Register the procedures and add the node to the hub; then :meth:`after_onJoin` is called."""
        if not NODE_NAME.match(self.name or ""):
            self.closing_reason = f"its name is {self.name!r}, but must be 1 to 64 of the characters A-Z a-z 0-9 _ -"
            self.leave()
            return
        self._report(self._lacking())
        # Each session has its own: what an old one still tries ends with it.
        self._presence = Presence(self, str(self.name), self.description, details.session)
        procedures = self._procedures().items()
        yield self._presence.register({procedure(str(self.name), name): serve for name, serve in procedures})
        yield self._presence.announce()
        yield maybeDeferred(self.after_onJoin, details)

    def after_onJoin(self, details: Any) -> Any:  # noqa: N802 - the original's name
        """Override it to do something once the node is on the network, such as start to take samples."""

    def onOpen(self, transport: Any) -> None:  # noqa: N802 - Autobahn's name
        """Let the transport take long messages, and a step of the clock change no delay."""
        raise_transport_limits(transport)
        # Whatever runner made it.
        keep_steady(reactor)
        LIFELINE.session_opened()
        super().onOpen(transport)

    def onClose(self, wasClean: bool) -> None:  # noqa: N802, N803, FBT001 - Autobahn's signature
        """End the process when the connection is gone and nothing brings it back."""
        if self._presence is not None:
            self._presence.stop()
        super().onClose(wasClean)
        LIFELINE.session_closed(self.name, self.closing_reason, self.config)

    # ---- to be overridden

    def get_fields(self, start: float, end: float) -> Any:
        """Return the fields with samples in [start, end), and their timelines.

        Override it when it does not block; override ``_get_fields_blocking``, with the same signature, when it does.

        Parameters
        ----------
        start, end
            UNIX seconds. (A call may use sisock time; it is resolved before.)

        Returns
        -------
        tuple of dict
            ``fields[name]`` is ``{"description", "timeline", "type", "units"}`` with type ``"number"``, ``"string"``
            or ``"bool"``; ``timelines[name]`` is ``{"interval", "field": [names]}`` with the mean spacing of samples
            in seconds, or None when they are aperiodic. A Deferred or coroutine of these will do.
        """
        return self._in_thread(self._get_fields_blocking, start, end)

    def get_data(self, field: list[str], start: float, end: float, min_stride: float | None = None) -> Any:
        """Return all samples of some fields inside [start, end).

        Override it when it does not block; override ``_get_data_blocking``, with the same signature, when it does.

        Parameters
        ----------
        field
            Names of fields; those that do not exist get an empty list.
        start, end
            UNIX seconds.
        min_stride
            Seconds between successive samples at least; None unless ``downsamples`` is set.

        Returns
        -------
        dict
            ``{"data": {field: values}, "timeline": {name: {"t": times, "finalized_until": time or None}}}``: lists or
            NumPy arrays, as many values as times, ``finalized_until`` the UNIX time before which nothing will change
            any more, None when all of it is final. False when it is more than can be given. A Deferred or coroutine
            of these will do.
        """
        return self._in_thread(self._get_data_blocking, field, start, end, min_stride)

    def _lacking(self) -> list[str]:
        """Return in words which of the methods that a subclass must have it has not."""
        methods = ((_LACKS_FIELDS, "get_fields"), (_LACKS_DATA, "get_data"))
        return [f"it {text}" for text, name in methods if not any(map(self._overrides, (name, f"_{name}_blocking")))]

    def _overrides(self, name: str) -> bool:
        return getattr(getattr(self, name), "__func__", None) is not getattr(DataNodeServer, name)

    def _get_fields_blocking(self, start: float, end: float) -> Any:
        raise NodeUnavailable(f"data node '{self.name}' {_LACKS_FIELDS}")

    def _get_data_blocking(self, field: list[str], start: float, end: float, min_stride: float | None = None) -> Any:
        raise NodeUnavailable(f"data node '{self.name}' {_LACKS_DATA}")

    # ---- what is guaranteed around them

    def _procedures(self) -> dict[str, Callable[..., Any]]:
        return {"get_fields": self._serve_fields, "get_data": self._serve_data, "info": self._serve_info}

    def _patience(self) -> Patience:
        return Patience(time.monotonic)

    def _in_thread(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Deferred[Any]:
        return threads.deferToThread(function, *arguments, **keywords)

    def _serve_info(self) -> dict[str, Any]:
        info = NodeInfo(
            version=__version__,
            capabilities=CAPABILITIES,
            allowance_bytes=EXTENDED_ALLOWANCE_BYTES,
            catalogue_version=self.catalogue_version,
        )
        return encode_info(info)

    def _serve_fields(self, start: Any = 1, end: Any = 0, *, limit: Any = None, after: Any = None) -> Any:
        return self._guarded("get_fields", self._fields_reply, start, end, limit, after)

    def _serve_data(self, *arguments: Any, **keywords: Any) -> Any:
        return self._guarded("get_data", self._data_reply, *arguments, **keywords)

    @inlineCallbacks
    def _guarded(self, what: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Turn every error into one that a caller can read; a fault of the server is also logged."""
        try:
            reply = yield function(*arguments, **keywords)
        except SisockError as error:
            if isinstance(error, BadReply):
                self._report([str(error)])
            raise ApplicationError(error.uri, str(error)) from None
        except CancelledError:
            # The caller has given up, so nobody reads this.
            raise ApplicationError(ApplicationError.CANCELED, "the caller has canceled the call") from None
        except Exception as error:  # noqa: BLE001 - whatever a subclass raises must not harm the session
            FAULTS.tell_failure(self.log, self.name, what, error)
            message = f"data node '{self.name}' failed in {what}: {type(error).__name__}: {error}"
            raise ApplicationError(SisockError.uri, message) from None
        return reply

    @inlineCallbacks
    def _fields_reply(self, start: Any, end: Any, limit: Any, after: Any) -> Any:
        catalogue = self._catalogue_of_page(start, end, after)
        if catalogue is None:
            catalogue = yield self._fields_in(*times.resolve_span(start, end, time.time()))
        if limit is not None:
            # Kept for the pages that follow, which must be of the same catalogue.
            self._paged = (start, end), time.monotonic(), catalogue
        reply = yield self._in_thread(answer_fields, catalogue, limit, after)
        return reply

    def _catalogue_of_page(self, start: Any, end: Any, after: Any) -> FieldCatalogue | None:
        """Return the catalogue that the page before was of: a large node takes long to make one for each page."""
        if after is None or self._paged is None:
            return None
        span, at, catalogue = self._paged
        return catalogue if span == (start, end) and time.monotonic() - at <= _PAGING_S else None

    @inlineCallbacks
    def _data_reply(self, field: Any, start: Any, end: Any, min_stride: Any = None, **extensions: Any) -> Any:
        request = parse_request(field, start, end, min_stride, time.time(), **extensions)
        reply = yield self._reply_to(request)
        return reply

    @inlineCallbacks
    def _reply_to(self, request: DataRequest) -> Any:
        """Ask the subclass, and turn what it says into a reply off the reactor."""
        if request.spans is not None:
            reply = yield self._reply_in_spans(request)
            return reply
        catalogue = yield self._catalogue_for(request)
        review = Review((request.start, request.end), self._proven)
        thins = self.downsamples and request.reduce is None
        halving = Halving(request.fields, (request.start, request.end), request.min_stride, strided=thins)
        while (read := halving.read) is not None:
            block = yield self._ask(read, catalogue, review)
            if block is not None:
                halving.take(block)
                continue
            if halving.must_part and not request.extended:
                # The original API's own word for it.
                return False
            halving.refuse()
        downsampled = thins and not halving.parted
        remarks = self._reviewed(review, request, halving.thinned)
        reply = yield self._in_thread(
            answer, halving.block(), request, downsampled=downsampled, remarks=remarks.by_field()
        )
        return reply

    @inlineCallbacks
    def _reply_in_spans(self, request: DataRequest) -> Any:
        """Ask the subclass for no more than the spans take."""
        catalogue = yield self._catalogue_for(request)
        spacings_s = catalogue.spacings_s(request.fields)
        reading, edges = SpanReading(request, spacings_s), EdgeReading(request, spacings_s)
        review = Review((request.start, request.end), self._proven)
        while (read := reading.read) is not None:
            block = yield self._ask(read, catalogue, review)
            if block is None:
                reading.refuse()
                continue
            yield self._in_thread(reading.take, block)
            edges.take(read, block)
        # What lies beside the window is a convenience: nobody is to wait long for it.
        patience = self._patience()
        while (read := edges.read(reading.known)) is not None and patience.lasts():
            block = yield self._ask(read, catalogue, Review(read.span, self._proven))
            if block is None:
                edges.refuse(read)
            else:
                edges.take(read, block)
        reductions, remarks = edges.beside(reading.reductions()), self._reviewed(review, request, reading.thinned)
        reply = yield self._in_thread(answer_spans, reductions, request, remarks.by_field())
        return reply

    @inlineCallbacks
    def _fields_in(self, start: float, end: float) -> Any:
        """Return the catalogue of a span, as the subclass states it and as far as it can be understood."""
        reply = yield _called(self.get_fields, start, end)
        catalogue, problems = decode_catalogue(reply)
        self._report(problems)
        # Another caller's span must not make this server forget the fields of an earlier one.
        self._catalogue = self._catalogue.updated(catalogue)
        return catalogue

    @inlineCallbacks
    def _catalogue_for(self, request: DataRequest) -> Any:
        """Return what is known of the fields of a request; where get_fields fails, the data may do without."""
        if any(name not in self._catalogue.fields for name in request.fields):
            try:
                yield self._fields_in(request.start, request.end)
            except CancelledError:
                raise
            except BadReply as error:
                self._report([str(error)])
            except NodeUnavailable:
                # There is none, which was told at the start.
                pass
            except Exception as error:  # noqa: BLE001 - whatever a subclass raises is not the caller's question
                FAULTS.tell_failure(self.log, self.name, "get_fields", error)
        return self._catalogue

    @inlineCallbacks
    def _ask(self, read: Read, catalogue: FieldCatalogue, review: Review) -> Any:
        """Return the samples that the subclass has inside a span, or None when it says that they are too many."""
        reply = yield _called(self.get_data, list(read.fields), *read[1:])
        if reply is False:
            return None
        # Copied before anything else runs: the server may go on filling the lists that it has handed over.
        copied = copy_reply(reply)
        block, problems = yield self._in_thread(decode_data, copied, read.fields, catalogue)
        return review.take(block, problems).within(*read.span)

    def _reviewed(self, review: Review, request: DataRequest, thinned: Sequence[Span] = ()) -> Remarks:
        """Tell the author what is wrong with the answers to a request; return what a panel is to tell."""
        if not self._proven >= review.placed:
            self._proven = self._proven | review.placed
        self._report(review.problems())
        remarks = Remarks()
        for name, texts in review.by_field().items():
            for text in texts:
                remarks.note([name], text)
        if thinned:
            remarks.note(request.fields, tell_thinned(thinned, request.min_stride))
        return remarks

    def _report(self, problems: list[str]) -> None:
        FAULTS.tell(self.log, self.name, problems)


def _called(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Call a method that may return a value, a Deferred or a coroutine."""

    def call() -> Any:
        result = function(*arguments)
        return ensureDeferred(result) if asyncio.iscoroutine(result) else result

    return maybeDeferred(call)
