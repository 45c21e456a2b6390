"""The operating system: ports that can be listened on, signals that stop, and children that end with their parent."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Of prctl(2), for which Python has no name.
PR_SET_PDEATHSIG = 1
LISTEN_ERRORS = {
    errno.EADDRINUSE: "port {port} is taken: stop the program that has it, or set {variable} to another port",
    errno.EACCES: "port {port} needs rights that this user lacks: set {variable} to a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no address '{address}': set SISOCK_LISTEN to one of its own",
}


def check_router_ports(settings: Settings) -> None:
    """Raise ConfigurationError when the router cannot listen on its ports, before it takes seconds to say so."""
    if not settings.tls_port:
        raise ConfigurationError("CROSSBAR_TLS_PORT is 0, but the router needs a port for secure websockets")
    if settings.tls_port == settings.ocs_port:
        raise ConfigurationError(
            f"CROSSBAR_TLS_PORT and CROSSBAR_OCS_PORT are both {settings.tls_port}: set one of them to another port"
        )
    check_port(settings.listen, settings.tls_port, "CROSSBAR_TLS_PORT")
    if settings.ocs_port:
        check_port(settings.listen, settings.ocs_port, "CROSSBAR_OCS_PORT")


def check_port(address: str, port: int, variable: str) -> None:
    """Raise ConfigurationError, which names the environment variable, when nobody can listen on a port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port is free although connections of the one before still wait to be forgotten.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            # Two may bind a port that way as long as neither listens.
            probe.listen(1)
        except OSError as error:
            raise ConfigurationError(_in_words(error, address, port, variable)) from None


def _in_words(error: OSError, address: str, port: int, variable: str) -> str:
    unknown = "nothing can listen on {address}, port {port}: " + str(error.strerror or error)
    return LISTEN_ERRORS.get(error.errno or 0, unknown).format(address=address, port=port, variable=variable)


def dying_with(parent: int) -> Callable[[], None]:
    """Return what a new child process does first, to be ended (SIGTERM) when its parent dies in whatever way.

    Only on Linux; elsewhere it ends only where it is an orphan already.

    Parameters
    ----------
    parent
        The process that is going to start the child, by its id.
    """
    # Loaded before the fork, after which the child must take no lock.
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if library is not None:
            library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # The parent may have died before the kernel knew.
        if os.getppid() != parent:
            # Not sys.exit(), which would run the parent's own endings in its copy.
            os._exit(1)

    return prepare
