"""The base of all sessions of sisock: how they log in, and how they end; and the session of a consumer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import txaio
from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp import auth, message
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CloseDetails, ComponentConfig
from twisted.internet.defer import inlineCallbacks

from sisock.core.errors import SisockError


class Session(ApplicationSession):
    """Logs in with WAMP-CRA as ``config.extra`` says, and remembers why it ended."""

    # Autobahn's own would put our lines under its name.
    log = txaio.make_logger()
    closing_reason = "transport lost"

    def onConnect(self) -> None:  # noqa: N802 - Autobahn's name
        """Log in when the connection stands."""
        self.join(self.config.realm, ["wampcra"], self.config.extra["authid"])

    def onChallenge(self, challenge: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Answer the router's challenge."""
        return sign(challenge, self.config.extra["secret"])

    def onLeave(self, details: CloseDetails) -> Any:  # noqa: N802 - Autobahn's name
        """Remember why the session ended; who owns it says so in its own words."""
        if details.reason != CloseDetails.REASON_DEFAULT:
            self.closing_reason = f"{details.reason}: {details.message}" if details.message else details.reason
            tell = (self.config.extra or {}).get("refused")
            if tell and details.reason != CloseDetails.REASON_TRANSPORT_LOST:
                tell(f"it refuses the login ({self.closing_reason})")
        # Autobahn logs any other reason, in words of its own.
        return super().onLeave(CloseDetails(CloseDetails.REASON_DEFAULT, details.message))

    def onMessage(self, msg: Any) -> None:  # noqa: N802 - Autobahn's name
        """Pass over answers to calls that were given up: Autobahn would end the session over them.

        The router answers a canceled call at once, and once more when the node that was called is gone.
        """
        answered = isinstance(msg, message.Result)
        failed = isinstance(msg, message.Error) and msg.request_type == message.Call.MESSAGE_TYPE
        if not ((answered or failed) and msg.request not in self._call_reqs):
            super().onMessage(msg)

    def onUserError(self, fail: Any, msg: str) -> None:  # noqa: N802 - Autobahn's name
        """Log what a procedure of ours raised, unless it is an answer in words: that one is for the caller."""
        if not fail.check(ApplicationError):
            super().onUserError(fail, msg)


def sign(challenge: Any, secret: str) -> Any:
    """Return the answer to a WAMP-CRA challenge; SisockError for any other method."""
    if challenge.method != "wampcra":
        raise SisockError(f"the router asks for the login method '{challenge.method}'; only wampcra is known")
    # The router keeps a key that was derived from the secret, as Crossbar's may.
    if "salt" in challenge.extra:
        extra = challenge.extra
        secret = auth.derive_key(secret, extra["salt"], extra["iterations"], extra["keylen"])
    return auth.compute_wcs(secret, challenge.extra["challenge"])


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
