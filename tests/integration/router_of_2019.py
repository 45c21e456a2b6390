"""A router as sites of the original had it: Crossbar with users and secrets in its configuration."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import sisock
from sisock.settings import Settings

from integration.ports import free_port
from integration.sites import clean_environment, poll

SITE = Path(__file__).parent.parent / "data" / "original" / "site.py"
SECRETS = {"server": "of-all-servers", "simonsobs": "of-who-reads"}
EVERYTHING = {"call": True, "register": True, "publish": True, "subscribe": True}


class OldSite:
    """A folder ``.crossbar`` with configuration and certificate, and the settings with which ours find the router."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / ".crossbar"
        self.settings = Settings(state=self.state, tls_port=free_port(), ocs_port=free_port())

    @property
    def url(self) -> str:
        return f"wss://127.0.0.1:{self.settings.tls_port}/ws"

    def as_user(self, user: str, secret: str = "") -> Settings:
        """Return the settings of a program that logs in as a user of the router."""
        return self.settings.replace(wamp_user=user, wamp_secret=secret or SECRETS[user])


def write_certificate(folder: Path) -> None:
    """Make a certificate as ``openssl req -x509`` does: it names no host but in its subject, and is an authority."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sisock-crossbar")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=365))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    (folder / "server_cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (folder / "server_key.pem").write_bytes(private)


def configuration(settings: Settings) -> dict[str, object]:
    """Return a configuration of Crossbar: a role that may do everything, one for who reads, and a plain port."""

    def role(name: str, uri: str) -> dict[str, object]:
        silent = {"caller": False, "publisher": False}
        return {
            "name": name,
            "permissions": [{"uri": uri, "match": "prefix", "allow": EVERYTHING, "disclose": silent, "cache": True}],
        }

    users = {"server": "server", "simonsobs": "consumer"}
    login = {name: {"secret": SECRETS[name], "role": users[name]} for name in users}
    tls = {"key": "server_key.pem", "certificate": "server_cert.pem"}
    secure = {"type": "tcp", "port": settings.tls_port, "interface": "127.0.0.1", "tls": tls}
    plain = {"type": "tcp", "port": settings.ocs_port, "interface": "127.0.0.1"}
    anyone = {"anonymous": {"type": "static", "role": "server"}}
    return {
        "version": 2,
        "workers": [
            {
                "type": "router",
                "realms": [
                    {
                        "name": "test_realm",
                        "roles": [role("server", ""), role("consumer", "org.simonsobservatory.consumer")],
                    }
                ],
                "transports": [
                    {"type": "web", "endpoint": plain, "paths": {"ws": {"type": "websocket", "auth": anyone}}},
                    {
                        "type": "web",
                        "endpoint": secure,
                        "paths": {
                            "ws": {"type": "websocket", "auth": {"wampcra": {"type": "static", "users": login}}}
                        },
                    },
                ],
            }
        ],
    }


@contextlib.contextmanager
def _process(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, env=clean_environment() | environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def old_program(site: OldSite, what: str, url: str = "", user: str = "server") -> Iterator[subprocess.Popen[bytes]]:
    """Run a hub or a node of the original's library until the end of the block, once it is on the network."""
    log = site.state.parent / f"{what}.log"
    arguments = [what, url or site.url, str(site.state / "server_cert.pem"), user, SECRETS[user]]
    with _process([sys.executable, str(SITE), *arguments], log) as process:
        poll(lambda: "ready" in log.read_text() or process.poll() is not None, 30, f"{what} is ready")
        assert process.poll() is None, log.read_text()
        yield process


@contextlib.contextmanager
def running_old_site(folder: Path) -> Iterator[OldSite]:
    """Start router, hub and a node of 2019; stop them at the end."""
    site = OldSite(folder)
    site.state.mkdir(mode=0o700)
    write_certificate(site.state)
    (site.state / "config.json").write_text(json.dumps(configuration(site.settings)))
    quiet = str(Path(sisock.__file__).parent / "wamp" / "without_bjdata")
    paths = os.pathsep.join([quiet, clean_environment()["PYTHONPATH"]])
    crossbar = [sys.executable, "-P", "-c", "import sys, crossbar; sys.exit(crossbar.run())"]
    command = [*crossbar, "start", "--cbdir", str(site.state), "--loglevel", "error"]
    log = folder / "router.log"
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(_process(command, log, PYTHONPATH=paths))
        poll(lambda: _listens(site) or router.poll() is not None, 60, "Crossbar listens")
        assert router.poll() is None, log.read_text()
        stack.enter_context(old_program(site, "hub"))
        stack.enter_context(old_program(site, "node"))
        yield site


def _listens(site: OldSite) -> bool:
    from sisock.wamp.router import _takes_websockets

    return _takes_websockets(site.settings)
