"""Our consumers on a router of 2019, with a hub and a node of the original's library."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import pytest

from sisock.client import Consumer
from sisock.settings import variables

from integration.ports import free_port
from integration.router_of_2019 import SECRETS, running_old_site
from integration.sites import clean_environment, poll

T0 = 1.5e9


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site of 2019."""
    with running_old_site(tmp_path_factory.mktemp("of2019")) as running:
        yield running


def sisock(settings, *arguments):
    """Run the command with the settings of a site; return its exit status, output and error output."""
    result = subprocess.run(
        [sys.executable, "-m", "sisock", *arguments],
        env=clean_environment() | variables(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("user", SECRETS)
def test_commands_log_in_as_the_environment_says(site, user):
    """``sisock nodes``, ``fields`` and ``get`` work with WAMP_USER and WAMP_SECRET of a user of the router."""
    settings = site.as_user(user)
    assert sisock(settings, "nodes") == (0, f"{'cryostat':<24} of 2019\n", "")
    status, output, errors = sisock(settings, "fields", "cryostat")
    assert (status, errors, output.split()[:3]) == (0, "", ["stage", "number", "K"])
    status, output, errors = sisock(
        settings, "get", "cryostat::stage", "--start", "2017-07-14T02:40:00Z", "--end", "2017-07-14T02:40:03Z"
    )
    assert (status, errors) == (0, "")
    assert len(output.splitlines()) == 4


def test_consumer_of_a_script_logs_in(site):
    """A script's consumer reads all of a node that knows none of our extensions."""
    with Consumer(site.as_user("simonsobs")) as consumer:
        series = consumer.get("cryostat::stage", T0, T0 + 3600)
    assert series.times.tolist() == [T0 + n for n in range(3600)]


@pytest.mark.parametrize(
    ("user", "secret", "told"),
    [("simonsobs", "wrong", "signature is invalid"), ("lab", "s", "lab")],
)
def test_login_that_the_router_refuses_is_told(site, user, secret, told):
    """A name or a secret that the router does not know is one line, with what the router says."""
    status, output, errors = sisock(site.as_user(user, secret), "nodes")
    assert (status, output) == (1, "")
    assert told in errors
    assert len(errors.splitlines()) == 1


def test_without_a_login_it_is_told_and_with_one_it_works_afterwards(site):
    """Whoever forgot the variables once has spoilt nothing by it, although that has made a secret."""
    status, _, errors = sisock(site.settings, "nodes")
    assert status == 1
    assert "WAMP_USER and WAMP_SECRET" in errors
    assert (site.state / "credentials.json").exists()
    assert sisock(site.as_user("simonsobs"), "nodes")[0] == 0


def test_adapter_draws_the_nodes(site, tmp_path):
    """The adapter logs in by the same variables, and draws a node of the original's library with a notice."""
    settings = site.as_user("simonsobs").replace(port=free_port())
    address = f"http://127.0.0.1:{settings.port}"
    body = {
        "range": {"from": "2017-07-14T02:40:00.000Z", "to": "2017-07-14T03:40:00.000Z"},
        "maxDataPoints": 1000,
        "targets": [{"refId": "A", "target": "cryostat::stage"}],
    }

    def drawn():
        request = urllib.request.Request(
            f"{address}/query", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return [one for one in json.load(reply) if one.get("datapoints")]
        except OSError:
            return None

    with (tmp_path / "adapter.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sisock", "grafana"],
            cwd=tmp_path,
            env=clean_environment() | variables(settings),
            stdout=output,
            stderr=output,
        )
    try:
        (series,) = poll(drawn, 30, "the node is drawn")
        assert len(series["datapoints"]) > 700
        assert "original library" in json.dumps(series["meta"]["notices"])
    finally:
        process.terminate()
        assert process.wait(20) == 0
