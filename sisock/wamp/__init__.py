"""On the network: sessions, the router, the hub, data node servers, and consumers.

Start with ``session``, what all sessions have in common, and ``connection``, the one way in which all programs are on
the network; ``blocking_connection`` is it for programs that block, and ``reactor`` the loop beneath. A
``data_node_server`` serves what people write for the public API, a ``node_server`` the nodes of :mod:`sisock.nodes`;
``presence`` keeps either of them listed, and ``inbox`` brings events to nodes that are fed. ``hub`` knows which are
online. ``router`` starts Crossbar with ``crossbar_config``, which asks the ``authenticator`` who may do what, by the
secrets of ``credentials`` and over TLS with a ``certificate``.
"""

from __future__ import annotations

import sys

import txaio

# Autobahn imports bjdata when it is installed, and the wheel that pip builds of it prints a traceback about NumPy's
# ABI into every process. None of our transports offers UBJSON, so Autobahn is loaded without it.
if "autobahn.wamp.serializer" not in sys.modules and "bjdata" not in sys.modules:
    # The serializer module looks for it when it is imported.
    txaio.use_twisted()
    sys.modules["bjdata"] = None  # type: ignore[assignment]
    try:
        import autobahn.wamp.serializer  # noqa: F401
    finally:
        del sys.modules["bjdata"]
