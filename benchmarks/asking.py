"""Starting :mod:`clients` in a process of their own, and what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import HERE, percentile

GRACE_S = 60.0


@dataclass(frozen=True)
class Asked:
    """The answers to clients: when they began and ended, UNIX seconds, and how long each answer took."""

    began: float
    ended: float
    latencies_s: Sequence[float]

    @property
    def rate(self) -> float:
        """The answers a second."""
        return len(self.latencies_s) / (self.ended - self.began)

    @property
    def p50_ms(self) -> float:
        """The median of the latencies."""
        return 1e3 * percentile(self.latencies_s, 50)

    @property
    def p99_ms(self) -> float:
        """The time that one answer in a hundred exceeded."""
        return 1e3 * percentile(self.latencies_s, 99)


def ask_side_by_side(folder: Path, port: int, clients: Sequence[Mapping[str, Any]], seconds: float) -> Asked:
    """Let clients ask for some seconds; see :mod:`clients`. RuntimeError when an answer was wrong."""
    with subprocess.Popen(command(folder, port, clients, seconds), stdout=subprocess.PIPE, text=True) as process:
        try:
            return read(process, seconds)
        finally:
            process.kill()


def command(folder: Path, port: int, clients: Sequence[Mapping[str, Any]], seconds: float) -> list[str]:
    """Write a plan; return the command line that carries it out."""
    plan = {"port": port, "seconds": seconds, "clients": clients}
    path = folder / f"plan-{len(list(folder.glob('plan-*')))}.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    return [sys.executable, str(HERE / "clients.py"), str(path)]


def read(process: subprocess.Popen[str], seconds: float) -> Asked:
    """Wait for clients, and return what they found."""
    printed, _ = process.communicate(timeout=seconds + GRACE_S)
    if process.returncode:
        raise RuntimeError("the clients gave up: see what is printed above")
    return Asked(**json.loads(printed))
