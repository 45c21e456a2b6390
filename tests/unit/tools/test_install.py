"""The script that installs the project: what it says when it cannot."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "install.py"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """The script as a module, working in an empty folder."""
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "LOG", tmp_path / "install.log")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    return module


def with_pip(install, text, status=1):
    """Put a program in pip's place that prints a text."""
    python = install.VENV / "bin" / "python"
    python.write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\nexit {status}\n")
    python.chmod(0o755)


def test_old_python_is_told_with_a_way_out(install, monkeypatch):
    """A Python that is too old is named, with how to name another."""
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed, but this is 3\.9: .*PYTHON=python3"):
        install.main("")


@pytest.mark.parametrize(
    "sign", ["Python.h: No such file", "No space left on device", "No matching distribution found"]
)
def test_what_is_missing_is_told_by_name(install, sign):
    """What pip stumbles over is one line that says what to do."""
    with_pip(install, f"building\nerror: {sign}\nmore")
    with pytest.raises(SystemExit) as error:
        install.install(["x"])
    assert str(error.value) == f"install: {install.REMEDIES[sign]}"


def test_other_failures_show_the_end_of_what_pip_said(install):
    """A failure that nobody foresaw comes with pip's last lines and the place of all of them."""
    with_pip(install, "something odd")
    with pytest.raises(SystemExit, match=r"(?s)pip failed; the end of .*install\.log.*something odd"):
        install.install(["x"])


def test_success_is_told_and_not_repeated(install, capsys):
    """Progress is visible, warnings of pip stay in its log, and a second run does nothing."""
    with_pip(install, "Collecting a\nWARNING: b\nInstalling collected packages: a", status=0)
    (install.ROOT / "setup.cfg").write_text("")
    (install.VENV / "made").touch()
    install.main("")
    output = capsys.readouterr().out
    assert "1 packages: Installing collected" in output
    assert "WARNING" not in output
    install.main("")
    assert capsys.readouterr().out == ""


def test_installation_that_was_cut_off_starts_over(install, monkeypatch):
    """A virtual environment that was not finished is made anew, not used."""
    made = []
    monkeypatch.setattr(install.subprocess, "run", lambda command, **_: made.append(command))
    install.make_venv()
    install.make_venv()
    assert [command[1:4] for command in made] == [["-m", "venv", "--clear"]]
