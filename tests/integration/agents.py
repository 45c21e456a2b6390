"""Agents that publish as those of OCS do, as processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from integration.sites import clean_environment


@contextlib.contextmanager
def publishing(folder: Path, port: int, instance: str, host: str = "127.0.0.1") -> Iterator[None]:
    """Run an agent that publishes temperatures and states, until the end of the block."""
    program = [sys.executable, str(Path(__file__).with_name("ocs_publisher.py")), host, str(port), instance]
    with (folder / f"{instance}.log").open("wb") as output:
        process = subprocess.Popen(program, env=clean_environment(), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
