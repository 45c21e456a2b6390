"""The script that installs what the tests against the real thing need: what it runs, and what it says if it cannot."""

from __future__ import annotations

import importlib.util
import json
import os
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
            self.programs |= {"mariadbd", "mariadb-install-db", "my_print_defaults", "node", "npm", "go"}
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
    script.install_programs(script.MARIADB)
    assert machine.ran == []


@pytest.mark.parametrize(("user", "prefix"), [(0, []), (1000, ["sudo", "--non-interactive"])])
def test_the_server_is_installed_with_apt(script, monkeypatch, user, prefix):
    """As root, or with sudo, only the packages that hold what is missing, which start no service."""
    machine = machine_with(script, monkeypatch, "apt-get", "sudo", "my_print_defaults", user=user)
    script.install_programs(script.MARIADB)
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
        script.install_programs(script.MARIADB)


def test_a_failure_says_why_and_what_to_do(script, monkeypatch):
    """What apt-get says last is told, with the command to run by hand."""
    machine = machine_with(script, monkeypatch, "apt-get")
    machine.status = 100
    with pytest.raises(SystemExit, match=r"cannot be installed \(E: no network\); as root, run: apt-get install"):
        script.install_programs(script.MARIADB)
    machine.status, machine.works = 0, False
    with pytest.raises(SystemExit, match="still missing; install it by hand"):
        script.install_programs(script.MARIADB)


def test_the_environment_is_one_of_its_own(script, monkeypatch):
    """OCS and so3g, with their pinned versions, go into .venv-real, and leave .venv as it is."""
    asked = []
    monkeypatch.setattr(script, "install_programs", lambda programs: None)
    monkeypatch.setattr(script, "install_grafana", lambda: None)
    monkeypatch.setattr(script.install, "main", lambda *given: asked.append((script.install.VENV.name, *given)))
    script.main()
    assert asked == [(".venv-real", "test,mariadb", "tests/real/requirements.txt")]
    assert (script.install.ROOT / "tests/real/requirements.txt").exists()


def grafana_of(script, monkeypatch, tmp_path) -> Path:
    """Let the script install Grafana's code for one program of ours; return the folder."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "package.json").write_text("{}")
    monkeypatch.setattr(script, "GRAFANA_SOURCES", sources)
    monkeypatch.setattr(script, "GRAFANA", tmp_path / "build" / "grafana")
    return script.GRAFANA


def test_grafanas_code_is_installed_by_its_registries(script, monkeypatch, tmp_path):
    """Without scripts of packages, outside of the sources; npm and Go are installed with apt-get where they miss."""
    machine = machine_with(script, monkeypatch, "apt-get", "node")
    folder = grafana_of(script, monkeypatch, tmp_path)
    script.install_grafana()
    _, apt, npm, go = machine.ran
    assert apt[-2:] == ["golang-go", "npm"]
    assert npm[:3] == ["npm", "install", "--ignore-scripts"]
    assert go == ["go", "build", "-o", str(folder / "long_to_wide"), "long_to_wide.go"]
    assert (folder / "package.json").exists()


def test_grafanas_code_is_installed_again_when_its_sources_changed(script, monkeypatch, tmp_path):
    """What is there is kept until a file that says what to install is newer."""
    machine = machine_with(script, monkeypatch, "node", "npm", "go")
    folder = grafana_of(script, monkeypatch, tmp_path)
    script.install_grafana()
    script.install_grafana()
    assert len(machine.ran) == 2
    later = (folder / "installed").stat().st_mtime + 1
    os.utime(script.GRAFANA_SOURCES / "package.json", (later, later))
    script.install_grafana()
    assert len(machine.ran) == 4


def test_code_that_cannot_be_had_is_named(script, monkeypatch, tmp_path):
    """Without a network, one line says what failed and where; nothing is taken for installed."""
    machine = machine_with(script, monkeypatch, "node", "npm", "go")
    folder = grafana_of(script, monkeypatch, tmp_path)
    machine.status = 1
    with pytest.raises(SystemExit, match=r"'npm install' failed in .* \(E: no network\); the package registry cannot"):
        script.install_grafana()
    assert not (folder / "installed").exists()


def test_no_registry_is_named():
    """Whoever has a registry of their own is asked nothing: versions are exact, and no address is in any file."""
    sources = TOOLS.parent / "tests" / "real" / "grafana"
    wanted = json.loads((sources / "package.json").read_text())["dependencies"]
    assert all(version.replace(".", "").isdigit() for version in wanted.values())
    assert not (sources / "package-lock.json").exists()
    assert not any("://" in path.read_text() for path in sources.iterdir())
