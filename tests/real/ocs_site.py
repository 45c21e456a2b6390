"""A site of OCS on our router: its registry, its aggregator and an agent that makes up data, as processes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from integration.sites import clean_environment

AGENT = "fake-data1"
FEED = f"observatory.{AGENT}.feeds.false_temperatures"
CHANNELS = 8
CLASSES = {"registry": "RegistryAgent", "aggregator": "AggregatorAgent", AGENT: "FakeDataAgent"}
MODULES = {"registry": ["-m", "ocs.agents.registry.agent"], "aggregator": ["-m", "ocs.agents.aggregator.agent"]}

Samples = dict[str, dict[float, float]]
"""Of each field, the times of its values, UNIX seconds: no two of its random values are the same."""


@dataclass
class OcsSite:
    """The agents, and what they write."""

    folder: Path
    port: int
    frame_length_s: int = 3
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def archive(self) -> Path:
        return self.folder / "hk"

    @property
    def record(self) -> Path:
        return self.folder / "published.jsonl"

    def start(self, instance: str) -> None:
        """Start an agent."""
        program = MODULES.get(instance) or [str(Path(__file__).with_name("recorded_agent.py")), str(self.record)]
        arguments = ["--instance-id", instance, *self.site_arguments()]
        with (self.folder / f"{instance}.log").open("ab") as output:
            self.processes[instance] = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=self.folder,
                env=clean_environment() | {"OCS_CONFIG_DIR": str(self.folder)},
                stdout=output,
                stderr=output,
            )

    def stop(self, instance: str) -> None:
        """Stop an agent as Ctrl-C does, and wait until it has ended."""
        process = self.processes.pop(instance)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def output(self, instance: str) -> str:
        return (self.folder / f"{instance}.log").read_text(errors="replace")

    def is_recording(self, since: float) -> bool:
        """Tell whether the aggregator has written data that are newer than a time, UNIX seconds."""
        try:
            samples, _ = samples_on_disk(self.archive)
        except RuntimeError:  # a file is being written
            return False
        return any(time > since for own in samples.values() for time in own.values())

    def published(self) -> list[dict[str, Any]]:
        """Return what the agent has published, and whether it had a connection to publish it on."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return [json.loads(line) for line in lines]

    def site_arguments(self) -> list[str]:
        """Return what tells a program of OCS where its site is."""
        return ["--site-file", str(self._site_file()), "--site-host", "localhost"]

    def _site_file(self) -> Path:
        self.archive.mkdir(exist_ok=True)
        frames = ["--frame-length", str(self.frame_length_s)]
        arguments = {
            "registry": [],
            "aggregator": ["--initial-state", "record", "--time-per-file", "20", "--data-dir", str(self.archive)],
            AGENT: ["--mode", "acq", "--num-channels", str(CHANNELS), "--sample-rate", "10", *frames],
        }
        instances = [
            {"agent-class": CLASSES[name], "instance-id": name, "arguments": given}
            for name, given in arguments.items()
        ]
        hub = {
            "wamp_server": f"ws://127.0.0.1:{self.port}/ws",
            "wamp_http": f"http://127.0.0.1:{self.port}/call",
            "wamp_realm": "test_realm",
            "address_root": "observatory",
            "registry_address": "observatory.registry",
        }
        document = {"hub": hub, "hosts": {"localhost": {"crossbar_timeout": 0, "agent-instances": instances}}}
        path = self.folder / "default.yaml"
        path.write_text(yaml.safe_dump(document))
        return path


@contextlib.contextmanager
def running_ocs(folder: Path, port: int, frame_length_s: int = 3) -> Iterator[OcsSite]:
    """Start the agents, the one with data last; stop all of them at the end."""
    site = OcsSite(folder, port, frame_length_s)
    try:
        for instance in CLASSES:
            site.start(instance)
        yield site
    finally:
        for instance in list(site.processes):
            site.stop(instance)


def samples_of(blocks: list[dict[str, Any]]) -> Samples:
    """Return the samples of published blocks by field and value."""
    samples: Samples = {}
    for one in blocks:
        for block in one.values():
            for name, values in block["data"].items():
                samples.setdefault(name, {}).update(zip(values, block["timestamps"], strict=True))
    return samples


def samples_on_disk(archive: Path) -> tuple[Samples, int]:
    """Return what the aggregator wrote, as so3g reads it, and how many samples there are of all fields."""
    from so3g.hk import HKArchiveScanner

    samples: Samples = {}
    count = 0
    for path in sorted(archive.rglob("*.g3")):
        scanner = HKArchiveScanner()
        scanner.process_file(str(path))
        opened = scanner.finalize()
        fields, _ = opened.get_fields(0, 1e12)
        names = [name for name in fields if name.startswith(FEED)]
        data, timelines = opened.get_data(names, 0, 1e12)
        for timeline in timelines.values():
            for name in timeline["fields"]:
                own = samples.setdefault(name.removeprefix(f"{FEED}."), {})
                own.update(zip(data[name].tolist(), timeline["t"].tolist(), strict=True))
                count += len(data[name])
    return samples, count
