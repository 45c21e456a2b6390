"""docs/moving-over.md, step by step as it is written, beside a system of 2019."""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from sisock.commands.serve import load_source
from sisock.core.wire.info import NODE_NAME
from sisock.nodes import KINDS

from integration import compose
from integration.agents import publishing
from integration.ports import free_port
from integration.router_of_2019 import SECRETS, SITE, running_old_site
from integration.sites import clean_environment, poll

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "moving-over.md").read_text(encoding="utf-8")
RUNS_ON = re.compile(r"sisock (?:up|node|grafana)\b|python3 ")
OVERRIDE = yaml.safe_load((ROOT / "examples" / "moving-over" / "compose.yml").read_text(encoding="utf-8"))
TARGETS = ("apex_archive::jfk_temperature", "ucsc_radiometer::pwv", "apex_weather::temperature")
YEARS = {"from": "2010-01-01T00:00:00.000Z", "to": "2026-01-01T00:00:00.000Z"}
SPAN = {"from": "2013-07-01T00:00:00.000Z", "to": "2013-07-08T00:00:00.000Z"}


def section(heading):
    """Return what stands behind a heading of the page, up to the next one of its level."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(heading):
    """Return the command lines of each block behind a heading."""
    return [
        block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```$", section(heading), re.MULTILINE | re.DOTALL)
    ]


def cells(heading, first):
    """Return the rows of the table behind a heading that begins with a column of that name."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|.*\n((?:\|.*\n)+)", section(heading), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


class Terminal:
    """Types the lines of blocks, each block in the project's folder, with what was exported before."""

    def __init__(self, folder, environment, words):
        self.folder = folder
        self.environment = environment
        self.words = words
        self.started = []

    def type(self, lines):
        """Type lines; return what those that end have printed, and the program that goes on, if there is one."""
        folder, printed, running = self.folder, [], None
        for line in lines:
            typed = self._here(line)
            if typed.startswith(("export ", "cd ")):
                folder = self._set(typed, folder)
            elif RUNS_ON.match(typed):
                running = self._start(typed, folder)
            else:
                printed.append(self._run(typed, folder))
        return printed, running

    def _here(self, line):
        """Put this machine's paths and ports into a line."""
        for word, real in self.words.items():
            line = line.replace(word, real)
        return line

    def _set(self, line, folder):
        """Let bash change the variables, or the folder, which is returned."""
        said = self._run(f"{line}\npwd\nenv -0", folder)
        self.environment = dict(one.split("=", 1) for one in said.partition("\n")[2].split("\0") if "=" in one)
        return Path(said.partition("\n")[0])

    def _run(self, line, folder):
        result = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, ""), line
        return result.stdout

    def _start(self, line, folder):
        log = self.folder / f"{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"], cwd=folder, env=self.environment, stdout=output, stderr=output
            )
        process.output = log.read_text
        self.started.append(process)
        return process

    def stop(self, *processes):
        """End programs as Ctrl-C does."""
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, process.output()


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The system of 2019."""
    with running_old_site(tmp_path_factory.mktemp("of2019")) as running:
        yield running


@contextlib.contextmanager
def terminal(folder, words, **variables):
    """A terminal in a copy of the project's folder, with the commands that the page types."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sisock").mkdir()
    (folder / "sisock" / "data").symlink_to(ROOT / "sisock" / "data")
    (folder / "bin").mkdir()
    for name, command in (("sisock", f"{sys.executable} -m sisock"), ("python3", sys.executable)):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = clean_environment() | {"PATH": path, "SISOCK_CACHE": str(folder / "cache")} | variables
    typing = Terminal(folder, environment, words)
    try:
        yield typing
    finally:
        for process in typing.started:
            if process.poll() is None:
                process.terminate()
                process.wait(20)


def drawn(address, *targets, span=SPAN):
    """Return how many points a panel gets for each target, the first by name."""
    asked = [{"refId": chr(65 + number), "target": target} for number, target in enumerate(targets)]
    body = {"range": span, "maxDataPoints": 500, "targets": asked}
    request = urllib.request.Request(
        f"{address}/query", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return {one["target"]: len(one["datapoints"]) for one in json.load(reply) if one.get("datapoints")}


def test_the_steps(old, tmp_path):
    """Each step does what it says: the new system beside the old, own servers, consumers, the legacy switch."""
    first, own, compare, consumer, legacy, as_it_is = blocks("Step by step")
    ports = {name: str(free_port()) for name in ("18080", "18001", "15000")}
    words = ports | {"/var/lib/sisock/state": str(tmp_path / "state")}
    address = f"http://127.0.0.1:{ports['15000']}"
    with terminal(tmp_path, words) as typing:
        _, site = typing.type(first)
        poll(lambda: "everything is up" in site.output() or site.poll() is not None, 60, "the site is up")
        before = dict(typing.environment)
        _, server = typing.type(own)
        poll(lambda: "in the hub's list" in server.output() or server.poll() is not None, 30, "the server is listed")
        assert server.poll() is None, server.output()
        typing.environment = before

        poll(lambda: len(typing.type([compare[-1]])[0][0].splitlines()) > 2, 20, "it has samples")
        nodes, fields, archive, live = typing.type(compare)[0]
        names = {line.split()[0] for line in nodes.splitlines()}
        assert names == {"LSA22YE", "apex_archive", "apex_weather", "cryostat", "ucsc_radiometer"}
        assert fields.split()[:3] == ["pwv", "number", "mm"]
        assert len(archive.splitlines()) > 20
        assert "cryostat::stage" in live
        points = drawn(address, *TARGETS, span=YEARS)
        assert set(points) == set(TARGETS)

        (secret,) = typing.type(consumer)[0]
        assert read_as("simonsobs", secret.strip(), ports["18080"], tmp_path / "state") == sorted(names)

        typing.stop(server, site)
        _, site = typing.type(legacy)
        poll(lambda: "everything is up" in site.output() or site.poll() is not None, 60, "the site is up again")
        _, server = typing.type(as_it_is)
        poll(
            lambda: server.poll() is not None or any(typing.type(["sisock nodes | grep cryostat || true"])[0]),
            30,
            "the server is listed as it is",
        )
        assert server.poll() is None, server.output()
        typing.stop(site)
        assert server.wait(20) == 1


def test_the_old_ports(tmp_path):
    """Step 7: when the old system is stopped, the new one takes its ports, and agents find it by themselves."""
    first = blocks("Step by step")[0]
    assert all(name in first[0] for name in ("CROSSBAR_TLS_PORT", "CROSSBAR_OCS_PORT", "PORT"))
    of_2019 = tmp_path / "of2019"
    of_2019.mkdir()
    with contextlib.ExitStack() as agents:
        with running_old_site(of_2019) as old:
            agents.enter_context(publishing(of_2019, old.settings.ocs_port, "LSA22YE"))
        ports = {"CROSSBAR_TLS_PORT": str(old.settings.tls_port), "CROSSBAR_OCS_PORT": str(old.settings.ocs_port)}
        ports["PORT"] = str(free_port())
        folder = tmp_path / "new"
        folder.mkdir()
        with terminal(folder, {"/var/lib/sisock/state": str(folder / "state")}, **ports) as typing:
            _, site = typing.type(first[1:])
            poll(lambda: "everything is up" in site.output() or site.poll() is not None, 60, "the site is up")
            address = f"http://127.0.0.1:{ports['PORT']}"
            now = dt.datetime.now(dt.UTC)
            span = {
                "from": f"{now:%Y-%m-%dT%H:%M:%S}.000Z",
                "to": f"{now + dt.timedelta(hours=1):%Y-%m-%dT%H:%M:%S}.000Z",
            }
            target = "LSA22YE::channel_01_t"
            poll(lambda: drawn(address, target, span=span).get(target, 0) > 3, 40, "the agent is drawn")
            typing.stop(site)


def read_as(user, secret, port, state):
    """Run a consumer of 2019 on the new router; return the nodes that it is told of."""
    result = subprocess.run(
        [
            sys.executable,
            str(SITE),
            "reader",
            f"wss://127.0.0.1:{port}/ws",
            str(state / "server_cert.pem"),
            user,
            secret,
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (line,) = [one for one in result.stdout.splitlines() if one.endswith(" stage")]
    return line.split()[1:-1]  # behind the time at which it was logged


def test_ours_on_the_router_of_2019(old, tmp_path):
    """The commands and the adapter read through the old router, with the variables of the page."""
    words = {"/srv/observatory/.crossbar": str(old.state), "as-in-its-configuration": SECRETS["simonsobs"]}
    ports = {"CROSSBAR_TLS_PORT": str(old.settings.tls_port), "PORT": str(free_port())}
    (lines,) = blocks("On the router of 2019")
    with terminal(tmp_path, words, **ports) as typing:
        (nodes, samples), adapter = typing.type(lines)
        assert nodes.split()[0] == "cryostat"
        assert len(samples.splitlines()) == 61
        span = {"from": "2017-07-14T02:40:00.000Z", "to": "2017-07-14T03:40:00.000Z"}
        address = f"http://127.0.0.1:{ports['PORT']}"

        def points():
            with contextlib.suppress(OSError):
                return drawn(address, "cryostat::stage", span=span)

        assert poll(points, 30, "the old node is drawn")["cryostat::stage"] > 300
        typing.stop(adapter)


def test_a_site_without_a_router_hands_the_login_on(old, tmp_path):
    """A site file whose router is another's gives its adapter the login of the environment."""
    (tmp_path / "site.yml").write_text("router: false\nhub: false\n")
    variables = {
        "SISOCK_STATE": str(old.state),
        "WAMP_USER": "simonsobs",
        "WAMP_SECRET": SECRETS["simonsobs"],
        "CROSSBAR_TLS_PORT": str(old.settings.tls_port),
        "PORT": str(free_port()),
    }
    with terminal(tmp_path, {}, **variables) as typing:
        _, site = typing.type(["sisock up site.yml"])

        def found():
            with contextlib.suppress(OSError):
                return drawn(
                    f"http://127.0.0.1:{variables['PORT']}",
                    "cryostat::stage",
                    span={"from": "2017-07-14T02:40:00.000Z", "to": "2017-07-14T03:40:00.000Z"},
                )

        poll(found, 30, "the old node is drawn")
        typing.stop(site)


@pytest.mark.parametrize("row", cells("Nodes and their names", "server of the original"), ids=lambda row: row[0])
def test_names_of_nodes(row, tmp_path):
    """The table has the default name of each node here, and its last column gives the node the old one."""
    _, old_name, kind, name, command = (cell.replace("`", "") for cell in row)
    kind = re.sub(r"\[(\w+)\].*|,.*", r"\1", kind)
    if kind not in KINDS:
        return
    default = inspect.signature(load_class(kind)).parameters["name"].default
    assert name in (default, "in NAME")
    arguments = shlex.split(command) if command.startswith("sisock node") else []
    if "--name" in arguments:
        node = load_source(arguments[2], arguments[arguments.index("--name") + 1], {"folder": tmp_path})
        assert node.name == old_name
    elif old_name != "in NAME" and arguments:
        assert default == old_name


def load_class(kind):
    module, name = KINDS[kind].split(":")
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("row", cells("Nodes and their names", "name"), ids=lambda row: row[0])
def test_rules_of_names(row):
    """Names that need nothing can log in; the others cannot, and what is to be typed for them can."""
    names = re.findall(r"`([^`]+)`", row[0])
    good = row[1] == "nothing"
    assert all(bool(NODE_NAME.fullmatch(name)) == (good or name == "server") for name in names)
    assert all(NODE_NAME.fullmatch(name) for name in re.findall(r"--name (\S+?)`", row[1]))


def test_every_service_of_the_page_is_one():
    """Each service in the column for ours is in docker-compose.yml."""
    services = compose.load_compose()["services"]
    named = {
        word for row in cells("Compose", "service or image of the original") for word in re.findall(r"`(\w+)`", row[1])
    }
    assert named <= set(services)
    assert set(services) - named <= {"table"}


def test_the_legacy_switch_of_compose_comes_from_the_environment():
    """``SISOCK_LEGACY`` in the environment or in .env reaches the router and nobody else, and is off without."""
    services = compose.load_compose()["services"]
    given = {name: one.get("environment", {}).get("SISOCK_LEGACY") for name, one in services.items()}
    assert {name: value for name, value in given.items() if value} == {"router": "${SISOCK_LEGACY:-0}"}
    assert 'echo "SISOCK_LEGACY=1" >> .env' in section("Compose")


def merged(document, override):
    """Merge two compose files as compose does: mappings by key, commands and tests replaced."""
    services = {name: dict(one) for name, one in document["services"].items()}
    for name, changes in override["services"].items():
        services[name] = services.get(name, {}) | changes
    return document | {"services": services}


def test_compose_with_the_example(tmp_path):
    """With the example's file, each service is healthy under the names of 2019, and a server as it is is let in."""
    document = merged(compose.load_compose(), OVERRIDE)
    wanted = {"router", "hub", "weather", "radiometer", "LSA22YE", "cryostat", "grafana_json"}
    assert set(OVERRIDE["services"]) == wanted - {"hub"}
    services = {name: one for name, one in compose.own_services(document).items() if name in wanted}
    services["router"]["environment"]["SISOCK_LEGACY"] = "1"
    machine = compose.Machine(tmp_path)
    try:
        machine.up(services)
        with publishing(tmp_path, machine.ports[8001], "LSA22YE", compose.ADDRESS):
            address = machine.adapter
            assert drawn(address, "apex_archive::jfk_temperature")["apex_archive::jfk_temperature"] > 100
            poll(lambda: _fields(machine, "LSA22YE"), 20, "the feed is served")
            poll(lambda: _fields(machine, "cryostat"), 20, "the server is served")
        assert "pwv" in _fields(machine, "ucsc_radiometer")
    finally:
        statuses = machine.stop()
    assert set(statuses.values()) == {0}, statuses


def _fields(machine, node):
    """Return what ``docker compose exec hub sisock fields NODE`` prints."""
    service = compose.load_compose()["services"]["hub"]
    result = subprocess.run(
        [sys.executable, "-m", "sisock", "fields", node],
        env=machine._environment(service),
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout
