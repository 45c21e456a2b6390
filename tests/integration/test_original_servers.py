"""Servers written for the original API, unchanged, on a real router."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sisock.client import Consumer
from sisock.core.errors import SisockError
from sisock.settings import Settings, variables

from integration.sites import clean_environment, poll

SERVERS = Path(__file__).parent.parent / "data" / "original" / "servers.py"
T0 = 1.5e9


@contextlib.contextmanager
def program(
    router, folder: Path, *arguments: str, settings: Settings | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside a router, its output in the folder; end it afterwards."""
    output = folder / f"{Path(arguments[-1]).name}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=clean_environment() | variables(settings or router.settings),
            stdout=file,
            stderr=file,
        )
    process.output = output.read_text
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    """A router that lets the original's servers in, with a hub."""
    from integration.conftest import running_routers

    folder = tmp_path_factory.mktemp("original")
    with running_routers(folder) as start:
        running = start(legacy=True)
        with program(running, folder, "-m", "sisock", "hub"):
            yield running


@pytest.fixture
def folder(router, tmp_path):
    """A working directory with the certificate where the original's programs look for it."""
    (tmp_path / ".crossbar").mkdir()
    shutil.copy(router.settings.state / "server_cert.pem", tmp_path / ".crossbar")
    return tmp_path


@pytest.fixture(scope="module")
def consumer(router):
    """Someone who asks."""
    with Consumer(router.settings) as asking:
        yield asking


@contextlib.contextmanager
def online(router, folder, consumer, case):
    """Run one of the servers and wait until the hub lists it."""
    with program(router, folder, str(SERVERS), case) as process:
        name = "by_class" if case == "reconnecting" else case
        poll(lambda: name in listed(consumer) or process.poll() is not None, 30, f"{name} is listed")
        assert process.poll() is None, process.output()
        yield process
    poll(lambda: name not in listed(consumer), 20, f"{name} has left")


def listed(consumer):
    with contextlib.suppress(SisockError):
        return {entry.name for entry in consumer.nodes()}
    return set()


def plain(consumer, node, *fields, start=T0, end=T0 + 10, **keywords):
    """Ask as a consumer of the original does."""
    return consumer._call(
        f"org.simonsobservatory.consumer.{node}.get_data", list(fields), start, end, who=node, **keywords
    )


def test_class_over_wss_is_served_within_the_contract(router, folder, consumer):
    """Unsorted samples of NumPy scalars beyond the span come sorted, plain and cut; a wrong interval is None."""
    with online(router, folder, consumer, "by_class"):
        reply = plain(consumer, "by_class", "a")
        assert reply["timeline"]["t"]["t"] == [T0 + n for n in (1, 2, 3, 4, 5)]
        assert reply["data"]["a"] == [3.0, 4.0, 1.0, 2.0, 0.0]
        assert consumer.fields("by_class").timelines["t"].interval_s is None


def test_instance_without_the_bases_init_joins_anonymously(router, folder, consumer):
    """An instance with its own ComponentConfig serves over the OCS port, and its after_onJoin is called."""
    with online(router, folder, consumer, "by_instance"):
        poll(lambda: "a" in consumer.fields("by_instance").fields, 10, "after_onJoin was called")
        assert plain(consumer, "by_instance", "a", start=T0 + 8)["data"]["a"] == [8, 9]
        assert consumer.get("by_instance::a", T0, T0 + 5).values.tolist() == [0, 1, 2, 3, 4]


def test_blocking_methods_serve_and_unequal_lists_come_back_empty(router, folder, consumer):
    """Blocking methods run in a thread; a list of another length than its timeline is empty, and the log says so."""
    with online(router, folder, consumer, "blocking") as process:
        reply = plain(consumer, "blocking", "a", "b")
        assert reply["data"] == {"a": list(range(10)), "b": []}
        assert "'b' is left out: it has 3 values" in process.output()


def test_server_that_returns_too_much_stays_connected(router, folder, consumer):
    """300,000 samples: False to a plain caller, thinned on demand, pages for ours, and the server is still there."""
    with online(router, folder, consumer, "large"):
        assert plain(consumer, "large", "a", end=T0 + 1e6) is False
        assert len(plain(consumer, "large", "a", end=T0 + 1e6, min_stride=1000.0)["data"]["a"]) == 300
        assert consumer.get("large::a", T0, T0 + 1e6).values.size == 300_000
        assert "large" in listed(consumer)


def test_exception_and_nonsense_reach_the_caller_in_words(router, folder, consumer):
    """What a server raises or makes up is an error for the caller, and the server goes on."""
    with online(router, folder, consumer, "raising"):
        with pytest.raises(SisockError, match=r"'raising' failed in get_data: KeyError|get_fields"):
            plain(consumer, "raising", "a")
        with pytest.raises(SisockError, match="two dictionaries"):
            consumer.fields("raising")
        assert "raising" in listed(consumer)


@pytest.mark.parametrize("case", ["by_class", "by_instance", "blocking"])
def test_server_whose_router_is_gone_ends_with_failure(folder, start_router, case):
    """A server that nothing reconnects ends non-zero, with a line that says why; it is never alive offline."""
    own = start_router(legacy=True)
    shutil.copy(own.settings.state / "server_cert.pem", folder / ".crossbar")
    with program(own, folder, "-m", "sisock", "hub") as hub, program(own, folder, str(SERVERS), case) as process:
        poll(lambda: f"data_node_added: {case}" in hub.output(), 30, "the server is listed")
        own.kill()
        assert process.wait(20) == 1
        assert f"data node '{case}': the connection to the router is gone" in process.output()


def test_server_that_reconnects_by_itself_is_left_alone(folder, start_router):
    """A runner with auto_reconnect brings its server back after the router was restarted; the process goes on."""
    own = start_router(legacy=True)
    shutil.copy(own.settings.state / "server_cert.pem", folder / ".crossbar")
    with (
        program(own, folder, "-m", "sisock", "hub") as hub,
        program(own, folder, str(SERVERS), "reconnecting") as process,
    ):
        poll(lambda: "data_node_added: by_class" in hub.output(), 30, "the server is listed")
        own.restart()
        poll(lambda: hub.output().count("data_node_added: by_class") == 2, 30, "the server is listed again")
        assert process.poll() is None


def test_server_that_is_stopped_ends_well(router, folder, consumer):
    """Ctrl-C ends a server's process without a failure and without a trace."""
    with online(router, folder, consumer, "by_class") as process:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
        assert "is gone" not in process.output()


def test_server_written_for_the_original_runs_under_the_command_line(router, folder, consumer):
    """``sisock node FILE.py:Class`` runs such a server with a credential of its own."""
    (folder / "roof.py").write_text(SERVERS.read_text())
    with program(router, folder, "-m", "sisock", "node", "roof.py:ByClass", "--name", "roof") as process:
        poll(lambda: "roof" in listed(consumer) or process.poll() is not None, 30, "the node is listed")
        assert plain(consumer, "roof", "a", start=T0 + 4)["data"]["a"] == [2.0, 0.0]
