"""The package as it was at a commit before, beside today's: which of them a process imports, its PYTHONPATH says."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import sisock

TESTS = Path(__file__).parent.parent


def unpacked(folder: Path) -> dict[str, str]:
    """Unpack the old package; return what PYTHONPATH must be for either one. Neither hides what the tests import."""
    (wheel,) = (TESTS / "data" / "previous").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    paths = {"old": os.pathsep.join([str(folder), str(TESTS)]), "new": os.pathsep.join(filter(None, sys.path))}
    where = {version: _imported_from(path) for version, path in paths.items()}
    assert where == {"old": folder / "sisock", "new": Path(sisock.__file__).parent}
    return paths


def _imported_from(path: str) -> Path:
    command = [sys.executable, "-P", "-c", "import sisock; print(sisock.__file__)"]  # -P: not from where we are
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return Path(result.stdout.strip()).parent
