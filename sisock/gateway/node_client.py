"""One data node as the gateway knows it: what it serves, what it can, and calling it, while that is worth it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeadlinePassed
from twisted.logger import Logger

from sisock.core import times
from sisock.core.errors import NodeUnavailable, SisockError
from sisock.core.model import FieldCatalogue
from sisock.core.wire.catalogue import PAGE_FIELDS, CataloguePages, decode_catalogue
from sisock.core.wire.info import Capability, NodeInfo, decode_info, procedure
from sisock.gateway.single_flight import SingleFlight

CALL_FAILURES = (DeadlinePassed, ApplicationError, TransportLost, SisockError)
"""The failures of calls; anything else is a mistake of ours, or a reply that broke the reading of it."""
NO_SUCH_PROCEDURE = ApplicationError.NO_SUCH_PROCEDURE
# One panel waits for a node that hangs, the next ones don't.
MISSES = 1
PAUSE_S = 2.0
# Clocks of several machines may differ by that, and their samples are of the present yet.
AHEAD_S = 60.0
# A node may look through files for its catalogue; no panel waits that long.
CATALOGUE_TIMEOUT_S = 30.0
log = Logger()
_numbers = count(1)


class Caller(Protocol):
    """A caller of WAMP procedures: a session that is joined, or a fake."""

    def call(self, procedure: str, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Call a procedure by its full URI."""


class RouterLink:
    """Calls through whichever session is connected now.

    Parameters
    ----------
    clock
        Twisted's IReactorTime, for whatever takes time; a step of the wall clock should not touch it.
    wall
        Returns the present, UNIX seconds, for what people are told; the clock's time unless given.
    """

    def __init__(self, caller: Caller | None, clock: Any, wall: Callable[[], float] | None = None) -> None:
        self.clock = clock
        self.wall: Callable[[], float] = wall or clock.seconds
        self._caller = caller
        self._since = self.wall()

    def connected(self, caller: Caller) -> None:
        """Use this session from now on."""
        self._caller = caller
        self._since = self.wall()

    def disconnected(self) -> None:
        """Note that the session is gone."""
        if self._caller is not None:
            self._caller = None
            self._since = self.wall()

    @property
    def outage(self) -> str | None:
        """Return in words that the router is not connected, and since when; None while it is."""
        if self._caller is not None:
            return None
        return f"the router is not connected since {times.format_iso8601(self._since)}"

    def call(self, timeout_s: float, procedure: str, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Call a procedure; the Deferred fails with DeadlinePassed when no answer came within ``timeout_s``."""
        if self._caller is None:
            raise NodeUnavailable(self.outage)
        # The router's own timeouts work in whole seconds and leak concurrency slots.
        reply = maybeDeferred(self._caller.call, procedure, *arguments, **keywords)
        return reply.addTimeout(max(timeout_s, 0.0), self.clock)


def in_words(error: BaseException, deadline_s: float) -> str:
    """Return what happened to a call, as the rest of a sentence that starts with the node."""
    if isinstance(error, DeadlinePassed):
        return f"did not answer within {times.format_duration(deadline_s)}"
    if isinstance(error, TransportLost) or _is_closing(error):
        return "could not be asked: the connection to the router was lost; it is made again by itself"
    if isinstance(error, ApplicationError):
        return _application_error(error)
    if isinstance(error, SisockError):
        return f"was not asked or not understood: {error}"
    return f"sent something that broke the reading of it ({type(error).__name__}: {error})"


def _is_closing(error: BaseException) -> bool:
    """Tell whether a call ended because its session did, which Autobahn makes look like an answer."""
    return isinstance(error, ApplicationError) and error.error.startswith("wamp.close.")


def _application_error(error: ApplicationError) -> str:
    if error.error == NO_SUCH_PROCEDURE:
        return "is listed by the hub, but serves nothing: it has just left, or is still starting"
    if error.error == ApplicationError.CANCELED:
        return "left while it was asked"
    message = "; ".join(str(argument) for argument in error.args) or error.error
    return f"answered with an error: {message}"


class Breaker:
    """Counts the misses of one node; pure, with the clocks passed in.

    Closed, every call passes. After ``misses`` consecutive misses it opens: nothing passes for ``pause_s``,
    then one probe at a time, until one is answered.

    Parameters
    ----------
    clock
        Returns seconds, for the pause.
    wall
        Returns the present, UNIX seconds, for since when the node misses; the clock's unless given.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        misses: int = MISSES,
        pause_s: float = PAUSE_S,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall or clock
        self._misses = misses
        self._pause_s = pause_s
        self._missed = 0
        self._paused_at = 0.0
        self.since: float | None = None
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._missed >= self._misses

    def allows(self) -> bool:
        """Tell whether a call may be made now; when the pause is over the caller becomes the probe."""
        if not self.is_open:
            return True
        now = self._clock()
        # A clock that was set back must not lock the node out.
        if 0 <= now - self._paused_at < self._pause_s:
            return False
        # Others wait for the probe as long as for the pause.
        self._paused_at = now
        return True

    def answered(self) -> None:
        """Note that the node answered, whatever it said."""
        self._missed = 0
        self.since = self.reason = None

    def missed(self, reason: str) -> None:
        """Note that the node let a deadline pass."""
        self._missed += 1
        self._paused_at = self._clock()
        self.reason = reason
        self.since = self._wall() if self.since is None else self.since


@dataclass(frozen=True)
class NodeView:
    """One node that is online, as it was at one moment; it never changes, so any thread may read it."""

    name: str
    description: str
    catalogue: FieldCatalogue
    original_library: bool
    problem: str | None
    remarks: tuple[str, ...] = ()


class NodeClient:
    """A node from when it appears until it is gone; one that comes back is a new client.

    Attributes
    ----------
    info
        Version and capabilities, as the node states them; None as long as it has not been asked.
    catalogue
        Its fields, as last stated.
    newest
        Time of the newest sample seen of each field that still grows, UNIX seconds.
    number
        Tells it from other clients of the same name.
    left_at
        When it left, UNIX seconds; None while it is online.
    """

    def __init__(self, name: str, description: str, link: RouterLink, deadline_s: float) -> None:
        self.name = name
        self.description = description
        self.number = next(_numbers)
        self.breaker = Breaker(link.clock.seconds, wall=link.wall)
        self._link = link
        self._deadline_s = deadline_s
        self._patience_s = max(CATALOGUE_TIMEOUT_S, deadline_s)
        # The beginning of the URIs of its procedures; composed once, not for each call.
        self._procedures = procedure(name, "")
        self.info: NodeInfo | None = None
        self.catalogue = FieldCatalogue()
        self.newest: dict[str, float] = {}
        self.left_at: float | None = None
        self._remarks: tuple[str, ...] = ()
        self._fetched_at: float | None = None
        self._fetch_problem: str | None = None
        self.fetching = SingleFlight(self._fetch)

    def inherit(self, former: NodeClient) -> None:
        """Go on with the fields of a former client of this name, until this one has stated its own."""
        # Not its info: it may have come back as another version.
        self.catalogue = former.catalogue
        self.newest = former.newest

    def note_newest(self, field_name: str, time: float) -> None:
        """Note that a field that still grows has a sample of this time.

        It takes the place of a later one from a clock that was ahead and has been set right.
        """
        known = self.newest.get(field_name, time)
        self.newest[field_name] = time if known > self._link.wall() + AHEAD_S else max(time, known)

    @property
    def problem(self) -> str | None:
        """Return in words why nothing, or nothing new, is known of the node."""
        return self._held_back() if self.breaker.is_open else self._fetch_problem

    def cannot(self, reducer: str) -> str:
        """Return in words that the node has not the reducer, and what to do."""
        version = self.info.version if self.info else ""
        return f"node '{self.name}' runs sisock {version}, which cannot make the '{reducer}' of samples: update it"

    def view(self) -> NodeView:
        """Return what is known now."""
        original = self.info is not None and Capability.SPANS not in self.info.capabilities
        return NodeView(self.name, self.description, self.catalogue, original, self.problem, self._remarks)

    @property
    def pages(self) -> int:
        """Return how many pages must be asked for to renew the catalogue; one where a version tells that it stays."""
        tells_version = self.info is not None and self.info.catalogue_version is not None
        at_once = self._fetch_problem is not None or tells_version
        return 1 if at_once else 1 + len(self.catalogue.fields) // PAGE_FIELDS

    def is_older_than(self, age_s: float) -> bool:
        """Tell whether the catalogue was last asked for more than ``age_s`` ago for each of its pages, or never.

        To ask for a hundred thousand fields keeps the node busy for a second: it cannot be done as often.
        """
        fetched_at = self._fetched_at
        return fetched_at is None or not 0 <= self._link.clock.seconds() - fetched_at <= age_s * self.pages

    def explain(self, error: BaseException) -> str:
        """Return in words what went wrong with this node; what nobody expected goes to the log as well."""
        if isinstance(error, NodeUnavailable):
            return str(error)
        if not isinstance(error, CALL_FAILURES):
            log.error("node '{node}': {error!r}", node=self.name, error=error)
        return f"node '{self.name}' {in_words(error, self._deadline_s)}"

    async def call(self, timeout_s: float, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call one of the node's procedures, unless it has missed its deadline and not answered since.

        Raises
        ------
        NodeUnavailable
            At once when the node is being skipped, or the router is away.
        DeadlinePassed
            A miss for the breaker, unless the node was given less than half of the deadline.
        """
        if self.breaker.is_open:
            if self.breaker.allows():
                self._probe(name, arguments, keywords)
            raise NodeUnavailable(self._held_back())
        return await self._call(timeout_s, name, arguments, keywords)

    def _probe(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        """Ask on the side whether the node answers again; whoever comes next will know, and nobody waits."""
        asking = self._call(self._deadline_s, name, arguments, keywords)
        Deferred.fromCoroutine(asking).addErrback(lambda failure: self.explain(failure.value))

    async def _call(self, timeout_s: float, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        try:
            reply = await self._link.call(timeout_s, self._procedures + name, *arguments, **keywords)
        except DeadlinePassed as error:
            # Who was given little time has not shown that it hangs.
            if timeout_s >= self._deadline_s / 2:
                self.breaker.missed(in_words(error, self._deadline_s))
            raise
        except ApplicationError:
            # An error is an answer: the node is there, whatever it thinks of the question.
            self.breaker.answered()
            raise
        self.breaker.answered()
        return reply

    def _held_back(self) -> str:
        since = times.format_iso8601(self.breaker.since or 0.0)
        return f"node '{self.name}' {self.breaker.reason}, the first time at {since}; it is tried again by itself"

    def _fetch(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._update()).addErrback(self._fetch_failed)

    def _fetch_failed(self, failure: Any) -> None:
        self._fetched_at = self._link.clock.seconds()
        self._fetch_problem = self.explain(failure.value)

    async def _update(self) -> None:
        info = await self._ask_info()
        if not self._has_fields_of(info):
            pages = self._pages() if Capability.PAGING in info.capabilities else self._whole()
            self.catalogue, self._remarks = await pages
        self.info, self._fetch_problem = info, None
        self._fetched_at = self._link.clock.seconds()

    async def _ask_info(self) -> NodeInfo:
        try:
            return decode_info(await self.call(self._deadline_s, "info"))
        except ApplicationError as error:
            if error.error != NO_SUCH_PROCEDURE:
                raise
            # The original library has no such procedure.
            return NodeInfo()

    async def _whole(self) -> tuple[FieldCatalogue, tuple[str, ...]]:
        catalogue, remarks = decode_catalogue(await self.call(self._patience_s, "get_fields", 1, 0))
        return catalogue, tuple(remarks)

    async def _pages(self) -> tuple[FieldCatalogue, tuple[str, ...]]:
        pages = CataloguePages()
        while not pages.are_whole:
            pages.take(await self.call(self._patience_s, "get_fields", 1, 0, **pages.next_arguments))
        return pages.catalogue, tuple(pages.remarks)

    def _has_fields_of(self, info: NodeInfo) -> bool:
        """Tell whether the node says that its fields are those that it told before."""
        return self.info is not None and info.catalogue_version is not None and self.info == info
