"""Programs written for the original API, unchanged, under ``sisock node FILE.py``, without the legacy switch."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sisock.client import Consumer
from sisock.settings import variables

from integration.agents import publishing
from integration.sites import clean_environment, poll
from integration.test_original_servers import listed, plain

PROGRAMS = Path(__file__).parent.parent / "data" / "original" / "programs"
FEED = {"TARGET": "LSA22YE", "FEED": "temperatures", "NAME": "LSA22YE", "DESCRIPTION": "LS372 in the lab"}


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    """A router as it comes, with a hub."""
    from integration.conftest import running_routers

    folder = tmp_path_factory.mktemp("programs")
    with running_routers(folder) as start:
        running = start()
        with started(running, folder, "hub"):
            yield running


@pytest.fixture(scope="module")
def consumer(router):
    """Someone who asks."""
    with Consumer(router.settings) as asking:
        yield asking


@pytest.fixture
def folder(tmp_path):
    """A copy of the programs, in which nothing else is: no certificate, no state directory."""
    return Path(shutil.copytree(PROGRAMS, tmp_path / "programs"))


@contextlib.contextmanager
def started(router, folder, *arguments, **environment):
    """Run the command in a folder, with the router's settings; end it afterwards, and see that it ends well."""
    log = folder / f"{'-'.join(arguments).replace('/', '_')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sisock", *arguments],
            cwd=folder,
            env=clean_environment() | variables(router.settings) | environment,
            stdout=output,
            stderr=output,
        )
    process.output = log.read_text
    try:
        yield process
        assert process.poll() is None, process.output()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, process.output()
        assert "Traceback" not in process.output()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def online(router, folder, consumer, names, *arguments, **environment):
    """Run ``sisock node`` with these arguments until the hub lists the nodes of these names."""
    with started(router, folder, "node", *arguments, **environment) as process:
        wanted = set(names.split())
        poll(lambda: wanted <= listed(consumer) or process.poll() is not None, 30, f"{names} is listed")
        assert process.poll() is None, process.output()
        yield process
    poll(lambda: not wanted & listed(consumer), 20, f"{names} has left")


def refused(router, folder, *arguments, lines=1, **environment):
    """Run ``sisock node`` where it cannot run; return what it says, in so many lines with those of the program."""
    result = subprocess.run(
        [sys.executable, "-m", "sisock", "node", *arguments],
        cwd=folder,
        env=clean_environment() | variables(router.settings) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == lines, result.stderr
    return result.stderr


def test_instance_that_is_named_by_the_environment_and_hears_a_feed(router, folder, consumer):
    """What would be anonymous on the OCS port logs in under its name, and serves the feed that it subscribes to."""
    with (
        online(router, folder, consumer, "LSA22YE", "feed.py", **FEED),
        publishing(folder, router.settings.ocs_port, "LSA22YE"),
    ):
        poll(lambda: consumer.fields("LSA22YE").fields, 20, "the feed is heard")
        (field,) = list(consumer.fields("LSA22YE").fields)[:1]
        poll(lambda: consumer.get(f"LSA22YE::{field}", -60, 0).values.size > 3, 20, "samples are served")
        assert [one.description for one in consumer.nodes() if one.name == "LSA22YE"] == ["LS372 in the lab"]


def test_program_whose_environment_is_not_set_is_told(router, folder):
    """A program that ends for lack of a variable is not run in another way; the line says what its class needs."""
    line = refused(router, folder, "feed.py")
    assert "FeedServer() needs 'name', 'description', 'feed'" in line
    assert "--name NAME --option description=… --option feed=…" in line
    assert "its block for __main__ ran no server: it ended by itself" in line


def test_program_that_lacks_a_module_is_told(router, folder):
    """A program that cannot even load is told as such, with the line."""
    (folder / "lacking.py").write_text("import sisock\nimport nosuch\nif __name__ == '__main__':\n    pass\n")
    assert "lacking.py cannot be run: line 2: ModuleNotFoundError: No module named 'nosuch'" in refused(
        router, folder, "lacking.py"
    )


def test_class_that_wants_a_name_takes_it_from_options(router, folder, consumer):
    """A class named on the command line gets what it needs from --name and --option."""
    options = ("--option", "description=by hand", "--option", "feed=x", "--option", "target=y")
    with online(router, folder, consumer, "by_hand", "feed.py:FeedServer", "--name", "by_hand", *options):
        assert [one.description for one in consumer.nodes() if one.name == "by_hand"] == ["by hand"]


def test_program_over_tls_without_a_certificate_reads_beside_it(router, folder, consumer):
    """A program that trusts a certificate and reads files by relative paths runs in its folder, and as it wants to."""
    with online(router, folder, consumer, "old_archive", "archive.py", MAX_POINTS="5") as process:
        reply = plain(consumer, "old_archive", "depth", start=1.5e9, end=1.5e9 + 600)
        assert reply["data"]["depth"] == [0.0, 2.0, 4.0, 6.0, 8.0]
        assert "The environment has 5." in process.output()


def test_program_that_fails_is_run_by_its_class(router, folder, consumer):
    """Where the program's own lines fail and its class needs nothing, the class runs, and the log says why."""
    with online(router, folder, consumer, "old_archive", "archive.py") as process:
        reply = plain(consumer, "old_archive", "depth", start=1.5e9, end=1.5e9 + 600)
        assert len(reply["data"]["depth"]) == 10
        assert "its block for __main__ ran no server: line " in process.output()
        assert "TypeError: str expected, not NoneType; it is run without" in process.output()


def test_class_that_samples_and_starts_a_log_of_its_own(router, folder, consumer):
    """Samples that a program takes once it is on the network are served; each line of the log is there once."""
    with online(router, folder, consumer, "old_sampler", "sampler.py") as process:
        poll(lambda: consumer.fields("old_sampler").fields, 20, "it has samples")
        poll(lambda: consumer.get("old_sampler::count", -60, 0).values.size > 3, 20, "samples are served")
        assert process.output().count("in the hub's list") == 1


def test_program_with_arguments_and_a_component(router, folder, consumer):
    """What stands behind -- is the program's; a server without a configuration of ours runs by a Component."""
    with online(router, folder, consumer, "shed", "named.py", "--", "--called", "shed"):
        assert plain(consumer, "shed", "one", start=1.5e9)["data"]["one"] == [1.0]
    assert "takes no arguments" in refused(router, folder, "named.py:Named", "--", "--called", "shed")


def test_arguments_that_are_missing_are_told(router, folder):
    """A program that reads its command line, and finds nothing there, leads to a line that says where it goes."""
    line = refused(router, folder, "named.py", lines=3)
    assert "Named() needs 'name', 'description': add --name NAME --option description=…" in line
    assert "what it reads from its command line goes behind --" in line


def test_name_on_the_command_line_wins(router, folder, consumer):
    """--name replaces the name that a program gives its server."""
    with online(router, folder, consumer, "hut", "named.py", "--name", "hut", "--", "--called", "shed"):
        assert "shed" not in listed(consumer)


def test_name_that_cannot_be_one_is_told(router, folder):
    """A name that breaks the rules is refused before anything runs, with what to do."""
    line = refused(router, folder, "named.py", "--", "--called", "LS372 (lab)")
    assert "'LS372 (lab)' cannot be a node's name" in line
    assert "--name" in line


def test_program_that_runs_several_servers_by_a_module_beside_it(router, folder, consumer):
    """All servers of a program are online, each under a login of its own."""
    with online(router, folder, consumer, "old_roof old_cellar old_garden", "several.py"):
        values = [plain(consumer, name, "value", start=1.5e9) for name in ("old_roof", "old_cellar", "old_garden")]
        assert [one["data"]["value"] for one in values] == [[1.0], [2.0], [3.0]]
    assert "several servers" in refused(router, folder, "several.py", "--name", "one")


@pytest.mark.parametrize(
    ("what", "name", "options", "value"),
    [
        ("several.py:Cellar", "old_cellar", (), 2.0),
        ("several.py:Cellar", "pit", ("--name", "pit", "--option", "depth=0.5"), 1.5),
        ("several.py:Garden", "old_garden", (), 3.0),
        ("several.py:make_attic", "old_attic", (), 1.0),
    ],
)
def test_one_of_several_servers_is_chosen(router, folder, consumer, what, name, options, value):
    """A class, a class that a function made, and a function that makes a server can each be named."""
    with online(router, folder, consumer, name, what, *options):
        assert plain(consumer, name, "value", start=1.5e9)["data"]["value"] == [value]


def test_option_that_a_server_does_not_take_is_told(router, folder):
    """The line names what the constructor takes."""
    assert "does not take 'hight'; it takes 'name', 'depth'" in refused(
        router, folder, "several.py:Cellar", "--option", "hight=1"
    )


def test_programs_come_back_after_their_router(start_router, folder):
    """After a restart of the router each is there again, even if it stops its process, and samples as it did."""
    own = start_router()
    names = ("old_sampler", "old_roof", "LSA22YE")
    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(started(own, folder, "hub"))
        for what in ("sampler.py", "several.py:Roof", "feed.py"):
            stack.enter_context(started(own, folder, "node", what, **FEED))
        for name in names:
            wait_until_added(hub, name, 1)
        own.restart()
        for name in names:
            wait_until_added(hub, name, 2)
        with Consumer(own.settings) as asking:
            series = poll(lambda: long_enough(asking.get("old_sampler::count", -60, 0)), 20, "it samples again")
        assert np.median(np.diff(series.times)) > 0.08


def wait_until_added(hub, name, times):
    """Wait until the hub has listed a node so many times."""
    poll(lambda: hub.output().count(f"data_node_added: {name}") == times, 60, f"{name} is listed, {times} times")


def long_enough(series):
    """Return a series that has ten samples."""
    return series if series.times.size > 9 else None


def test_program_may_be_started_before_its_router(start_router, folder, free_port):
    """A program that loads the router's certificate waits for the router like all others."""
    from integration.conftest import running_routers

    ports = {"tls_port": free_port(), "ocs_port": free_port()}
    with running_routers(folder.parent) as start:
        first = start(**ports)
        first.stop()
        shutil.rmtree(first.settings.state)
        with started(first, folder, "node", "sampler.py") as process:
            poll(lambda: "waiting for the router" in process.output(), 20, "it waits")
            first.start()
            with started(first, folder, "hub") as hub:
                poll(lambda: "data_node_added: old_sampler" in hub.output(), 30, "the node is listed")
