"""A plain Grafana adapter, as one writes it in an afternoon, to compare with: one thread, lists, ``json.dumps``.

It is no straw man: it keeps connections open, and lets the data node thin, so that no more samples travel than are
drawn. It speaks the original API only, without any extension. It serves one request after another, or, with the
argument ``concurrent``, asks for several side by side.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import sisock.wamp  # noqa: F401 - before Autobahn, which it keeps quiet

# isort: split
from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp import auth
from autobahn.wamp.serializer import JsonSerializer
from twisted.internet import reactor
from twisted.internet.defer import DeferredSemaphore, ensureDeferred
from twisted.web import resource, server

from sisock.settings import Settings
from sisock.wamp.certificate import client_options
from sisock.wamp.credentials import CONSUMER, FILE_NAME, Credentials


class Session(ApplicationSession):
    """Logs in as a consumer, then serves HTTP."""

    def onConnect(self) -> None:  # noqa: N802 - Autobahn's name
        """Log in."""
        self.join(self.config.realm, ["wampcra"], CONSUMER)

    def onChallenge(self, challenge: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Answer the router's challenge."""
        return auth.compute_wcs(self.config.extra["secret"], challenge.extra["challenge"])

    def onJoin(self, details: Any) -> None:  # noqa: N802 - Autobahn's name
        """Serve."""
        reactor.listenTCP(self.config.extra["port"], server.Site(Adapter(self)), interface="127.0.0.1")


class Adapter(resource.Resource):
    """``POST /query`` of the Simple-JSON datasource."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._turns = DeferredSemaphore(1000 if session.config.extra["concurrent"] else 1)

    def render_POST(self, request: Any) -> int:  # noqa: N802 - Twisted's name
        """Answer when the node has answered."""
        self._turns.run(lambda: ensureDeferred(self._answer(request))).addErrback(request.processingFailed)
        return server.NOT_DONE_YET

    async def _answer(self, request: Any) -> None:
        query = json.loads(request.content.read())
        start, end = (datetime.fromisoformat(query["range"][key]).timestamp() for key in ("from", "to"))
        entries = []
        for target in query["targets"]:
            node, _, field = target["target"].partition("::")
            procedure = f"org.simonsobservatory.consumer.{node}.get_data"
            reply = await self._session.call(procedure, [field], start, end, (end - start) / query["maxDataPoints"])
            (timeline,) = reply["timeline"].values()
            points = [[value, 1000 * time] for value, time in zip(reply["data"][field], timeline["t"], strict=True)]
            entries.append({"target": target["target"], "datapoints": points})
        request.setHeader("Content-Type", "application/json")
        request.write(json.dumps(entries).encode())
        request.finish()


def main(port: int, concurrent: bool) -> None:  # noqa: FBT001 - an argument of the command line
    """Run until a signal says stop."""
    settings = Settings.from_environment()
    secret = Credentials(settings.state / FILE_NAME).secret(CONSUMER, create=True)
    url = f"wss://{settings.host}:{settings.tls_port}/ws"
    runner = ApplicationRunner(
        url,
        settings.realm,
        extra={"port": port, "secret": secret, "concurrent": concurrent},
        ssl=client_options(settings),
        serializers=[JsonSerializer()],
    )
    runner.run(Session, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]), "concurrent" in sys.argv)
