"""A Ctrl-C in a terminal, with make in between."""

from __future__ import annotations

import os
import pty
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "tools" / "foreground.py"
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
print("ready", flush=True)
while True:
    signal.pause()
"""
CTRL_C = b"\x03"


def read_until(terminal, word):
    """Read from a terminal until a word comes, or its end."""
    seen = b""
    while word not in seen:
        try:
            seen += os.read(terminal, 1000)
        except OSError:  # Linux' way to say that the other side is closed
            break
    return seen


def test_ctrl_c_ends_make_without_an_error(tmp_path):
    """Whoever stops the demo with Ctrl-C sees no error of make, and its exit status is 0."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "Makefile").write_text(f"demo:\n\t@exec {sys.executable} {SCRIPT} {sys.executable} program.py\n")
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("make", ["make", "-C", str(tmp_path), "--no-print-directory", "demo"])
    assert b"ready" in read_until(terminal, b"ready")
    began = time.monotonic()
    os.write(terminal, CTRL_C)
    output = read_until(terminal, b"nothing else")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"***" not in output
    assert time.monotonic() - began < 10


def test_without_a_terminal_the_program_just_runs(tmp_path):
    """In a pipe or under a service manager nothing changes."""
    command = f"{sys.executable} {SCRIPT} {sys.executable} -c 'print(5)' < /dev/null > {tmp_path / 'out'}"
    assert os.system(command) == 0
    assert (tmp_path / "out").read_text() == "5\n"
