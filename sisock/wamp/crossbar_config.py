"""The router's configuration: Settings to the dictionary that Crossbar reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sisock.core.wire.info import uri
from sisock.settings import Settings
from sisock.wamp.certificate import CertificateFiles

AUTHENTICATOR = "sisock.wamp.authenticator.create_authenticator"
AUTHORIZER_CLASS = "sisock.wamp.authenticator.Authorizer"
AUTHORIZER = uri("router.authorize")
OBSERVATORY = "observatory."

MESSAGE_LIMIT_BYTES = 64 * 2**20
"""The longest message that the router and our own clients take; far above the allowance of any node."""
WEBSOCKET_OPTIONS = {
    # Milliseconds; with less, a node that blocks its reactor for a moment is dropped.
    "auto_ping_interval": 5_000,
    "auto_ping_timeout": 10_000,
    "auto_ping_size": 12,
    "max_frame_size": MESSAGE_LIMIT_BYTES,
    "max_message_size": MESSAGE_LIMIT_BYTES,
    "enable_webstatus": False,
    "show_server_version": False,
}
# Bytes; the kernel's limit.
LONGEST_SOCKET_PATH = 107
SERIALIZERS = ["msgpack", "cbor", "json"]

# role: rows of (URI, match, actions); what no row allows is refused
HUB_PERMISSIONS = (
    (uri("data_node.add"), "exact", {"register"}),
    (uri("data_node.subtract"), "exact", {"register"}),
    (uri("consumer.get_data_node"), "exact", {"register"}),
    (uri("consumer.data_node_added"), "exact", {"publish"}),
    (uri("consumer.data_node_subtracted"), "exact", {"publish"}),
    ("wamp.session.on_leave", "exact", {"subscribe"}),
    ("wamp.session.list", "exact", {"call"}),
)
CONSUMER_PERMISSIONS = ((uri("consumer."), "prefix", {"call", "subscribe"}),)
LEGACY_PERMISSIONS = (
    (uri("data_node."), "prefix", {"call"}),
    (uri("consumer."), "prefix", {"register", "call", "publish", "subscribe"}),
)
OCS_PERMISSIONS = ((OBSERVATORY, "prefix", {"register", "call", "publish", "subscribe"}),)


def crossbar_configuration(settings: Settings, certificate: CertificateFiles) -> dict[str, Any]:
    """Return the configuration of Crossbar for these settings.

    Parameters
    ----------
    settings
        Ports, address, realm and the legacy switch are read.
    certificate
        The PEM files, as absolute paths.
    """
    worker = {
        "type": "router",
        "id": "router",
        "realms": [{"name": settings.realm, "roles": list(_roles(settings.legacy))}],
        "components": [
            {"type": "class", "classname": AUTHORIZER_CLASS, "realm": settings.realm, "role": "trusted"},
        ],
        "transports": list(_transports(settings, certificate)),
    }
    return {"version": 2, "controller": {}, "workers": [worker]}


def local_socket(settings: Settings) -> Path | None:
    """Return the path of the socket for programs of this machine, which need no TLS; None where it would be too long.

    It stands in the state directory, which only its owner can enter; a login is needed as on every other transport.
    """
    path = settings.state.resolve() / "router.sock"
    return path if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH else None


def _roles(legacy: bool) -> Iterator[dict[str, Any]]:  # noqa: FBT001 - private, and the only argument
    yield _role("hub", HUB_PERMISSIONS)
    yield _role("consumer", CONSUMER_PERMISSIONS)
    yield {"name": "node", "authorizer": AUTHORIZER}
    yield _role("anonymous", OCS_PERMISSIONS + (LEGACY_PERMISSIONS if legacy else ()))
    if legacy:
        yield _role("legacy", LEGACY_PERMISSIONS + OCS_PERMISSIONS)


def _role(name: str, rows: tuple[tuple[str, str, set[str]], ...]) -> dict[str, Any]:
    return {"name": name, "permissions": [_permission(*row) for row in rows]}


def _permission(uri: str, match: str, actions: set[str]) -> dict[str, Any]:
    return {
        "uri": uri,
        "match": match,
        "allow": {action: action in actions for action in ("call", "register", "publish", "subscribe")},
        # The hub takes identity from this, and nodes cannot pose as others.
        "disclose": {"caller": True, "publisher": True},
        "cache": True,
    }


def _transports(settings: Settings, certificate: CertificateFiles) -> Iterator[dict[str, Any]]:
    """Yield the transports; the secure one is last, so that all is ready once it is."""
    if settings.ocs_port:
        anonymous = {"anonymous": {"type": "static", "role": "anonymous"}}
        # OCS's own clients call agents by HTTP.
        caller = {"type": "caller", "realm": settings.realm, "role": "anonymous"}
        endpoint = {"type": "tcp", "interface": settings.listen, "port": settings.ocs_port}
        yield _web("ocs", endpoint, {"ws": _websocket(anonymous), "call": caller})
    login = {"wampcra": {"type": "function", "create": AUTHENTICATOR}}
    socket_path = local_socket(settings)
    if socket_path:
        yield _web("local", {"type": "unix", "path": str(socket_path)}, {"ws": _websocket(login)})
    tls = {
        "certificate": str(certificate.certificate),
        "key": str(certificate.key),
        "chain_certificates": [str(path) for path in certificate.chain],
    }
    endpoint = {"type": "tcp", "interface": settings.listen, "port": settings.tls_port, "tls": tls}
    yield _web("tls", endpoint, {"ws": _websocket(login)})


def _web(name: str, endpoint: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """Return a transport of the type `web`: a bare `websocket` refuses TLS clients that offer ALPN, as browsers do."""
    return {"type": "web", "id": name, "endpoint": endpoint, "paths": paths}


def _websocket(auth: dict[str, Any]) -> dict[str, Any]:
    return {"type": "websocket", "serializers": SERIALIZERS, "options": WEBSOCKET_OPTIONS, "auth": auth}
