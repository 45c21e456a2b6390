"""The hub: it knows which data nodes are online, and tells when one comes or goes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import CallDetails, ComponentConfig, RegisterOptions
from twisted.internet import reactor, task
from twisted.internet.defer import inlineCallbacks

from sisock.core.errors import BadRequest, NameTaken, SisockError
from sisock.core.once import Once
from sisock.core.registry import Added, Event, NodeEntry, Registry
from sisock.core.wire import uri
from sisock.wamp.session import Session

RETRY_S = 0.5
RECONCILE_INTERVAL_S = 10.0  # a lost "session left" event must not leave a dead node in the list


class Hub(Session):
    """One session of the hub with the router. Its list starts empty: nodes add themselves again within seconds.

    Who a caller is comes from the router's disclosure, never from an argument.
    """

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self._registry = Registry()
        self._warned = False
        self._told = Once()
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
                yield task.deferLater(reactor, RETRY_S)

    def _add(self, name: Any, description: Any, session_id: Any, *, details: CallDetails) -> bool:
        """Add a data node; False when another session holds the name."""
        try:
            self._check_identity(name, details)
            events = self._registry.add(name, description, self._caller(session_id, details))
        except SisockError as error:
            # Who is refused tries again twice a second.
            if self._told.is_due((repr(name)[:80], str(error)), time.monotonic()):
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
        return [_as_dict(entry) for entry in self._registry.nodes()]

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
            return
        self._publish(self._registry.retain(live))

    def _publish(self, events: Iterable[Event]) -> None:
        for event in events:
            topic = "data_node_added" if isinstance(event, Added) else "data_node_subtracted"
            self.log.info("hub: {topic}: {name}", topic=topic, name=event.entry.name)
            self.publish(uri(f"consumer.{topic}"), _as_dict(event.entry))


def _as_dict(entry: NodeEntry) -> dict[str, Any]:
    return {"name": entry.name, "description": entry.description}
