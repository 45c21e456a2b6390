"""Whether a port can be listened on, found out before a program starts that would take seconds to say so at length."""

from __future__ import annotations

import errno
import socket

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings

LISTEN_ERRORS = {
    errno.EADDRINUSE: "port {port} is taken: stop the program that has it, or set {variable} to another port",
    errno.EACCES: "port {port} needs rights that this user lacks: set {variable} to a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no address '{address}': set SISOCK_LISTEN to one of its own",
}


def check_router_ports(settings: Settings) -> None:
    """Raise ConfigurationError when the router cannot listen on its ports."""
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
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigurationError(_in_words(error, address, port, variable)) from None


def _in_words(error: OSError, address: str, port: int, variable: str) -> str:
    unknown = "nothing can listen on {address}, port {port}: " + str(error.strerror or error)
    return LISTEN_ERRORS.get(error.errno or 0, unknown).format(address=address, port=port, variable=variable)
