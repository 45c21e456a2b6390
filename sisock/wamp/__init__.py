"""WAMP: sessions, hub, node server and router."""

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
