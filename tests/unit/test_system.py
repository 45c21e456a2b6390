"""Why a port cannot be listened on, and when children end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings
from sisock.system import check_port, check_router_ports, dying_with


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "set CROSSBAR_TLS_PORT to a port above 1023"),
        (OSError(98, "Address already in use"), "port 443 is taken.*set CROSSBAR_TLS_PORT"),
        (OSError(99, "Cannot assign requested address"), "no address '127.0.0.1': set SISOCK_LISTEN"),
        (socket.gaierror(-2, "Name or service not known"), "can listen on 127.0.0.1, port 443: Name or service"),
    ],
)
def test_port_refused(monkeypatch, error, reason):
    """Why a port cannot be opened is told with the variable to change."""

    def bind(self, address):
        raise error

    monkeypatch.setattr(socket, "socket", type("Refusing", (socket.socket,), {"bind": bind}))
    with pytest.raises(ConfigurationError, match=reason):
        check_router_ports(Settings(tls_port=443, ocs_port=0))


@pytest.mark.parametrize(("tls_port", "ocs_port"), [(0, 1), (443, 443)])
def test_ports_that_make_no_router_are_refused(tls_port, ocs_port):
    """The router needs a port for TLS, and another one for OCS."""
    with pytest.raises(ConfigurationError, match="CROSSBAR_TLS_PORT"):
        check_router_ports(Settings(tls_port=tls_port, ocs_port=ocs_port))


def test_taken_port_is_found_out_for_real():
    """A port that another socket listens on is refused, and one that was just freed is not."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} is taken"):
            check_port("127.0.0.1", port, "PORT")
    check_port("127.0.0.1", port, "PORT")


def test_parent_gone():
    """A child whose parent ended before the kernel was told to watch it ends at once."""
    somebody_else = os.getpid() + 1
    command = [sys.executable, "-c", "print('alive')"]
    result = subprocess.run(command, preexec_fn=dying_with(somebody_else), capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (1, b"")
