"""The script that installs what the tests against the real thing need: what it runs, and what it says if it cannot."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools"


class Machine:
    """A machine with some programs; what is run there is kept."""

    def __init__(self, programs: set[str]) -> None:
        self.programs = programs
        self.ran: list[list[str]] = []
        self.status = 0
        self.works = True

    def which(self, name: str, path: str | None = None) -> str | None:
        return f"/usr/bin/{name}" if name in self.programs else None

    def run(self, command: list[str], **_: object) -> object:
        self.ran.append(command)
        if self.works and "install" in command:
            self.programs |= {"mariadbd", "mariadb-install-db", "my_print_defaults"}
        return type("Result", (), {"returncode": self.status, "stderr": "E: no network", "stdout": ""})


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.delitem(sys.modules, "install", raising=False)
    spec = importlib.util.spec_from_file_location("install_real", TOOLS / "install_real.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("install", None)


def machine_with(script, monkeypatch, *programs: str, user: int = 0) -> Machine:
    machine = Machine(set(programs))
    monkeypatch.setattr(script.shutil, "which", machine.which)
    monkeypatch.setattr(script.subprocess, "run", machine.run)
    monkeypatch.setattr(script.os, "geteuid", lambda: user)
    return machine


def test_a_server_that_is_there_is_used(script, monkeypatch):
    """Where MariaDB is installed nothing is."""
    machine = machine_with(script, monkeypatch, "mariadbd", "mariadb-install-db", "my_print_defaults")
    script.install_server()
    assert machine.ran == []


@pytest.mark.parametrize(("user", "prefix"), [(0, []), (1000, ["sudo", "--non-interactive"])])
def test_the_server_is_installed_with_apt(script, monkeypatch, user, prefix):
    """As root, or with sudo, only the packages that hold what is missing, which start no service."""
    machine = machine_with(script, monkeypatch, "apt-get", "sudo", "my_print_defaults", user=user)
    script.install_server()
    install = ["apt-get", "--yes", "install", "--no-install-recommends", "mariadb-server-core"]
    assert machine.ran == [[*prefix, "apt-get", "--yes", "update"], [*prefix, *install]]


@pytest.mark.parametrize(
    ("programs", "told"),
    [
        ({"apt-get"}, "as root, run: apt-get install --no-install-recommends mariadb-client-core mariadb-server-core"),
        (set(), "there is no apt-get to install it: mariadb-client-core, mariadb-server-core"),
    ],
)
def test_what_cannot_be_installed_is_named(script, monkeypatch, programs, told):
    """Without rights or apt-get, one line says what to install."""
    machine_with(script, monkeypatch, *programs, user=1000)
    with pytest.raises(SystemExit, match=told):
        script.install_server()


def test_a_failure_says_why_and_what_to_do(script, monkeypatch):
    """What apt-get says last is told, with the command to run by hand."""
    machine = machine_with(script, monkeypatch, "apt-get")
    machine.status = 100
    with pytest.raises(SystemExit, match=r"cannot be installed \(E: no network\); as root, run: apt-get install"):
        script.install_server()
    machine.status, machine.works = 0, False
    with pytest.raises(SystemExit, match="still missing; install it by hand"):
        script.install_server()


def test_the_environment_is_one_of_its_own(script, monkeypatch):
    """OCS and so3g, with their pinned versions, go into .venv-real, and leave .venv as it is."""
    asked = []
    monkeypatch.setattr(script, "install_server", lambda: None)
    monkeypatch.setattr(script.install, "main", lambda *given: asked.append((script.install.VENV.name, *given)))
    script.main()
    assert asked == [(".venv-real", "test,mariadb", "tests/real/requirements.txt")]
    assert (script.install.ROOT / "tests/real/requirements.txt").exists()
