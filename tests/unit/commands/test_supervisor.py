"""What starts programs again when they die."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from sisock.commands import supervisor
from sisock.commands.site import Program
from sisock.commands.supervisor import Child, Supervisor


@pytest.fixture(autouse=True)
def unblocked_signals():
    """Give back the signals that a supervisor blocks in its process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def program(code, name="p"):
    return Program(name, (sys.executable, "-c", code), Path.cwd())


def run(programs, tick):
    """Run a supervisor until the tick function says stop; return its exit status and lines."""
    lines = []

    def stop_when_done(elapsed_s):
        if tick(lines) or elapsed_s > 20:
            signal.raise_signal(signal.SIGTERM)  # to this thread: others do not block it
            return False
        return True

    return Supervisor(programs, lines.append).run(stop_when_done), lines


def test_program_that_dies_is_started_again_and_told(tmp_path, monkeypatch):
    """A program that ends is started again, a line says so, and others go on."""
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.05)
    marks = tmp_path / "marks"
    dies = program(f"open({str(marks)!r}, 'a').write('x'); import sys; sys.exit(3)", "dies")
    stays = program("import signal; signal.pause()", "stays")
    status, lines = run([dies, stays], lambda _: marks.exists() and len(marks.read_text()) >= 3)
    assert status == 0
    assert lines[0] == "dies ended (exit code 3); starting it again"
    assert not any("stays" in line for line in lines)


def test_program_that_can_never_run_ends_the_site(tmp_path):
    """Exit status 2 at the first start means that something must be changed: the supervisor passes it on."""
    status, lines = run(
        [program("import sys; sys.exit(2)"), program("import signal; signal.pause()")], lambda _: False
    )
    assert status == 2
    assert lines == []


def test_later_exit_status_2_is_tried_again(tmp_path, monkeypatch):
    """Once a program has run, the same status may be the port that its dead predecessor still holds."""
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.05)
    mark = tmp_path / "mark"
    code = (
        f"import os, sys; p = {str(mark)!r}; s = 2 if os.path.exists(p) else 1; open(p, 'a').write('x'); sys.exit(s)"
    )
    status, _ = run([program(code)], lambda _: mark.exists() and len(mark.read_text()) >= 3)
    assert status == 0


def test_stubborn_program_is_killed(monkeypatch):
    """A program that ignores being asked to end is killed after a while."""
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.3)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); signal.pause()"
    began = time.monotonic()
    assert run([program(code)], lambda _: True)[0] == 0
    assert time.monotonic() - began < 10


def test_what_a_program_started_itself_ends_with_it(tmp_path):
    """A process that one of the programs has started in the background does not stay behind."""
    mark = tmp_path / "pid"
    code = f"""
import subprocess, sys, signal
other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open({str(mark)!r}, "w").write(str(other.pid))
signal.pause()
"""
    run([program(code)], lambda _: mark.exists() and mark.read_text())
    pid = int(mark.read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline


def test_delays_grow_and_are_forgotten_after_a_good_while():
    """A program that dies at once is started less and less often; one that ran well starts over."""
    child = Child(program("pass"))
    delays = []
    now = 0.0
    for _ in range(6):
        child.start(now)
        child.process.wait()
        child.ended(now)
        delays.append(child.start_at - now)
        now = child.start_at
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    child.start(now)
    child.process.wait()
    child.ended(now + supervisor.HEALTHY_AFTER_S + 1)
    assert child.start_at - now - supervisor.HEALTHY_AFTER_S - 1 == pytest.approx(0.2)
