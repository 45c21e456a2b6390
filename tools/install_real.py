"""Installs what 'make test-real' needs: OCS and so3g into .venv-real, and Debian's MariaDB server on this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterable

import install

PACKAGES = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",  # which mariadb-install-db runs
}
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def main() -> None:
    install_server()
    install.VENV = install.ROOT / ".venv-real"
    install.LOG = install.VENV / "install.log"
    install.main("test,mariadb", "tests/real/requirements.txt")


def install_server() -> None:
    """Install the programs of MariaDB that are missing; they are only started by tests, as the user who runs these."""
    packages = missing()
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    install.say(f"MariaDB is missing: {command}")
    for arguments in (["update"], command.split()[1:]):
        run([*as_root(command), "apt-get", "--yes", *arguments], command)
    if missing():
        install.fail(f"MariaDB is still missing; install it by hand: {command}")


def missing() -> list[str]:
    """Return the packages of the programs that are not there."""
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=PATH)})


def as_root(command: str) -> list[str]:
    """Return what to put before a command that must be run as root."""
    if not shutil.which("apt-get"):
        install.fail(f"MariaDB's server is missing, and there is no apt-get to install it: {', '.join(missing())}")
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        install.fail(f"MariaDB's server is missing; as root, run: {command}")
    return ["sudo", "--non-interactive"]


def run(arguments: Iterable[str], command: str) -> None:
    result = subprocess.run(
        [*arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        install.fail(f"MariaDB's server cannot be installed ({' '.join(said)}); as root, run: {command}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        install.fail("stopped; run it again to go on")
