"""The hub on a real router: who may be in its list, and who is not believed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sisock.client import Consumer
from sisock.settings import variables
from sisock.wamp.credentials import Credentials

from integration.sites import clean_environment, poll
from integration.test_original_servers import program

STEPS = Path(__file__).parent / "wamp_steps.py"
ADD = "org.simonsobservatory.data_node.add"
SUBTRACT = "org.simonsobservatory.data_node.subtract"
LIST = "org.simonsobservatory.consumer.get_data_node"
ADDED = "org.simonsobservatory.consumer.data_node_added"
SUBTRACTED = "org.simonsobservatory.consumer.data_node_subtracted"


@pytest.fixture(scope="module")
def hub(router, tmp_path_factory):
    """A hub on the router."""
    folder = tmp_path_factory.mktemp("hub")
    with program(router, folder, "-m", "sisock", "hub") as process:
        poll(lambda: "hub: ready" in process.output(), 30, "the hub is ready")
        yield process


@pytest.fixture
def carry_out(router, hub):
    """Return a function that carries out WAMP steps with one session a name, and gives their results."""
    credentials = Credentials(router.settings.state / "credentials.json")
    address = f"wss://127.0.0.1:{router.settings.tls_port}/ws"

    def run(*steps):
        joins = [
            [name, "join", address, {"secret": credentials.secret(name, create=True)}]
            for name in dict.fromkeys(step[0] for step in steps)
        ]
        result = subprocess.run(
            [sys.executable, STEPS],
            input=json.dumps([*joins, *steps]),
            env=clean_environment() | variables(router.settings),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(result.stdout)[len(joins) :]

    return run


def names(entries):
    return [entry["name"] for entry in entries]


def test_node_is_listed_with_its_description_until_it_leaves(carry_out, router):
    """A node that adds itself is listed; both topics tell; it is gone when its session is."""
    consumer = "sisock.consumer"
    results = carry_out(
        [consumer, "subscribe", ADDED],
        ["north", "call", ADD, "north", "a mast", 1],
        [consumer, "events", 1],
        [consumer, "call", LIST],
        ["north", "call", ADD, "north", "a mast", 1],
        [consumer, "call", LIST],
        [consumer, "subscribe", SUBTRACTED],
        ["north", "leave"],
        [consumer, "events", 2],
        [consumer, "call", LIST],
    )
    entry = {"name": "north", "description": "a mast"}
    assert results[1] is True
    assert results[2][0][1:] == [entry]
    assert results[3] == [entry]
    assert results[4] is True
    assert results[5] == [entry]
    assert results[8][1][1:] == [entry]
    assert results[9] == []


def test_node_may_take_itself_off_the_list(carry_out):
    """What a session added it may subtract, whatever session number it names."""
    results = carry_out(
        ["south", "call", ADD, "south", None, 1],
        ["south", "call", SUBTRACT, "south", 999],
        ["sisock.consumer", "call", LIST],
    )
    assert results == [True, None, []]


def test_nobody_can_take_another_node_off_the_list(carry_out):
    """The session number in the argument is not believed: identity comes from the router."""
    results = carry_out(
        ["east", "call", ADD, "east", "", 1],
        ["west", "call", SUBTRACT, "east", 1],
        ["sisock.consumer", "call", LIST],
    )
    assert names(results[2]) == ["east"]


def test_credential_of_a_node_adds_only_that_node(carry_out):
    """Who logs in as one node cannot add another's name, not even one that is free."""
    results = carry_out(["west", "call", ADD, "free", "", 1], ["sisock.consumer", "call", LIST])
    assert results[0]["error"] == "org.simonsobservatory.error.bad_request"
    assert "'west' cannot add" in results[0]["text"]
    assert results[1] == []


@pytest.mark.parametrize("procedure", [ADD, SUBTRACT])
def test_forwarded_calls_are_refused(carry_out, procedure):
    """A call that claims to come from another session (forward_for) never reaches the hub."""
    forged = [{"session": 123, "authid": "east", "authrole": "node"}]
    call = ["west", "call", procedure, "east", "", 123, {"forward_for": forged}]
    results = carry_out(["east", "call", ADD, "east", "", 1], call, ["sisock.consumer", "call", LIST])
    assert results[1]["error"] == "wamp.error.not_authorized"
    assert names(results[2]) == ["east"]


@pytest.mark.parametrize("name", [5, None, "", "a.b", "a b", "x" * 65, "ö", ["a"]])
def test_name_that_is_no_component_of_a_uri_is_refused(carry_out, name):
    """A name that cannot be part of a procedure's URI is refused, and the hub goes on."""
    results = carry_out(["west", "call", ADD, name, "", 1], ["sisock.consumer", "call", LIST])
    assert results[0]["error"] == "org.simonsobservatory.error.bad_request"
    assert results[1] == []


def test_second_session_of_a_name_is_refused_until_the_first_has_left(router, hub, tmp_path):
    """Of two processes with one name the first serves; the second waits, says so, and takes over when it can."""
    arguments = ("-m", "sisock", "node", "host", "--name", "twin")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Consumer(router.settings) as consumer, program(router, tmp_path / "two", *arguments) as second:
        poll(lambda: "in the hub's list" in second.output(), 30, "one of them serves")
        with program(router, tmp_path / "one", *arguments) as first:
            poll(lambda: "the router refuses" in first.output(), 30, "the other is refused")
            assert "'twin': a data node of that name is online already" in first.output()
            assert "--name NAME" in first.output()
            assert [entry.name for entry in consumer.nodes()] == ["twin"]
            second.terminate()
            second.wait(20)
            poll(lambda: "in the hub's list" in first.output(), 20, "the other has taken over")
            assert consumer.fields("twin").fields
