"""The nodes that are online and their fields, kept up to date by the hub's events and by asking again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeadlinePassed
from twisted.logger import Logger

from sisock.core.errors import BadReply, NodeUnavailable, UnknownNode
from sisock.core.model import Field, FieldCatalogue
from sisock.core.wire.info import decode_entries, uri
from sisock.gateway.drawing.planner import SEPARATOR, SeriesWanted
from sisock.gateway.node_client import NodeClient, NodeView, RouterLink, in_words
from sisock.gateway.single_flight import SingleFlight
from sisock.gateway.target_index import Targets

FRESH_S = 5.0
MOST_CHANGES_KEPT = 2000
# Each keeps its catalogue, which may have a hundred thousand fields.
MOST_GONE_KEPT = 32
log = Logger()


@dataclass(frozen=True)
class NodeChange:
    """A node that came or left, at a UNIX time in seconds."""

    time: float
    node: str
    came: bool


@dataclass(frozen=True)
class NodeState:
    """The state of a node: the newest sample seen of any field that still grows, and whether it is being skipped."""

    newest: float | None
    skipped: bool


@dataclass(frozen=True)
class Snapshot:
    """The nodes and fields known at one moment; it never changes, so any thread may read it."""

    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    outage: str | None = None
    gone: Mapping[str, FieldCatalogue] = field(default_factory=dict, repr=False, compare=False)
    targets: Targets = field(default_factory=lambda: Targets({}), repr=False, compare=False)

    @classmethod
    def of(
        cls,
        nodes: Mapping[str, NodeView],
        outage: str | None = None,
        former: Snapshot | None = None,
        gone: Mapping[str, FieldCatalogue] | None = None,
    ) -> Snapshot:
        """Return what is known of some nodes; what was made of names that stay is taken from a former snapshot."""
        return cls(nodes, outage, gone or {}, Targets(nodes, former.targets if former else None))

    def field(self, wanted: SeriesWanted) -> Field | None:
        """Return the field as its node describes it, or None."""
        nodes = [self.nodes[part.node] for part in wanted.parts if part.node in self.nodes]
        fields = [node.catalogue.find(wanted.field) for node in nodes]
        return next((field for field in fields if field is not None), None)

    def left(self, target: str) -> SeriesWanted | None:
        """Return the field of a node that has left, whose past may be kept; None for all other targets."""
        node, _, name = target.partition(SEPARATOR)
        catalogue = self.gone.get(node)
        return SeriesWanted(node, name) if catalogue is not None and name in catalogue.fields else None


class Directory:
    """The clients that are online.

    All methods run in the reactor's thread; only :meth:`snapshot` may be called from any.
    """

    def __init__(self, link: RouterLink, deadline_s: float) -> None:
        self._link = link
        self._deadline_s = deadline_s
        self._clients: dict[str, NodeClient] = {}
        self._gone: dict[str, NodeClient] = {}
        self._changes: dict[str, int] = {}
        self._listed_at: float | None = None
        self._listing = SingleFlight(self._list)
        self._last = Snapshot()
        self.problem: str | None = None
        self._was_listed = False
        self.history: deque[NodeChange] = deque(maxlen=MOST_CHANGES_KEPT)

    def snapshot(self) -> Snapshot:
        """Return what is known now; the same object as long as nothing changed."""
        # Copies: another thread may read while nodes come and leave.
        views = {name: client.view() for name, client in sorted(self._clients.copy().items())}
        # A hub that is away matters only where no node is known: those that are can be asked without it.
        outage = self._link.outage or (self.problem if not views else None)
        last = self._last
        if outage != last.outage or not _identical(views, last.nodes):
            gone = {name: client.catalogue for name, client in self._gone.copy().items()}
            self._last = last = Snapshot.of(views, outage, last, gone)
        return last

    def client(self, name: str) -> NodeClient:
        """Return a node that is online; UnknownNode otherwise."""
        try:
            return self._clients[name]
        except KeyError:
            raise UnknownNode(name, self._clients) from None

    def gone(self, name: str) -> NodeClient | None:
        """Return a node that has left; None for others."""
        return self._gone.get(name)

    def field(self, wanted: SeriesWanted) -> Field | None:
        """Return a field as its node describes it, or None."""
        clients = [self._clients[part.node] for part in wanted.parts if part.node in self._clients]
        fields = [client.catalogue.find(wanted.field) for client in clients]
        return next((field for field in fields if field is not None), None)

    def interval_s(self, wanted: SeriesWanted) -> float | None:
        """Return the mean spacing that a node states of numbers; None where it states none, or is not known."""
        client = self._clients.get(wanted.node) or self._gone.get(wanted.node)
        field = client.catalogue.find(wanted.field) if client else None
        if client is None or field is None or field.type != "number":
            return None
        return client.catalogue.timelines[field.timeline].interval_s

    def newest(self, wanted: SeriesWanted) -> float:
        """Return the time of the newest sample seen of a field of a node that still grows; -inf when none was."""
        client = self._clients.get(wanted.node)
        return client.newest.get(wanted.field, -math.inf) if client else -math.inf

    def states(self) -> dict[str, NodeState]:
        """Return how each node that is online does now."""
        return {
            name: NodeState(max(client.newest.values(), default=None), client.breaker.is_open)
            for name, client in sorted(self._clients.items())
        }

    def node_added(self, entry: Any) -> None:
        """Take the hub's event that a node came."""
        for name, description in decode_entries([entry]):
            self._changed(name)
            self._add(name, description)

    def node_subtracted(self, entry: Any) -> None:
        """Take the hub's event that a node left: it is gone at once."""
        for name, _ in decode_entries([entry]):
            self._changed(name)
            self._remove(name)

    def refresh(self) -> Deferred[None]:
        """Ask the hub which nodes are online; what cannot be asked now stays as it was."""
        return self._listing.wait()

    def freshen(self, age_s: float = FRESH_S) -> Deferred[Snapshot]:
        """Ask again for all that is older than ``age_s``, side by side; return what is known at the deadline.

        Catalogues of several pages are renewed beside, more rarely, and not waited for.
        """
        freshening = Deferred.fromCoroutine(self._freshen(age_s)).addTimeout(self._deadline_s, self._link.clock)
        freshening.addErrback(lambda failure: failure.trap(DeadlinePassed))
        return freshening.addCallback(lambda _: self.snapshot())

    async def _freshen(self, age_s: float) -> None:
        if self._link.outage:
            return
        older = [client for client in self._clients.values() if client.is_older_than(age_s)]
        asked = [(client.pages, client.fetching.wait()) for client in older]
        # A catalogue of many pages takes seconds, and is as true as before until the new one is there.
        waiting = [fetching for pages, fetching in asked if pages == 1]
        now = self._link.clock.seconds()
        if self._listed_at is None or not 0 <= now - self._listed_at <= age_s:
            known = set(self._clients.values())
            await self.refresh()
            waiting += [client.fetching.wait() for client in self._clients.values() if client not in known]
        await DeferredList(waiting, consumeErrors=True)

    def _remove(self, name: str) -> None:
        client = self._clients.pop(name, None)
        if client is not None:
            self._note(name, came=False)
            client.left_at = self._link.wall()
            self._gone[name] = client
            # The first in a dict is the one that left first.
            while len(self._gone) > MOST_GONE_KEPT:
                del self._gone[next(iter(self._gone))]

    def _note(self, name: str, *, came: bool) -> None:
        """Keep that a node came or left; those that the first list has were there before us."""
        if self._was_listed:
            self.history.append(NodeChange(self._link.wall(), name, came))

    def _add(self, name: str, description: str | None) -> None:
        self._gone.pop(name, None)
        client = NodeClient(name, description or "", self._link, self._deadline_s)
        # A node that came back before it was missed: its fields are most likely those that it had.
        if name in self._clients:
            client.inherit(self._clients[name])
        else:
            self._note(name, came=True)
        self._clients[name] = client
        client.fetching.wait()

    def _changed(self, name: str) -> None:
        self._changes[name] = self._changes.get(name, 0) + 1

    def _list(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask_hub()).addErrback(self._list_failed)

    def _list_failed(self, failure: Any) -> None:
        # It counts as asked, or each search would wait for a hub that is away.
        self._listed_at = self._link.clock.seconds()
        if failure.check(NodeUnavailable):
            self.problem = str(failure.value)
            return
        if not failure.check(DeadlinePassed, ApplicationError, TransportLost, BadReply):
            log.failure("the hub's list of nodes", failure)
        self.problem = f"the hub {in_words(failure.value, self._deadline_s)}"

    async def _ask_hub(self) -> None:
        # Counted for each node, as events and replies of the hub may pass one another.
        before = dict(self._changes)
        reply = await self._link.call(self._deadline_s, uri("consumer.get_data_node"))
        if not isinstance(reply, list | tuple):
            raise BadReply("the hub's list of nodes is no list")
        self._listed_at = self._link.clock.seconds()
        self.problem = None
        # An event that came while the hub was asked may be newer than its reply: for that node the event holds.
        settled = {name for name, count in self._changes.items() if before.get(name) != count}
        online = dict(decode_entries(reply))
        for name in self._clients.keys() - online.keys() - settled:
            self._remove(name)
        for name in sorted(online.keys() - self._clients.keys() - settled):
            self._add(name, online[name])
        self._was_listed = True


def _identical(views: Mapping[str, NodeView], others: Mapping[str, NodeView]) -> bool:
    """Tell whether two sets of nodes are the same, without comparing the fields of equal catalogues."""
    return views.keys() == others.keys() and all(_same(view, others[name]) for name, view in views.items())


def _same(one: NodeView, other: NodeView) -> bool:
    return one.catalogue is other.catalogue and (
        (one.description, one.original_library, one.problem, one.remarks)
        == (other.description, other.original_library, other.problem, other.remarks)
    )
