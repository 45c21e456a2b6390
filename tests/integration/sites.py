"""A whole site for the tests: what ``sisock up`` starts, on free ports, asked over HTTP as Grafana does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import yaml

from sisock.settings import Settings

from integration.ports import free_port

START_DEADLINE_S = 60.0


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of sisock, with what this process can import."""
    names = {entry.metadata["variable"] for entry in dataclasses.fields(Settings)}
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    # Unbuffered, because tests read what programs have printed while they run.
    return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}


def poll(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    """Return the first true result of the condition; fail with what was waited for."""
    end = time.monotonic() + within_s
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < end, f"waited {within_s:g} s in vain until {what}"
        time.sleep(0.02)


@dataclasses.dataclass
class RunningSite:
    """A site that runs: its supervisor, its output and its adapter."""

    folder: Path
    settings: dict[str, int]
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def consumer_settings(self) -> Settings:
        """Return the settings with which a consumer reaches this site."""
        ports = {name: self.settings[name] for name in ("tls_port", "ocs_port", "port")}
        return Settings(state=self.folder / ".crossbar", **ports)

    def post(self, path: str, body: Any, timeout_s: float = 10.0) -> Any:
        """Return the JSON that the adapter answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.settings['port']}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return json.load(reply)

    def get(self, path: str, timeout_s: float = 10.0) -> Any:
        """Return the JSON that the adapter answers to a GET."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.settings['port']}{path}", timeout=timeout_s) as reply:
            return json.load(reply)

    def nodes(self) -> set[str]:
        """Return the nodes that /search knows."""
        return {target.partition("::")[0] for target in self.post("/search", {"target": ""})}

    def query(
        self, *targets: str, start: float, end: float, points: int = 1000, **payload: Any
    ) -> list[dict[str, Any]]:
        """Return the answer to a panel with these targets, each with the same payload."""
        span = {"from": _iso(start), "to": _iso(end)}
        asked = [{"refId": chr(65 + n), "target": target, "payload": payload} for n, target in enumerate(targets)]
        return self.post("/query", {"range": span, "maxDataPoints": points, "targets": asked})

    def live(self, *targets: str) -> list[dict[str, Any]]:
        """Return the answer to a panel over the last minute."""
        now = time.time()
        return self.query(*targets, start=now - 60, end=now)

    def pid(self, *words: str) -> int | None:
        """Return the process whose command line ends with these words, or None."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[3 : 3 + len(words)] == list(words):
                    return child.pid
        return None

    def send(self, number: int, *words: str) -> int:
        """Send a signal to one of the programs; return its process."""
        pid = self.pid(*words)
        assert pid, f"{words} does not run"
        os.kill(pid, number)
        return pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the site as its user does; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)


def drawn(series: dict[str, Any]) -> list[list[float]]:
    """Return the points of a series of a reply."""
    return series.get("datapoints", [])


@contextlib.contextmanager
def running_site(folder: Path, document: dict[str, Any], **environment: str) -> Iterator[RunningSite]:
    """Start a site and wait until everything is up; stop it at the end."""
    settings = {"tls_port": free_port(), "ocs_port": free_port(), "port": free_port()}
    document = document | {"settings": settings | document.get("settings", {})}
    (folder / "site.yml").write_text(yaml.safe_dump(document))
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sisock", "up", "site.yml"],
            cwd=folder,
            env=clean_environment() | environment,
            stdout=output,
            stderr=output,
        )
    site = RunningSite(folder, settings, process)
    try:
        poll(
            lambda: "everything is up" in site.output or process.poll() is not None, START_DEADLINE_S, "the site is up"
        )
        assert process.poll() is None, site.output
        yield site
    finally:
        if process.poll() is None:
            site.stop()


def _iso(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
