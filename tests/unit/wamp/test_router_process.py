"""How the router looks after its child process, on other programs than Crossbar."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from sisock.settings import Settings, variables
from sisock.wamp import router

# a program, and a child of it in the same process group, that don't end when they are asked to
STUBBORN = "trap '' INT TERM; sh -c 'echo ready; exec sleep 60' & exec sleep 60"


def test_stubborn_child(monkeypatch):
    """A child that does not stop when asked is killed with its whole process group."""
    monkeypatch.setattr(router, "STOP_DEADLINE_S", 0.05)
    child = subprocess.Popen(["sh", "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    with contextlib.closing(child.stdout):
        assert child.stdout.readline() == b"ready\n"
        router._stop(child)
        assert child.poll() is not None
        assert child.stdout.read() == b""  # at its end: nobody in the group holds it open any more


def test_environment_of_crossbar(monkeypatch):
    """Crossbar's processes get these settings, not those of the environment, and the rest of the environment."""
    monkeypatch.setenv("SISOCK_LEGACY", "1")
    monkeypatch.setenv("ANYTHING_ELSE", "kept")
    settings = Settings(wamp_secret="known")
    environment = router._environment(settings)
    assert Settings.from_environment(environment) == settings
    assert environment["ANYTHING_ELSE"] == "kept"
    assert "SISOCK_LEGACY" not in environment
    assert variables(settings).items() <= environment.items()


def test_no_bjdata():
    """Python programs with that environment cannot import bjdata, and find sisock."""
    command = [
        sys.executable,
        "-P",
        "-c",
        "import sisock.settings\ntry: import bjdata\nexcept ImportError: print('no')",
    ]
    result = subprocess.run(command, env=router._environment(Settings()), capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("no\n", "")
