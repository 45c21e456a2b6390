"""A session that asks: what the gateway and the blocking client have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import inlineCallbacks

from sisock.wamp.session import Session


class ConsumerSession(Session):
    """Logs in, subscribes, and says when it is there and when it is gone.

    Parameters
    ----------
    topics
        What to call with the events of each topic, by URI.
    joined, left
        Called with this session once it can be used, and with a reason in words when it can't any more.
    """

    def __init__(
        self,
        config: ComponentConfig,
        topics: Mapping[str, Callable[..., Any]],
        joined: Callable[[ApplicationSession], Any],
        left: Callable[[str], Any],
    ) -> None:
        super().__init__(config)
        self._topics = topics
        self._joined = joined
        self._left = left

    @inlineCallbacks
    def onJoin(self, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Subscribe first, so that no node that comes meanwhile is missed."""
        for topic, handler in self._topics.items():
            yield self.subscribe(handler, topic)
        self._joined(self)

    def onClose(self, wasClean: bool) -> None:  # noqa: N802, N803, FBT001 - Autobahn's signature
        """Say that the session is gone."""
        super().onClose(wasClean)
        self._left(self.closing_reason)
