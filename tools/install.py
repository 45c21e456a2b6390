"""Makes the virtual environment of a checkout and installs the project into it, with the standard library alone.

``python3 tools/install.py [EXTRA]`` says what it is doing in a few lines, keeps what pip says in the file
``.venv/install.log``, and ends with one line that says what to do when something is missing on this machine.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = VENV / "install.log"
OLDEST_PYTHON = (3, 11)
SAY_EVERY_S = 5.0
PROGRESS = ("Collecting", "Downloading", "  Downloading")

# What pip's log holds when something is missing, and what to tell the user then.
REMEDIES = {
    "Python.h: No such file": "the header files of Python are missing: apt install python3-dev",
    "gcc' failed: No such file": "a C compiler is missing: apt install gcc python3-dev",
    "No space left on device": "the disk is full",
    "Permission denied": f"the folder {VENV} cannot be written: check who owns it",
    "Temporary failure in name resolution": "the package index cannot be reached: check the network",
    "No matching distribution found": "the package index lacks a package for this machine, or cannot be reached",
}


def main(extra: str, requirements: str = "") -> None:
    if sys.version_info < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:2]))
        fail(f"Python 3.11 or newer is needed, but this is {version}: name one, as in 'make demo PYTHON=python3.12'")
    mark = VENV / f"installed-{extra or 'project'}"
    sources = [ROOT / name for name in ("setup.cfg", requirements) if name]
    if all(is_newer(mark, source) for source in sources):
        return
    say(f"making the virtual environment {VENV.name}")
    make_venv()
    say("installing, which takes a minute or two the first time")
    target = f"{ROOT}[{extra}]" if extra else str(ROOT)
    install(["--editable", target, *(f"--requirement={source}" for source in sources[1:])])
    mark.touch()
    say("installed")


def make_venv() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        fail("Python's venv is missing: apt install python3-venv")
    mark = VENV / "made"
    if mark.exists():
        return
    try:
        # --clear: one that was cut off half-way has no pip
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(VENV)], check=True, capture_output=True, text=True
        )
        mark.touch()
    except (OSError, subprocess.CalledProcessError) as error:
        fail(f"the virtual environment {VENV} cannot be made: {getattr(error, 'stdout', None) or error}")


def install(what: list[str]) -> None:
    """Run pip; show how far it is, and keep what it says."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", *what]
    packages, printed_at = 0, time.monotonic()
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout
        for line in pip.stdout:
            log.write(line)
            packages += line.startswith("Collecting ")
            step = line.startswith(("Building", "Installing collected"))
            late = line.startswith(PROGRESS) and time.monotonic() - printed_at > SAY_EVERY_S
            if step or late:  # what pip warns of stays in its log
                printed_at = time.monotonic()
                say(f"  {packages} packages: {line.strip()[:60]}")
    if pip.returncode:
        text = LOG.read_text()
        for sign, remedy in REMEDIES.items():
            if sign in text:
                fail(remedy)
        fail(f"pip failed; the end of {LOG}:\n" + "\n".join(text.splitlines()[-15:]))


def is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime >= other.stat().st_mtime


def say(line: str) -> None:
    print(f"install: {line}", flush=True)


def fail(line: str) -> None:
    sys.exit(f"install: {line}")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
    except KeyboardInterrupt:
        fail("stopped; run it again to go on")
