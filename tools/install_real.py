"""Installs what 'make test-real' needs: OCS and so3g into .venv-real, Debian's MariaDB server, and code of Grafana."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import install

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin"])


@dataclass(frozen=True)
class Programs:
    """Programs that tests start, and which package of Debian holds each."""

    title: str
    packages: dict[str, str]


MARIADB = Programs(
    "MariaDB",
    {
        "mariadbd": "mariadb-server-core",
        "mariadb-install-db": "mariadb-server-core",
        "my_print_defaults": "mariadb-client-core",  # which mariadb-install-db runs
    },
)
LANGUAGES = Programs("Node.js or Go", {"node": "nodejs", "npm": "npm", "go": "golang-go"})
GRAFANA_SOURCES = install.ROOT / "tests" / "real" / "grafana"
GRAFANA = install.ROOT / "build" / "grafana"


def main() -> None:
    install_programs(MARIADB)
    install_grafana()
    install.VENV = install.ROOT / ".venv-real"
    install.LOG = install.VENV / "install.log"
    install.main("test,mariadb", "tests/real/requirements.txt")


def install_programs(programs: Programs) -> None:
    """Install the programs that are missing; they are only started by tests, as the user who runs these."""
    packages = missing(programs)
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    install.say(f"{programs.title} is missing: {command}")
    for arguments in (["update"], command.split()[1:]):
        prefix = as_root(programs, command)
        run(
            [*prefix, "apt-get", "--yes", *arguments],
            f"{programs.title} cannot be installed",
            f"as root, run: {command}",
        )
    if missing(programs):
        install.fail(f"{programs.title} is still missing; install it by hand: {command}")


def install_grafana() -> None:
    """Install what Grafana calculates with, in a browser (JavaScript) and in its server (Go), below build/."""
    mark = GRAFANA / "installed"
    if all(install.is_newer(mark, source) for source in GRAFANA_SOURCES.iterdir()):
        return
    install_programs(LANGUAGES)
    install.say("installing Grafana's code, which takes half a minute the first time")
    GRAFANA.mkdir(parents=True, exist_ok=True)
    shutil.copy(GRAFANA_SOURCES / "package.json", GRAFANA)
    for command, folder in (
        (["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], GRAFANA),
        (["go", "build", "-o", str(GRAFANA / "long_to_wide"), "long_to_wide.go"], GRAFANA_SOURCES),
    ):
        failed = f"'{' '.join(command[:2])}' failed in {folder}"
        run(command, failed, "the package registry cannot be reached, or a program is too old", folder)
    mark.touch()


def missing(programs: Programs) -> list[str]:
    """Return the packages of the programs that are not there."""
    return sorted({package for name, package in programs.packages.items() if not shutil.which(name, path=PATH)})


def as_root(programs: Programs, command: str) -> list[str]:
    """Return what to put before a command that must be run as root."""
    if not shutil.which("apt-get"):
        packages = ", ".join(missing(programs))
        install.fail(f"{programs.title} is missing, and there is no apt-get to install it: {packages}")
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        install.fail(f"{programs.title} is missing; as root, run: {command}")
    return ["sudo", "--non-interactive"]


def run(arguments: Iterable[str], failed: str, remedy: str, folder: Path | None = None) -> None:
    result = subprocess.run(
        [*arguments],
        cwd=folder,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        output = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        install.fail(f"{failed} ({' '.join(output)}); {remedy}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        install.fail("stopped; run it again to go on")
