"""The real router: starting, stopping, dying, and who may do what."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sisock.core.wire.info import uri
from sisock.settings import variables
from sisock.wamp.credentials import CONSUMER, FILE_NAME, HUB, LEGACY, Credentials

STATE_FILES = {
    "config.json",
    "config.checked",
    "credentials.json",
    "credentials.lock",
    "key.priv",
    "key.pub",
    "router.lock",
    "server_cert.pem",
    "server_key.pem",
}


@pytest.fixture(scope="module")
def own_router(tmp_path_factory, routers_in):
    """A router that the tests here may kill."""
    with routers_in(tmp_path_factory.mktemp("own")) as start:
        yield start()


@pytest.fixture
def expendable(own_router):
    """That router, running; it is started anew when a test before has ended it."""
    if own_router.process.poll() is not None:
        own_router.start()
    return own_router


def all_gone(processes):
    return not [process for process in processes if process.is_running() and process.status() != "zombie"]


def test_first_start(start_router):
    """At the first start all that is needed is made, in the state directory only; two lines say what happened."""
    running = start_router()
    settings = running.settings
    secure, plain = (url.format(**vars(settings)) for url in (SECURE, PLAIN))
    assert running.output.splitlines() == [
        f"router: the router's certificate {settings.state / 'server_cert.pem'} made",
        f"router: listening on {secure} (TLS) and {plain} (OCS)",
    ]
    assert running.stop() == 0
    assert {path.name for path in settings.state.iterdir()} == STATE_FILES
    assert {path.name for path in settings.state.parent.iterdir()} == {"state", "router.out"}
    assert settings.state.stat().st_mode & 0o777 == 0o700
    assert set(json.loads((settings.state / FILE_NAME).read_text())) == {HUB, CONSUMER}


def test_second_start(expendable):
    """A later start says one line, checks nothing again, and keeps secrets and certificate."""
    names = ("config.checked", "credentials.json", "server_cert.pem", "server_key.pem")
    before = [(expendable.settings.state / name).stat().st_mtime_ns for name in names]
    expendable.restart()
    assert len(expendable.output.splitlines()) == 1
    assert [(expendable.settings.state / name).stat().st_mtime_ns for name in names] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop(expendable, number):
    """A signal stops the router and all of Crossbar, with exit status 0 and without a word."""
    said, processes = expendable.output, expendable.crossbar()
    assert len(processes) == 2
    assert expendable.stop(number) == 0
    assert all_gone(processes)
    assert not expendable.is_listening()
    assert expendable.output == said


def test_stop_while_starting(expendable, wait_until):
    """A router that is still starting can be stopped too."""
    expendable.stop()
    process = expendable.launch()
    wait_until(lambda: len(expendable.crossbar()) == 2, "Crossbar's processes run")
    processes = expendable.crossbar()
    assert expendable.stop() == 0
    assert process.poll() == 0
    assert all_gone(processes)
    assert expendable.output == ""


def test_killed(expendable, wait_until):
    """When the router is killed, Crossbar ends too, and the next router gets its ports."""
    processes = expendable.crossbar()
    expendable.kill()
    wait_until(lambda: all_gone(processes), "Crossbar's processes have ended")
    expendable.start()


def test_all_killed_but_worker(expendable, wait_until):
    """When router and Crossbar's controller are killed at once, the worker ends by itself."""
    controller, worker = expendable.crossbar()
    expendable.process.kill()
    controller.kill()
    expendable.process.wait()
    wait_until(lambda: all_gone([worker]), "the worker has ended")


@pytest.mark.parametrize("victim", [0, 1], ids=["controller", "worker"])
def test_crossbar_killed(expendable, victim):
    """When one of Crossbar's processes dies, the router ends the others, says why in one line, and fails."""
    processes = expendable.crossbar()
    processes[victim].kill()
    assert expendable.process.wait(20) == 1
    assert all_gone(processes)
    lines = expendable.output.splitlines()[1:]
    assert lines[-1].startswith("router: Crossbar ended by itself (")
    assert not any("Traceback" in line for line in lines)


@pytest.fixture
def failing(expendable, tmp_path):
    """Return a function that starts a router with other settings and returns the one line with which it fails."""

    def start(**changes):
        settings = expendable.settings.replace(**{"state": tmp_path / "state"} | changes)
        running = type(expendable)(settings, tmp_path / "router.out")
        assert running.launch().wait(60) == 1
        (line,) = running.output.splitlines()
        return line

    return start


def test_state_in_use(failing, expendable):
    """A second router with the same state directory is refused."""
    assert "already running with the state directory" in failing(state=expendable.settings.state)


@pytest.mark.parametrize(
    ("setting", "variable"), [("tls_port", "CROSSBAR_TLS_PORT"), ("ocs_port", "CROSSBAR_OCS_PORT")]
)
def test_port_taken(failing, free_port, setting, variable):
    """A port that another program has is named, with the variable to change."""
    ports = {"tls_port": free_port(), "ocs_port": free_port()}
    with socket.create_server(("127.0.0.1", ports[setting])):
        assert failing(**ports) == (
            f"router: port {ports[setting]} is taken: stop the program that has it, or set {variable} to another port"
        )


def test_bad_settings(failing, free_port, tmp_path):
    """Settings that cannot work are refused with what to change."""
    port = free_port()
    assert "set SISOCK_LISTEN" in failing(listen="192.0.2.1", tls_port=port, ocs_port=0)
    assert f"CROSSBAR_TLS_PORT and CROSSBAR_OCS_PORT are both {port}" in failing(tls_port=port, ocs_port=port)
    assert "CROSSBAR_TLS_PORT is 0" in failing(tls_port=0)
    assert "there is no certificate" in failing(
        tls_port=port, ocs_port=0, certificate=str(tmp_path / "missing.pem"), certificate_key="key.pem"
    )
    (tmp_path / "file").touch()
    assert "set SISOCK_STATE to another" in failing(state=tmp_path / "file" / "state")


SECURE, PLAIN = "wss://127.0.0.1:{tls_port}/ws", "ws://127.0.0.1:{ocs_port}/ws"
DENIED, REFUSED = "wamp.error.not_authorized", "org.simonsobservatory.error.login_refused"
PREFIX, WILDCARD, FORCE = {"match": "prefix"}, {"match": "wildcard"}, {"force_reregister": True}
FORGED = {"forward_for": [{"session": 1, "authid": "weather", "authrole": "node"}]}
DATA_NODE_ADD, GET_DATA = uri("data_node.add"), uri("consumer.weather.get_data")
STEPS = Path(__file__).with_name("wamp_steps.py")


def carry_out(running, steps):
    """Carry out WAMP steps as other programs would; return what became of each."""
    prepared = json.dumps([_prepared(running, *step) for step in steps])
    environment = os.environ | variables(running.settings) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, STEPS], input=prepared, capture_output=True, text=True, env=environment, check=True
    )
    assert result.stderr == ""
    return json.loads(result.stdout)


def _prepared(running, name, action, *arguments):
    """Fill in this router's port and the secret."""
    if action != "join":
        return [name, action, *arguments]
    url, login = arguments
    if login.get("secret") == "own":
        secret = Credentials(running.settings.state / FILE_NAME).secret(name, create=True)
        login = login | {"secret": secret}
    return [name, action, url.format(**vars(running.settings)), login]


def own(name, **more):
    """Log in with the secret that this machine's credentials have for the name."""
    return (name, "join", SECURE, {"secret": "own"} | more)


def errors(results):
    return [result.get("error") if isinstance(result, dict) else None for result in results]


def test_logins(router):
    """Only names with the right secret log in, each under its role; the refused are told why."""
    certificate = str(router.settings.state / "server_cert.pem")
    results = carry_out(
        router,
        [
            own("weather"),
            own("late"),  # its secret is made now, after the router started
            own(HUB),
            own(CONSUMER, trust=certificate),  # as servers written for the original do
            ("anybody", "join", PLAIN, {}),
            ("unknown", "join", SECURE, {"secret": "guess"}),
            ("weather", "join", SECURE, {"secret": "guess"}),
            ("server", "join", SECURE, {"secret": "guess"}),
            ("a.b", "join", SECURE, {"secret": "guess"}),
            ("weather", "join", SECURE, {}),
        ],
    )
    roles = ["node", "node", "hub", "consumer", "anonymous"]
    assert [result.get("role") for result in results] == roles + [None] * 5
    assert errors(results)[5:] == [REFUSED, DENIED, REFUSED, REFUSED, "wamp.error.no_auth_method"]
    assert "no credentials for 'unknown'" in results[5]["text"]
    assert "signature is invalid" in results[6]["text"]


def test_data_nodes(router):
    """A data node registers its own procedures and no other's, and cannot pose as another."""
    rows = [
        ("evil", "register", GET_DATA, DENIED),
        ("weather", "register", GET_DATA, None),
        ("evil", "register", GET_DATA, FORCE, DENIED),
        ("evil", "register", uri("consumer.weather.get_fields"), DENIED),
        ("evil", "register", uri("consumer.evil.get_data"), PREFIX, DENIED),
        ("evil", "register", uri("consumer.evil."), PREFIX, DENIED),
        ("evil", "register", uri("consumer.evil.get_data"), WILDCARD, DENIED),
        ("evil", "register", uri("consumer..get_data"), WILDCARD, DENIED),
        ("evil", "register", uri("consumer.evil.get_data"), None),
        ("evil", "call", GET_DATA, DENIED),
        ("evil", "publish", uri("consumer.weather.samples"), DENIED),
        ("evil", "subscribe", uri("consumer."), PREFIX, DENIED),
        ("evil", "call", "wamp.session.list", DENIED),
        (HUB, "register", DATA_NODE_ADD, None),
        ("evil", "call", DATA_NODE_ADD, FORGED, DENIED),
        ("weather", "call", DATA_NODE_ADD, None),
        (CONSUMER, "call", GET_DATA, None),
        (CONSUMER, "register", uri("consumer.x.get_data"), DENIED),
    ]
    logins = [own(name) for name in ("weather", "evil", HUB, CONSUMER)]
    results = carry_out(router, logins + [row[:-1] for row in rows])[len(logins) :]
    assert errors(results) == [row[-1] for row in rows]


@pytest.mark.parametrize("origin", ["", "http://localhost", "https://lab.example.org", "null"])
def test_consumers_of_ones_own(router, origin):
    """A consumer in the file, a browser's page from anywhere among them, may read as ours do, and do nothing else."""
    secret = Credentials(router.settings.state / FILE_NAME).consumer_secret("lab", create=True)
    rows = [
        ("weather", "register", GET_DATA, None),
        ("lab", "call", GET_DATA, None),
        ("lab", "subscribe", uri("consumer.data_node_added"), None),
        ("lab", "subscribe", uri("consumer."), PREFIX, None),
        ("lab", "register", uri("consumer.lab.get_data"), DENIED),
        ("lab", "publish", uri("consumer.data_node_added"), DENIED),
        ("lab", "call", DATA_NODE_ADD, DENIED),
        ("lab", "subscribe", "observatory.", PREFIX, DENIED),
    ]
    logins = [own("weather"), ("lab", "join", SECURE, {"secret": secret, "origin": origin})]
    results = carry_out(router, logins + [row[:-1] for row in rows])
    assert results[1] == {"authid": "lab", "role": "consumer"}
    assert errors(results[2:]) == [row[-1] for row in rows]


def test_whom_the_routers_environment_names(start_router):
    """The one name in the router's environment, with its secret, may serve under that name, and read."""
    running = start_router(wamp_user="lab", wamp_secret="known")
    rows = [
        ("lab", "register", uri("consumer.lab.get_data"), None),
        ("lab", "call", uri("consumer.lab.get_data"), None),
        ("lab", "subscribe", uri("consumer."), PREFIX, None),
        ("lab", "register", GET_DATA, DENIED),
        ("lab", "publish", uri("consumer.data_node_added"), DENIED),
    ]
    login = ("lab", "join", SECURE, {"secret": "known"})
    results = carry_out(running, [login] + [row[:-1] for row in rows])
    assert errors(results[1:]) == [row[-1] for row in rows]


def test_disclosure(router):
    """Whoever is called learns from the router who calls, and subscribers learn who publishes."""
    results = carry_out(
        router,
        [
            own("weather"),
            own(HUB),
            own(CONSUMER),
            (HUB, "register", DATA_NODE_ADD),
            ("weather", "register", GET_DATA),
            ("weather", "call", DATA_NODE_ADD),
            (CONSUMER, "call", GET_DATA),
            (CONSUMER, "subscribe", uri("consumer."), PREFIX),
            ("weather", "publish", uri("consumer.weather.samples"), 1),
            (HUB, "publish", uri("consumer.data_node_added"), 2),
            (CONSUMER, "events", 2),
        ],
    )
    session = results[4]
    assert results[5] == {"caller": session, "caller_authid": "weather", "role": "node"}
    assert (results[6]["caller_authid"], results[6]["role"]) == (CONSUMER, "consumer")
    assert results[10] == [["weather", 1], [HUB, 2]]


def test_hub_hears_of_ends(router):
    """The hub learns from the router that a session has ended."""
    steps = [own("weather"), own(HUB), (HUB, "subscribe", "wamp.session.on_leave"), (HUB, "call", "wamp.session.list")]
    steps += [("weather", "register", GET_DATA), ("weather", "leave"), (HUB, "events", 1)]
    results = carry_out(router, steps)
    session = results[4]
    assert session in results[3]
    assert results[6][0][1] == session


ANONYMOUS = [
    ("ocs", "register", uri("consumer.feeds.get_data")),
    ("ocs", "call", uri("consumer.feeds.get_data")),
    ("ocs", "subscribe", uri("consumer."), PREFIX),
    ("ocs", "call", DATA_NODE_ADD),
]


def test_agents(router):
    """Agents on the OCS port have all of 'observatory.' and nothing of sisock's; data nodes hear their feeds."""
    steps = [
        ("ocs", "join", PLAIN, {}),
        own(HUB),
        own("feeds"),
        (HUB, "register", DATA_NODE_ADD),
        ("feeds", "subscribe", "observatory.", PREFIX),
        ("ocs", "register", "observatory.fridge.start"),
        ("ocs", "call", "observatory.fridge.start"),
        ("ocs", "publish", "observatory.fridge.feeds.temperatures", 4.2),
        ("feeds", "events", 1),
        ("ocs", "subscribe", "", PREFIX),
        ("ocs", "register", "org", PREFIX),
        *ANONYMOUS,
    ]
    results = carry_out(router, steps)
    assert errors(results) == [None] * 9 + [DENIED] * 6
    assert results[8][0][1] == 4.2


def called_over_http(settings, procedure):
    """Return the reply of the HTTP caller on the OCS port."""
    request = urllib.request.Request(  # the loopback
        f"http://127.0.0.1:{settings.ocs_port}/call",
        json.dumps({"procedure": procedure, "args": []}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def test_http_caller(router):
    """The OCS port takes calls over HTTP, with the same rights as its websocket."""
    assert called_over_http(router.settings, "observatory.absent")["error"] == "wamp.error.no_such_procedure"
    assert called_over_http(router.settings, uri("consumer.get_data_node"))["error"] == DENIED


def test_browsers(router):
    """The secure websocket is there for clients that offer ALPN too, as browsers do."""
    context = ssl.create_default_context(cafile=router.settings.state / "server_cert.pem")
    context.set_alpn_protocols(["http/1.1"])
    connection = http.client.HTTPSConnection("127.0.0.1", router.settings.tls_port, timeout=10, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/ws")
        assert connection.getresponse().status == 426  # asks for the upgrade to a websocket


def test_legacy(start_router):
    """With the legacy switch, anonymous servers and the shared user 'server' are data nodes."""
    running = start_router(legacy=True, wamp_secret="known")
    assert LEGACY in json.loads((running.settings.state / FILE_NAME).read_text())
    steps = [
        ("ocs", "join", PLAIN, {}),
        ("server", "join", SECURE, {"secret": "known", "trust": str(running.settings.state / "server_cert.pem")}),
        own(HUB),
        (HUB, "register", DATA_NODE_ADD),
        ("server", "register", GET_DATA),
        ("server", "call", DATA_NODE_ADD),
        *ANONYMOUS,
    ]
    assert errors(carry_out(running, steps)) == [None] * len(steps)
