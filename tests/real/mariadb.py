"""A MariaDB server in a temporary folder, on a free port of the loopback, with databases made on demand."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from integration.ports import free_port
from integration.sites import poll

USER = "scanner"
PASSWORD = "not: a/secret@"
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
PROGRAMS = ("mariadbd", "mariadb-install-db")


@dataclass
class Server:
    """A server that runs."""

    port: int
    process: subprocess.Popen[bytes]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def new_database(self) -> str:
        """Make an empty database, with the collation that is the server's own, and return its name."""
        name = f"housekeeping_{next(self.numbers)}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(f"GRANT ALL ON {name}.* TO '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        return name

    def connect(self) -> pymysql.Connection:
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)

    def answers(self) -> bool:
        with contextlib.suppress(pymysql.OperationalError), self.connect():
            return True
        assert self.process.poll() is None, "MariaDB has ended"
        return False


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Start a server and wait for it; stop it at the end, and leave nothing behind."""
    daemon, install = (shutil.which(name, path=PATH) for name in PROGRAMS)
    assert daemon, "MariaDB's server is missing: run make test-real, or apt install mariadb-server-core"
    assert install, "mariadb-install-db is missing: run make test-real, or apt install mariadb-server-core"
    with tempfile.TemporaryDirectory(prefix="sisock-") as name:
        folder = Path(name)
        files = [f"--datadir={folder / 'data'}", f"--user={getpass.getuser()}"]
        authentication = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(
            [install, "--no-defaults", *authentication, *files], check=True, capture_output=True, env={"PATH": PATH}
        )
        port = free_port()
        places = [f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", f"--log-error={folder / 'log'}"]
        network = [
            f"--port={port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M",
        ]
        process = subprocess.Popen([daemon, "--no-defaults", *files, *places, *network])
        try:
            server = Server(port, process)
            poll(server.answers, 30.0, "MariaDB answers")
            yield server
        finally:
            process.terminate()
            process.wait(30)
