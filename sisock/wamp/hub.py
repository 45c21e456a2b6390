"""The hub: it knows which data nodes are online, and tells when one comes or goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import CallDetails, ComponentConfig, RegisterOptions
from twisted.internet import reactor, task
from twisted.internet.defer import inlineCallbacks

from sisock.core.errors import BadRequest, NameTaken, SisockError
from sisock.core.window.remarks import Once
from sisock.core.wire.info import NODE_NAME, encode_entry, uri
from sisock.wamp.session import Session

HUB_RETRY_S = 0.5
# A lost "session left" event must not leave a dead node in the list.
RECONCILE_INTERVAL_S = 10.0


@dataclass(frozen=True)
class OnlineNode:
    """A data node that is online, and the WAMP session that holds its name."""

    name: str
    description: str | None
    session_id: int


@dataclass(frozen=True)
class Added:
    """A data node came online."""

    entry: OnlineNode


@dataclass(frozen=True)
class Removed:
    """A data node went offline."""

    entry: OnlineNode


Event = Added | Removed


def check_name(name: Any) -> str:
    """Return the name of a data node; raise BadRequest unless it is one component of a WAMP URI."""
    if not isinstance(name, str) or not NODE_NAME.fullmatch(name):
        raise BadRequest(f"{name!r:.80} cannot name a data node: use 1 to 64 letters, digits, underscores and hyphens")
    return name


class Registry:
    """The data nodes that are online, in order of arrival."""

    def __init__(self) -> None:
        self._entries: dict[str, OnlineNode] = {}

    def add(self, name: str, description: str | None, session_id: int) -> list[Event]:
        """Enter a data node and return what changed.

        The session that holds the name may add it again, with a new description; that is no event.

        Raises
        ------
        BadRequest
            For a name that cannot be part of a WAMP URI, or a description that is no text.
        NameTaken
            When another session holds the name.
        """
        check_name(name)
        if description is not None and not isinstance(description, str):
            raise BadRequest(f"the description of data node '{name}' is {description!r:.80}, but must be a text")
        held = self._entries.get(name)
        if held is not None and held.session_id != session_id:
            raise NameTaken(name)
        entry = OnlineNode(name, description, session_id)
        self._entries[name] = entry
        # Nodes add themselves every two seconds, for a hub that may have been restarted.
        return [] if held else [Added(entry)]

    def subtract(self, name: str, session_id: int) -> list[Event]:
        """Take a data node out and return what changed: nothing unless the session holds the name."""
        return self._remove(lambda entry: entry.name == name and entry.session_id == session_id)

    def session_lost(self, session_id: int) -> list[Event]:
        """Take out every data node of a session and return what changed."""
        return self._remove(lambda entry: entry.session_id == session_id)

    def retain(self, live_session_ids: Collection[int]) -> list[Event]:
        """Take out every data node whose session is not among those alive, and return what changed."""
        return self._remove(lambda entry: entry.session_id not in live_session_ids)

    def nodes(self) -> list[OnlineNode]:
        """Return the data nodes that are online, in order of arrival."""
        return list(self._entries.values())

    def _remove(self, leaves: Callable[[OnlineNode], bool]) -> list[Event]:
        gone = [entry for entry in self._entries.values() if leaves(entry)]
        for entry in gone:
            del self._entries[entry.name]
        return [Removed(entry) for entry in gone]


class Hub(Session):
    """One session of the hub with the router. Its list starts empty: nodes add themselves again within seconds.

    Who a caller is comes from the router's disclosure, never from an argument.
    """

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self._registry = Registry()
        self._warned = False
        self._refusals = Once()
        self._reconciling = task.LoopingCall(self._reconcile)

    def onMessage(self, msg: Any) -> None:  # noqa: N802 - Autobahn's name
        """Refuse calls that were forwarded: with ``forward_for`` any caller could pose as another."""
        if isinstance(msg, message.Invocation) and msg.forward_for:
            error = message.Error(
                message.Invocation.MESSAGE_TYPE, msg.request, BadRequest.uri, args=["forwarded calls are refused"]
            )
            self._transport.send(error)
            return
        super().onMessage(msg)

    @inlineCallbacks
    def onJoin(self, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Register the procedures, and follow the sessions that leave."""
        # Before anybody can add itself: who leaves at once must not stay in the list.
        yield self.subscribe(self._session_left, "wamp.session.on_leave")
        options = RegisterOptions(details_arg="details")
        yield self._register(self._add, "data_node.add", options)
        yield self._register(self._subtract, "data_node.subtract", options)
        yield self._register(self._list, "consumer.get_data_node", None)
        self._reconciling.start(RECONCILE_INTERVAL_S, now=False)
        self.log.info("hub: ready")

    def onClose(self, wasClean: bool) -> None:  # noqa: N802, N803, FBT001 - Autobahn's signature
        """Stop what runs for this session."""
        if self._reconciling.running:
            self._reconciling.stop()
        super().onClose(wasClean)

    @inlineCallbacks
    def _register(self, function: Any, suffix: str, options: RegisterOptions | None) -> Any:
        """Register a procedure; one that the session of a hub before us still holds is tried again."""
        while self.is_attached():
            try:
                yield self.register(function, uri(suffix), options)
                return
            except ApplicationError as error:
                self.log.warn("hub: {suffix}: {text}; trying again", suffix=suffix, text=error.error_message())
                yield task.deferLater(reactor, HUB_RETRY_S)

    def _add(self, name: Any, description: Any, session_id: Any, *, details: CallDetails) -> bool:
        """Add a data node; False when another session holds the name."""
        try:
            self._check_identity(name, details)
            events = self._registry.add(name, description, self._caller(session_id, details))
        except SisockError as error:
            # Who is refused tries again twice a second.
            if self._refusals.is_due((repr(name)[:80], str(error)), time.monotonic()):
                self.log.warn("hub: refused to add {name!r}: {error}", name=name, error=error)
            if isinstance(error, NameTaken):
                return False
            raise ApplicationError(error.uri, str(error)) from None
        self._publish(events)
        return True

    def _subtract(self, name: Any, session_id: Any = None, *, details: CallDetails) -> None:
        """Remove a data node that the caller's session holds."""
        try:
            self._publish(self._registry.subtract(name, self._caller(session_id, details)))
        except SisockError as error:
            raise ApplicationError(error.uri, str(error)) from None

    def _list(self) -> list[dict[str, Any]]:
        """Return the data nodes that are online."""
        return [encode_entry(entry.name, entry.description) for entry in self._registry.nodes()]

    def _check_identity(self, name: Any, details: CallDetails) -> None:
        """One credential serves one node: a session that logged in as a node can add only that node."""
        if details.caller_authrole == "node" and details.caller_authid != name:
            raise BadRequest(f"who logs in as '{details.caller_authid}' cannot add the data node '{name}'")

    def _caller(self, session_id: Any, details: CallDetails) -> int:
        if details.caller is not None:
            return int(details.caller)
        if not self._warned:
            self._warned = True
            self.log.error(
                "hub: THE ROUTER DOES NOT DISCLOSE CALLERS, so that any node can pose as another: switch on "
                "disclosure of callers for data_node.* in its configuration"
            )
        if not isinstance(session_id, int):
            raise BadRequest(f"session_id is {session_id!r:.80}, but must be the number of the caller's session")
        return session_id

    def _session_left(self, session: Any, *_: Any) -> None:
        self._publish(self._registry.session_lost(int(session)))

    @inlineCallbacks
    def _reconcile(self) -> Any:
        try:
            live = yield self.call("wamp.session.list")
        except (ApplicationError, TransportLost):
            # Not known is not gone: nobody is taken out before the next answer.
            return
        self._publish(self._registry.retain(live))

    def _publish(self, events: Iterable[Event]) -> None:
        for event in events:
            topic = "data_node_added" if isinstance(event, Added) else "data_node_subtracted"
            self.log.info("hub: {topic}: {name}", topic=topic, name=event.entry.name)
            self.publish(uri(f"consumer.{topic}"), encode_entry(event.entry.name, event.entry.description))
