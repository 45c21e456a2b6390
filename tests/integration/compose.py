"""The services of docker-compose.yml as processes: their commands, environments, order and health checks."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from integration.ports import free_port
from integration.sites import clean_environment, poll

ROOT = Path(__file__).parent.parent.parent
OWN_IMAGE = "sisock"
# The loopback, under a name that our programs don't take for their own machine: they use TLS, as between containers.
ADDRESS = "127.0.0.2"
HEALTHY_WITHIN_S = 30.0
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def load_compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def own_services(document: Mapping[str, Any], images: Collection[str] = (OWN_IMAGE,)) -> dict[str, dict[str, Any]]:
    """Return the services that run our image, or some of our images, each after those that it depends on."""
    services = {name: one for name, one in document["services"].items() if one.get("image") in images}
    order: dict[str, dict[str, Any]] = {}
    while len(order) < len(services):
        waiting = {name: set(one.get("depends_on", ())) - set(order) for name, one in services.items()}
        ready = {name: services[name] for name in services if name not in order and not waiting[name]}
        assert ready, "services depend on one another in a circle"
        order |= ready
    return order


@dataclass
class Machine:
    """Where all containers run: one address, free ports in place of those in the file, and a folder for volumes.

    The image's entry point and environment are those of the Dockerfile, which a test compares with these.
    """

    folder: Path
    ports: dict[int, int] = field(default_factory=lambda: {8080: free_port(), 8001: free_port(), 5000: free_port()})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    healthy: set[str] = field(default_factory=set)

    @property
    def adapter(self) -> str:
        """Return the adapter's address, as Grafana has it."""
        return f"http://{ADDRESS}:{self.ports[5000]}"

    def up(self, services: Mapping[str, Mapping[str, Any]]) -> None:
        """Start the services in their order, each as soon as those before it are healthy."""
        for name, service in services.items():
            for other in set(service.get("depends_on", ())) - self.healthy:
                self._wait(other, services[other])
            self._start(name, service)
        for name in services.keys() - self.healthy:
            self._wait(name, services[name])

    def stop(self) -> dict[str, int]:
        """Stop all that run, as `docker compose down` does; return their exit statuses."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        return {name: process.wait(20) for name, process in self.processes.items()}

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def is_healthy(self, service: Mapping[str, Any]) -> bool:
        """Run the health check of a service, as its container would."""
        kind, *command = service["healthcheck"]["test"]
        assert kind == "CMD"
        program = [sys.executable] if command[0] == "python" else [sys.executable, "-m", command[0]]
        arguments = [self._mapped(word, service) for word in command[1:]]
        environment = self._environment(service)
        return (
            subprocess.run([*program, *arguments], env=environment, capture_output=True, check=False).returncode == 0
        )

    def _wait(self, name: str, service: Mapping[str, Any]) -> None:
        process = self.processes[name]
        poll(lambda: process.poll() is not None or self.is_healthy(service), HEALTHY_WITHIN_S, f"{name} is healthy")
        assert process.poll() is None, self.output(name)
        self.healthy.add(name)

    def _start(self, name: str, service: Mapping[str, Any]) -> None:
        arguments = [self._mapped(word, service) for word in service["command"]]
        working = self._mapped(service.get("working_dir", ""), service)
        with (self.folder / f"{name}.log").open("wb") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "sisock", *arguments],
                cwd=working or self.folder,
                env=self._environment(service),
                stdout=output,
                stderr=output,
            )

    def _environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        given = {name: self._mapped(str(value), service) for name, value in service["environment"].items()}
        assert given["CROSSBAR_HOST"] in load_compose()["services"]
        given["CROSSBAR_HOST"] = ADDRESS
        ports = {"CROSSBAR_TLS_PORT": str(self.ports[8080]), "PORT": str(self.ports[5000])}
        return clean_environment() | ports | given

    def _mapped(self, text: str, service: Mapping[str, Any]) -> str:
        """Put this machine's paths, addresses and ports into a text of the file."""
        text = DEFAULT.sub(r"\1", text)
        for mount in service["volumes"]:
            source, inside, *_ = mount.split(":")
            outside = ROOT / source if source.startswith(".") else self.folder / source
            text = re.sub(rf"(^|=){re.escape(inside)}$", rf"\g<1>{outside}", text)
        text = text.replace("0.0.0.0", ADDRESS).replace("127.0.0.1", ADDRESS)
        for inside_port, port in self.ports.items():
            text = re.sub(rf"\b{inside_port}\b", str(port), text)
        return text


@contextlib.contextmanager
def running(folder: Path, images: Collection[str] = (OWN_IMAGE,)) -> Iterator[Machine]:
    """Start our services as `docker compose up` would; stop them at the end."""
    machine = Machine(folder)
    try:
        machine.up(own_services(load_compose(), images))
        yield machine
    finally:
        statuses = machine.stop()
    assert set(statuses.values()) == {0}, statuses
