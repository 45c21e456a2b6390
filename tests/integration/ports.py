"""Ports of the loopback."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a TCP port of the loopback that no program has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
