"""A program for the tests: carries out WAMP steps from standard input, and prints what became of each as JSON.

It is a process of its own because a Twisted reactor can run only once in one. A step is a list: session, action,
arguments. Its result is what the router or the callee answered, or ``{"error": URI, "text": text}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sisock.wamp  # noqa: F401 - before Autobahn

# isort: split
from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp import auth
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import JsonSerializer
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from OpenSSL import crypto
from twisted.internet import defer, reactor, task
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.ssl import CertificateOptions

from sisock.settings import Settings
from sisock.wamp.certificate import client_options


class Session(ApplicationSession):
    """Joins with WAMP-CRA when it has a secret, else anonymously; answers calls with who called."""

    def onConnect(self):
        extra = self.config.extra
        self.events = []
        methods, name = (["wampcra"], extra["name"]) if "secret" in extra else (["anonymous"], None)
        self.join(self.config.realm, methods, name)

    def onChallenge(self, challenge):
        return auth.compute_wcs(self.config.extra["secret"], challenge.extra["challenge"])

    def onJoin(self, details):
        self.config.extra["joined"].callback(self)

    def onLeave(self, details):
        if not self.config.extra["joined"].called:
            self.config.extra["joined"].errback(ApplicationError(details.reason, details.message))
        super().onLeave(details)

    def onUserError(self, failure, message):
        """Errors are results here."""


def old_style(path):
    """Trust a certificate as servers written for the original do."""
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, Path(path).read_bytes())
    return CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))


async def join(sessions, name, url, *, trust="", origin="", **extra):
    tls = None
    if url.startswith("wss"):
        tls = old_style(trust) if trust else client_options(Settings.from_environment())
    joined = defer.Deferred()
    browser = {"headers": {"Origin": origin}, "serializers": [JsonSerializer()]} if origin else {}
    runner = ApplicationRunner(url, "test_realm", extra={"name": name, "joined": joined, **extra}, ssl=tls, **browser)
    await runner.run(Session, start_reactor=False)
    sessions[name] = await joined.addTimeout(10, reactor)
    details = sessions[name]._session_details
    return {"authid": details.authid, "role": details.authrole}


async def register(sessions, name, uri, **options):
    def answer(*arguments, details):
        return {"caller": details.caller, "caller_authid": details.caller_authid, "role": details.caller_authrole}

    await sessions[name].register(answer, uri, RegisterOptions(details_arg="details", **options))
    return sessions[name]._session_id


async def call(sessions, name, uri, *arguments, forward_for=None):
    return await sessions[name].call(uri, *arguments, options=CallOptions(forward_for=forward_for))


async def subscribe(sessions, name, topic, **options):
    def keep(*arguments, details):
        sessions[name].events.append([details.publisher_authid, *arguments])

    await sessions[name].subscribe(keep, topic, SubscribeOptions(details_arg="details", **options))


async def publish(sessions, name, topic, *arguments):
    await sessions[name].publish(topic, *arguments, options=PublishOptions(acknowledge=True))


async def events(sessions, name, count):
    while len(sessions[name].events) < count:
        await task.deferLater(reactor, 0.01)
    return sessions[name].events


async def leave(sessions, name):
    sessions.pop(name).leave()


ACTIONS = {action.__name__: action for action in (join, register, call, subscribe, publish, events, leave)}


async def carry_out(sessions, step):
    name, action, *arguments = step
    options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    try:
        work = defer.ensureDeferred(ACTIONS[action](sessions, name, *arguments, **options))
        return await work.addTimeout(20, reactor)
    except ApplicationError as error:
        return {"error": error.error, "text": " ".join(map(str, error.args))}
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the result of the step
        return {"error": type(error).__name__, "text": str(error)}


async def main(_reactor):
    sessions = {}
    results = [await carry_out(sessions, step) for step in json.load(sys.stdin)]
    json.dump(results, sys.stdout)


task.react(lambda clock: defer.ensureDeferred(main(clock)))
