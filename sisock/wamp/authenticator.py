"""Logins at the router, and the permissions of a data node; runs inside Crossbar's worker.

Crossbar's static permissions serve the other roles. A data node's depend on its name, so a component decides them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.exception import ApplicationError

from sisock.core.wire.info import NODE_NAME, procedure, uri
from sisock.settings import Settings
from sisock.wamp.credentials import CONSUMER, FILE_NAME, HUB, LEGACY, Credentials
from sisock.wamp.crossbar_config import AUTHORIZER, OBSERVATORY
from sisock.wamp.reactor import keep_steady

NODE_PROCEDURES = ("get_fields", "get_data", "info")
NODE_CALLS = frozenset({uri("data_node.add"), uri("data_node.subtract")})
PROGRAM_ROLES = {HUB: "hub", CONSUMER: "consumer"}
READING = {"call", "subscribe"}
CONSUMERS = uri("consumer.")
REFUSED = "org.simonsobservatory.error.login_refused"


def role_of(authid: str, *, legacy: bool) -> str | None:
    """Return the role that a name logs in under, or None if nobody may log in under that name."""
    if authid in PROGRAM_ROLES:
        return PROGRAM_ROLES[authid]
    if authid == LEGACY:
        return "legacy" if legacy else None
    return "node" if NODE_NAME.fullmatch(authid) else None


def may(authid: str, uri: str, action: str, options: Mapping[str, Any], *, reads: bool = False) -> bool:
    """Tell whether the data node of that name may do this; `options` are those of the WAMP message.

    A call that names another caller than itself (`forward_for`) is refused: the callee could not tell. With `reads`
    it may do what a consumer may as well.
    """
    if options.get("forward_for"):
        return False
    rule = NODE_RULES.get(action)
    if rule is not None and rule(authid, uri, options):
        return True
    return reads and action in READING and uri.startswith(CONSUMERS)


def _may_register(authid: str, uri: str, options: Mapping[str, Any]) -> bool:
    # A pattern would also take the calls that are meant for other nodes.
    exact = options.get("match", "exact") == "exact"
    return exact and uri in {procedure(authid, name) for name in NODE_PROCEDURES}


NODE_RULES: Mapping[str, Callable[[str, str, Mapping[str, Any]], bool]] = {
    "register": _may_register,
    "call": lambda _authid, uri, _options: uri in NODE_CALLS,
    "publish": lambda authid, uri, _options: uri == procedure(authid, "samples"),
    # For nodes that are fed by the agents of OCS.
    "subscribe": lambda _authid, uri, _options: uri.startswith(OBSERVATORY),
}


def secret_of(authid: str, settings: Settings, credentials: Credentials) -> str | None:
    """Return the secret that a name must know: the environment's for the environment's user, else the file's."""
    if settings.wamp_secret and authid == (settings.wamp_user or LEGACY):
        return settings.wamp_secret
    return credentials.secret(authid)


def principal(authid: str | None, settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Return the realm, role and secret of a name.

    Raises
    ------
    ApplicationError
        When nobody may log in under that name; its text says why and reaches the client.
    """
    consumer_secret = credentials.consumer_secret(authid or "")
    if consumer_secret is not None:
        secret = settings.wamp_secret if authid == settings.wamp_user else ""
        return {"realm": settings.realm, "role": PROGRAM_ROLES[CONSUMER], "secret": secret or consumer_secret}
    role = role_of(authid or "", legacy=settings.legacy)
    secret_or_none = secret_of(authid or "", settings, credentials)
    if authid == LEGACY and role is None:
        raise ApplicationError(REFUSED, "the shared user 'server' may log in only if the router has SISOCK_LEGACY=1")
    if role is None:
        raise ApplicationError(
            REFUSED, f"'{authid}' cannot be the name of a data node, which is made of A-Z a-z 0-9 _ -"
        )
    if secret_or_none is None:
        raise ApplicationError(REFUSED, f"the router has no credentials for '{authid}' in its {FILE_NAME}")
    return {"realm": settings.realm, "role": role, "secret": secret_or_none}


def create_authenticator(_config: Any, _controller: Any) -> Callable[[str, str, Any], dict[str, str]]:
    """Return the function that Crossbar asks at each login, so that credentials made meanwhile count at once."""
    settings = Settings.from_environment()
    credentials = Credentials(settings.state / FILE_NAME)

    def authenticate(_realm: str, authid: str, _details: Any) -> dict[str, str]:
        return principal(authid, settings, credentials)

    return authenticate


class Authorizer(ApplicationSession):
    """The component that Crossbar asks what a session of the role `node` may do."""

    async def onJoin(self, _details: Any) -> None:  # noqa: N802 - Autobahn's name
        """Offer the decision to the router; the component starts before any port is opened.

        It is also the place from which Crossbar's worker, with its pings of all websockets, gets a steady clock.
        """
        from twisted.internet import reactor

        keep_steady(reactor)
        await self.register(authorizer(Settings.from_environment()), AUTHORIZER)


def authorizer(settings: Settings) -> Callable[[Mapping[str, Any], str, str, Mapping[str, Any]], dict[str, bool]]:
    """Return the function that decides. Whom the router's own environment names, with a secret, may also read.

    That may be a data node or a consumer of one's own: the environment has one name only, and does not say.
    """
    reader = settings.wamp_user if settings.wamp_secret else None

    def authorize(session: Mapping[str, Any], uri: str, action: str, options: Mapping[str, Any]) -> dict[str, bool]:
        # The router's cache knows roles but no names, so no answer about one node may serve for another.
        allowed = may(session["authid"], uri, action, options, reads=session["authid"] == reader)
        return {"allow": allowed, "disclose": True, "cache": False}

    return authorize
