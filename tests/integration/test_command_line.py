"""The command ``sisock`` as its users type it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest
import yaml

from sisock import __version__
from sisock.client import Consumer
from sisock.settings import variables

from integration.ports import free_port
from integration.sites import clean_environment, poll, running_site
from integration.test_original_servers import program

ROOT = Path(__file__).parent.parent.parent
COMMANDS = ("credential", "demo", "fields", "get", "grafana", "hub", "node", "nodes", "router", "up")
# As the command starts: its first module has been loaded, and nothing else.
STARTER = "import sisock.__main__ as command; print('started', flush=True); command.main()"
ARCHIVE = ROOT / "tests" / "data" / "apex"


def sisock(*arguments, folder=None, settings=None, **environment):
    """Run the command and return its exit status, output and error output."""
    result = subprocess.run(
        [sys.executable, "-m", "sisock", *arguments],
        cwd=folder,
        env=clean_environment() | (variables(settings) if settings else {}) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.fixture(scope="module")
def settings(router, tmp_path_factory):
    """A router with a hub and a weather archive."""
    folder = tmp_path_factory.mktemp("weather")
    arguments = ("-m", "sisock", "node", "weather", "--name", "roof", "--option", f"folder={ARCHIVE}")
    with program(router, folder, "-m", "sisock", "hub"), program(router, folder, *arguments) as node:
        poll(lambda: "in the hub's list" in node.output(), 30, "the node is listed")
        yield router.settings


@pytest.fixture(scope="module")
def field(settings):
    """The first field of the archive."""
    with Consumer(settings) as consumer:
        return min(consumer.fields("roof").fields)


def test_help_lists_every_command_with_a_line():
    """A newcomer sees all commands, each with what it does."""
    status, output, _ = sisock("--help")
    assert status == 0
    assert all(f"\n  {command} " in output for command in COMMANDS)
    for command in COMMANDS:
        status, output, _ = sisock(command, "--help")
        assert status == 0
        assert len(output.splitlines()) >= 3


def test_version_is_the_packages():
    """The command, the package and its metadata agree on the version."""
    assert sisock("--version")[1].split()[-1] == __version__
    assert f"version = {__version__}\n" in (ROOT / "setup.cfg").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]


def test_nodes_fields_and_samples_are_printed(settings, field):
    """What is online, what it serves, and the samples themselves come as plain lines."""
    assert sisock("nodes", settings=settings)[1].split()[0] == "roof"
    status, output, _ = sisock("fields", "roof", settings=settings)
    assert status == 0
    assert output.splitlines()[0].split()[:2] == [field, "number"]
    status, output, errors = sisock("get", f"roof::{field}", "--start", "1", settings=settings)
    lines = output.splitlines()
    assert (status, errors, lines[0]) == (0, "", f"time,roof::{field}")
    assert len(lines) > 3
    assert lines[1].partition(",")[0].endswith("Z")


def test_consumer_of_ones_own_reads(settings, tmp_path):
    """With a name and a secret of its own and the certificate a consumer elsewhere reads; with another it can't."""
    secret = sisock("credential", "--consumer", "lab", settings=settings)[1].strip()
    elsewhere = settings.replace(
        state=tmp_path / "none", certificate=str(settings.state / "server_cert.pem"), wamp_user="lab"
    )
    assert sisock("nodes", settings=elsewhere.replace(wamp_secret=secret))[1].split()[0] == "roof"
    status, _, errors = sisock("nodes", settings=elsewhere.replace(wamp_secret="guess"))
    assert (status, "signature is invalid" in errors) == (1, True)
    assert sisock("nodes", settings=settings.replace(wamp_user="lab"))[1].split()[0] == "roof"


def test_samples_can_be_thinned(settings, field):
    """A stride and a reducer give fewer samples."""
    everything = sisock("get", f"roof::{field}", "--start", "1", settings=settings)[1]
    options = ("--min-stride", "1e9", "--reduce", "last")
    assert len(sisock("get", f"roof::{field}", "--start", "1", *options, settings=settings)[1]) < len(everything)


LONG = """
import numpy as np
from sisock.base import DataNodeServer

class Long(DataNodeServer):
    name = "long"
    first, last, rate = 1.6e9, 1.6e9 + 86400, 10

    def get_fields(self, start, end):
        types = {"x": "number", "s": "string", "l": "string"}
        return {name: {"timeline": "t", "type": types[name]} for name in types}, {"t": {"field": list(types)}}

    def get_data(self, field, start, end, min_stride=None):
        low, high = max(start, self.first), min(end, self.last)
        t = np.arange(np.ceil(low * self.rate), np.ceil(high * self.rate)) / self.rate
        values = {"x": t - self.first, "s": ["a, b"] * t.size, "l": ["long " * 40] * t.size}
        data = {name: values[name] for name in field}
        return {"data": data, "timeline": {"t": {"t": t, "finalized_until": None}}}
"""
DAY = ("--start", "2020-09-13T12:26:40Z", "--end", "2020-09-14T12:26:40Z")


@pytest.fixture(scope="module")
def long(settings, router, tmp_path_factory):
    """A node with a day of samples at 10 Hz, in September 2020."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "long.py").write_text(LONG)
    with program(router, folder, "-m", "sisock", "node", "long.py") as node:
        poll(lambda: "in the hub's list" in node.output(), 30, "the node is listed")
        yield settings


@contextlib.contextmanager
def begun(settings, *arguments):
    """Start the command with its output in pipes; end it afterwards if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sisock", *arguments],
        env=clean_environment() | variables(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_samples_are_printed_as_they_come_in_bounded_memory(long):
    """All samples of a long span come, exactly, and no more than some of them are in memory at once."""
    sizes = []
    with begun(long, "get", "long::x", *DAY) as process:
        measured = psutil.Process(process.pid)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) % 20_000 == 5:
                sizes.append(measured.memory_info().rss)
        assert (process.wait(60), process.stderr.read()) == (0, "")
    assert lines[0] == "time,long::x\n"
    assert len(lines) == 864_001
    assert lines[1] == "2020-09-13T12:26:40.000Z,0.0\n"
    assert lines[-1].startswith("2020-09-14T12:26:39.900Z,86399.9")
    assert max(sizes) - sizes[0] < 100 * 2**20


def test_long_texts_come_in_parts_that_a_message_holds(long):
    """Where a part of a span is more than a node may send at once, a shorter one is asked for, and all come."""
    options = ("--start", "1600000000", "--end", "1600015000")
    status, output, errors = sisock("get", "long::l", *options, settings=long)
    assert (status, errors) == (0, "")
    assert len(output.splitlines()) == 150_001


def test_a_reader_that_has_seen_enough_ends_it_quietly(long):
    """Behind a pipe that closes early, as with head, the command ends without a word."""
    with begun(long, "get", "long::x", *DAY) as process:
        assert process.stdout.readline() == "time,long::x\n"
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (0, "")


def test_interrupted_while_it_prints_it_ends_without_a_trace(long):
    """Ctrl-C while samples come ends it with the usual status, and no trace."""
    with begun(long, "get", "long::x", *DAY) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


def test_texts_are_quoted_as_csv_has_them(long):
    """A comma in a text doesn't make another column."""
    options = ("--start", "1600000000.05", "--end", "1600000000.25")
    assert list(csv.reader(sisock("get", "long::s", *options, settings=long)[1].splitlines())) == [
        ["time", "long::s"],
        ["2020-09-13T12:26:40.100Z", "a, b"],
        ["2020-09-13T12:26:40.200Z", "a, b"],
    ]


@pytest.mark.parametrize(
    ("start", "end", "rows", "said"),
    [
        ("2020-09-14", "2020-09-14 00:00:01", 10, "sisock: times without a zone are taken as UTC\n"),
        ("2020-09-14T00:00:00Z", "2020-09-14T02:00:01+02:00", 10, ""),
        ("1600000000", "1600000001", 10, ""),
        (
            "-1h",
            "now",
            0,
            "; it has some from 2020-09-13T12:26:40.000Z to 2020-09-14T12:26:39.900Z\n",
        ),
        ("now-2h", "-1h", 0, "'long::x' has no sample between "),
    ],
)
def test_times_may_be_written_as_people_do(long, start, end, rows, said):
    """Dates, relative times and numbers are understood, and what is to be said of them goes to standard error."""
    for options in (("--start", start, "--end", end), (f"--start={start}", f"--end={end}")):
        status, output, errors = sisock("get", "long::x", *options, settings=long)
        assert status == 0
        assert len(output.splitlines()) == rows + 1
        assert said in errors
        assert len(errors.splitlines()) == bool(said)


def test_progress_is_told_on_a_terminal_only(long):
    """Where the samples go into a file and a terminal shows the errors, it tells how far it is, and wipes that."""
    import pty

    terminal, errors = pty.openpty()
    code = (
        "import sisock.commands.printing as p; p.QUIET_S = 0; import sisock.commands.cli; sisock.commands.cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "get", "long::x", "--start", "1600000000", "--end", "1600020000"],
        env=clean_environment() | variables(long),
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
    assert process.wait(60) == 0
    os.close(errors)
    told = os.read(terminal, 65536).decode()
    assert " rows, up to 2020-09-13T" in told
    assert told.endswith("\r")


def test_the_credential_of_a_node_is_made_once(tmp_path):
    """A name gets a secret, which is printed again the next time; without a router's state, none is made."""
    state = {"SISOCK_STATE": str(tmp_path)}
    status, secret, errors = sisock("credential", "roof", **state)
    assert (status, errors, len(secret.split())) == (0, "", 1)
    assert len(secret) > 30
    assert sisock("credential", "roof", **state)[1] == secret
    assert sisock("credential", "cellar", **state)[1] != secret
    assert json.loads((tmp_path / "credentials.json").read_text())["roof"] == secret.strip()
    status, lab, _ = sisock("credential", "--consumer", "lab", **state)
    assert (status, json.loads((tmp_path / "credentials.json").read_text())["consumer:lab"]) == (0, lab.strip())
    status, output, errors = sisock("credential", "--consumer", "roof", **state)
    assert (status, output) == (2, "")
    assert "'roof' logs in as a data node already" in errors
    status, output, errors = sisock("credential", "roof", SISOCK_STATE=str(tmp_path / "nosuch"))
    assert (status, output) == (2, "")
    assert "there is no state directory" in errors


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("credential", "a b"), "'a b' cannot log in"),
        (("fields", "rof"), "data node 'rof' is not online"),
        (("get", "roof::nosuch"), "field 'nosuch' is not served by node 'roof'"),
        (("get", "roof"), "'roof' must be NODE::FIELD"),
        (("get", "roof::x", "--start", "yesterday"), "yesterday"),
        (("get", "roof::x", "--start", "2013"), "looks like a date: write 2013-01-01"),
        (("get", "roof::x", "--start", "-1h", "--end=-2h"), "--start must lie before --end"),
        (("up", "nosuch.yml"), "nosuch.yml cannot be read"),
        (("node", "nosuch"), "'nosuch' is neither a Python file"),
        (("node", "nosuch.py"), "there is no file nosuch.py"),
        (("node", "weather"), "folder"),
        (("node", "weather", "--option", "folder=/nosuch"), "/nosuch"),
        (("node", "host", "--option", "depth"), "KEY=VALUE"),
        (("node", "bad.py"), "bad.py cannot be run: line 2: ModuleNotFoundError: No module named 'nosuch'"),
        (("node", "odd.py", "--option", "depth=3"), "odd.py: Odd() takes no arguments"),
        (("node", "server.py", "--option", "depth=3"), "S() does not take 'depth'; it takes no options"),
    ],
)
def test_mistakes_are_one_line(settings, tmp_path, arguments, text):
    """What a user gets wrong is one line that says what, and a failure; never a trace."""
    (tmp_path / "bad.py").write_text("import os\nimport nosuch\n")
    (tmp_path / "odd.py").write_text("class Odd:\n    catalogue = read = None\n")
    (tmp_path / "server.py").write_text("import sisock\nclass S(sisock.base.DataNodeServer): name = 's'\n")
    status, output, errors = sisock(*arguments, folder=tmp_path, settings=settings)
    assert status in (1, 2)
    assert output == ""
    assert text in errors
    assert len(errors.splitlines()) == 1


def test_folder_without_a_site_is_one_line(tmp_path):
    """Where no router has ever run, asking says at once what to set."""
    status, _, errors = sisock("nodes", folder=tmp_path)
    assert status == 2
    assert "SISOCK_STATE" in errors
    assert len(errors.splitlines()) == 1


def test_refused_login_is_told(router, tmp_path):
    """A node with a wrong secret says that it was refused, and goes on trying."""
    settings = router.settings.replace(wamp_user="roof", wamp_secret="wrong")
    with program(router, tmp_path, "-m", "sisock", "node", "host", settings=settings) as node:
        poll(lambda: "it refuses the login" in node.output(), 20, "the refusal is told")
        assert node.poll() is None


def test_original_environment_does_not_break_a_site(tmp_path):
    """With the original's variables for everyone, all programs of a site still find each other."""
    with running_site(tmp_path, {"nodes": {"host": {"kind": "host"}}}, WAMP_USER="server", WAMP_SECRET="s"):
        pass


def test_router_that_is_not_there_is_one_line(tmp_path):
    """Without a router, asking says where it was looked for and how to start one."""
    (tmp_path / ".crossbar").mkdir()
    status, _, errors = sisock("nodes", folder=tmp_path, CROSSBAR_TLS_PORT=str(free_port()))
    assert status == 1
    assert "sisock router" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("variable", ["CROSSBAR_TLS_PORT", "CROSSBAR_OCS_PORT", "PORT"])
def test_taken_port_of_a_site_is_one_line(tmp_path, variable):
    """A port that is taken is named with its variable before anything is started."""
    ports = {name: str(free_port()) for name in ("CROSSBAR_TLS_PORT", "CROSSBAR_OCS_PORT", "PORT")}
    with socket.create_server(("127.0.0.1", int(ports[variable]))):
        status, output, errors = sisock("demo", folder=tmp_path, **ports)
    assert (status, output) == (2, "")
    assert f"set {variable} to another port" in errors
    assert len(errors.splitlines()) == 1


def test_state_directory_that_cannot_be_made_is_one_line(tmp_path):
    """A place where the router may not write is named."""
    (tmp_path / "file").write_text("")
    ports = {name: str(free_port()) for name in ("CROSSBAR_TLS_PORT", "CROSSBAR_OCS_PORT", "PORT")}
    status, _, errors = sisock("router", folder=tmp_path, SISOCK_STATE="file/state", **ports)
    assert status == 2
    assert "file/state" in errors
    assert len(errors.splitlines()) == 1


def test_file_with_two_servers_must_say_which(tmp_path):
    """A Python file with several servers is run only with a class's name."""
    source = "import sisock\nclass A(sisock.base.DataNodeServer): pass\nclass B(A): pass\n"
    (tmp_path / "two.py").write_text(source)
    status, _, errors = sisock("node", "two.py", folder=tmp_path)
    assert status == 2
    assert "two.py:Class" in errors
    status, _, errors = sisock("node", "two.py:C", folder=tmp_path)
    assert "has no class 'C'" in errors


def test_site_whose_program_can_never_run_ends_with_its_line(tmp_path):
    """When a program says at its first start that it cannot run as things are, the site ends with that line."""
    document = {
        "router": False,
        "hub": False,
        "grafana": False,
        "nodes": {"w": {"kind": "weather", "folder": "nosuch"}},
    }
    (tmp_path / "site.yml").write_text(yaml.safe_dump(document))
    status, _, errors = sisock("up", "site.yml", folder=tmp_path)
    assert status == 2
    assert "nosuch" in errors
    assert len(errors.splitlines()) == 1


def test_importing_the_package_is_quick():
    """``import sisock`` loads neither Twisted nor NumPy; only its parts do."""
    code = "import sys, sisock; sys.exit(bool({'twisted', 'numpy', 'autobahn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env=clean_environment(), check=False).returncode == 0


def test_no_program_greets_with_a_traceback():
    """Autobahn is loaded without the library that prints a trace about NumPy's ABI."""
    code = "import sisock; sisock.base; import sisock.client, sisock.wamp.hub, grafana_json.http.server"
    result = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6])
def test_stopping_while_it_starts_ends_quietly(tmp_path, number, after_s):
    """Ctrl-C at any moment of the start ends with exit status 0, without a trace and with nothing left."""
    ports = {name: str(free_port()) for name in ("CROSSBAR_TLS_PORT", "CROSSBAR_OCS_PORT", "PORT")}
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, "demo"],
        cwd=tmp_path,
        env=clean_environment() | ports,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout.readline() == "started\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()  # its programs end with it
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "Abort" not in output
