"""The public API: what a data node server is made of, under its original names.

Write a subclass of :class:`DataNodeServer` with a ``name``, a ``description``, :meth:`~DataNodeServer.get_fields`
and :meth:`~DataNodeServer.get_data`, and run it with ``sisock node FILE.py`` or any runner of Autobahn's.
Constants are read from the environment when this module is imported.

=================  ===========================================================================================
``WAMP_USER``      name that servers log in with; from ``WAMP_USER``
``WAMP_SECRET``    their secret; from ``WAMP_SECRET``, or else what a router on this machine keeps for that name
``SISOCK_HOST``    the router; from ``CROSSBAR_HOST``
``SISOCK_PORT``    its port for secure websockets; from ``CROSSBAR_TLS_PORT``
``OCS_PORT``       its plain port; from ``CROSSBAR_OCS_PORT``
``WAMP_URI``       address of the router
``REALM``          WAMP realm
``BASE_URI``       what the URIs of all procedures and topics start with
=================  ===========================================================================================
"""

from __future__ import annotations

import time

import sisock.wamp  # noqa: F401 - first, so that Autobahn is loaded quietly
from sisock.core import times
from sisock.core.wire import info
from sisock.settings import Settings
from sisock.wamp.data_node_server import LOGIN, DataNodeServer

_settings = Settings.from_environment()

WAMP_USER, WAMP_SECRET = LOGIN
SISOCK_HOST = _settings.host
SISOCK_PORT = _settings.tls_port
OCS_PORT = _settings.ocs_port
WAMP_URI = f"wss://{SISOCK_HOST}:{SISOCK_PORT}/ws"
REALM = _settings.realm
BASE_URI = info.BASE_URI


def uri(s: str) -> str:
    """Compose the full URI of a procedure or topic: ``BASE_URI + "." + s``."""
    return info.uri(s)


def sisock_to_unix_time(t: float) -> float:
    """Convert sisock time to UNIX time: ``t`` itself if positive, else now + ``t`` (-60 is a minute ago)."""
    return times.to_unix(t, time.time())


__all__ = [
    "BASE_URI",
    "OCS_PORT",
    "REALM",
    "SISOCK_HOST",
    "SISOCK_PORT",
    "WAMP_SECRET",
    "WAMP_URI",
    "WAMP_USER",
    "DataNodeServer",
    "sisock_to_unix_time",
    "uri",
]
