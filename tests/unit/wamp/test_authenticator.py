"""Who may log in to the router, and what a data node may do."""

from __future__ import annotations

import pytest
from autobahn.wamp.exception import ApplicationError

from sisock.core.wire.info import uri
from sisock.settings import Settings
from sisock.wamp.authenticator import authorizer, may, principal, role_of
from sisock.wamp.credentials import Credentials

FORGED = {"forward_for": [{"session": 1, "authid": "weather", "authrole": "node"}]}


@pytest.mark.parametrize(
    ("authid", "legacy", "role"),
    [
        ("sisock.hub", False, "hub"),
        ("sisock.consumer", False, "consumer"),
        ("weather", False, "node"),
        ("LAT_1-dome", False, "node"),
        ("x" * 64, False, "node"),
        ("server", True, "legacy"),
        ("server", False, None),
        ("x" * 65, True, None),
        ("", True, None),
        ("a.b", True, None),
        ("a b", True, None),
        ("weather\n", True, None),
        ("wéather", True, None),
        ("sisock.hub.", True, None),
    ],
)
def test_role(authid, legacy, role):
    """A name has the role of its program, 'server' the legacy role if that is on, a name of a node that of a node."""
    assert role_of(authid, legacy=legacy) == role


@pytest.mark.parametrize(
    ("action", "suffix", "options"),
    [
        ("register", "consumer.weather.get_fields", {}),
        ("register", "consumer.weather.get_data", {"match": "exact"}),
        ("register", "consumer.weather.get_data", {"force_reregister": True}),
        ("register", "consumer.weather.info", {}),
        ("call", "data_node.add", {}),
        ("call", "data_node.subtract", {}),
        ("publish", "consumer.weather.samples", {}),
    ],
)
def test_allowed(action, suffix, options):
    """A data node registers its three procedures, adds and subtracts itself, and publishes its samples."""
    assert may("weather", uri(suffix), action, options)


@pytest.mark.parametrize("options", [{}, {"match": "prefix"}, {"match": "wildcard"}])
def test_observatory(options):
    """A data node subscribes to whatever agents publish."""
    assert may("weather", "observatory.", "subscribe", options)
    assert may("weather", "observatory.fridge.feeds.temperatures", "subscribe", options)


@pytest.mark.parametrize(
    ("action", "uri", "options"),
    [
        ("register", uri("consumer.other.get_data"), {}),
        ("register", uri("consumer.other.get_data"), {"force_reregister": True}),
        ("register", uri("consumer.weather.get_data"), {"match": "prefix"}),
        ("register", uri("consumer.weather.get_data"), {"match": "wildcard"}),
        ("register", uri("consumer.weather."), {"match": "prefix"}),
        ("register", uri("consumer.weather.get_data.more"), {}),
        ("register", uri("consumer.get_data_node"), {}),
        ("register", uri("data_node.add"), {}),
        ("register", uri("router.authorize"), {}),
        ("register", "observatory.fridge.start", {}),
        ("call", uri("consumer.weather.get_data"), {}),
        ("call", uri("consumer.other.get_data"), {}),
        ("call", uri("consumer.get_data_node"), {}),
        ("call", uri("router.authorize"), {}),
        ("call", uri("data_node.add"), FORGED),
        ("call", "wamp.session.list", {}),
        ("call", "observatory.fridge.start", {}),
        ("publish", uri("consumer.other.samples"), {}),
        ("publish", uri("consumer.data_node_added"), {}),
        ("publish", "observatory.fridge.feeds.temperatures", {}),
        ("publish", uri("consumer.weather.samples"), FORGED),
        ("subscribe", uri("consumer."), {"match": "prefix"}),
        ("subscribe", "", {"match": "prefix"}),
        ("subscribe", "observatory", {"match": "prefix"}),
        ("subscribe", "..", {"match": "wildcard"}),
        ("cancel", uri("data_node.add"), {}),
    ],
)
def test_refused(action, uri, options):
    """A data node may do nothing else: nothing under another name, no pattern, no call in another's name."""
    assert not may("weather", uri, action, options)


@pytest.mark.parametrize(
    ("action", "uri", "options", "allowed"),
    [
        ("call", uri("consumer.weather.get_data"), {}, True),
        ("call", uri("consumer.get_data_node"), {}, True),
        ("subscribe", uri("consumer."), {"match": "prefix"}, True),
        ("register", uri("consumer.lab.get_data"), {}, True),
        ("register", uri("consumer.weather.get_data"), {}, False),
        ("publish", uri("consumer.data_node_added"), {}, False),
        ("call", uri("consumer.weather.get_data"), FORGED, False),
        ("call", "wamp.session.list", {}, False),
        ("subscribe", "", {"match": "prefix"}, False),
    ],
)
def test_whom_the_routers_environment_names_reads_too(action, uri, options, allowed):
    """It may be a data node or a consumer of one's own, so it may do what either may, and nothing else."""
    decide = authorizer(Settings(wamp_user="lab", wamp_secret="s"))
    assert decide({"authid": "lab"}, uri, action, options)["allow"] is allowed
    if action != "register":
        assert not authorizer(Settings(wamp_user="lab"))({"authid": "lab"}, uri, action, options)["allow"]
        assert not decide({"authid": "other"}, uri, action, options)["allow"]


@pytest.fixture
def credentials(tmp_path):
    """Credentials with the data node 'weather'."""
    credentials = Credentials(tmp_path / "credentials.json")
    credentials.secret("weather", create=True)
    return credentials


def test_principal(credentials):
    """A name with credentials logs in to the realm under its role with its secret."""
    secret = credentials.secret("weather")
    expected = {"realm": "test_realm", "role": "node", "secret": secret}
    assert principal("weather", Settings(), credentials) == expected


def test_consumer_of_ones_own(credentials):
    """A consumer in the file logs in as one, with its secret, or with that of the environment that names it."""
    secret = credentials.consumer_secret("lab", create=True)
    expected = {"realm": "test_realm", "role": "consumer", "secret": secret}
    assert principal("lab", Settings(), credentials) == expected
    assert principal("lab", Settings(wamp_user="lab", wamp_secret="s"), credentials)["secret"] == "s"
    assert principal("lab", Settings(wamp_user="other", wamp_secret="s"), credentials) == expected


def test_credentials_made_meanwhile(credentials):
    """Credentials that were made after the router started count at once."""
    with pytest.raises(ApplicationError):
        principal("late", Settings(), credentials)
    secret = Credentials(credentials.path).secret("late", create=True)
    assert principal("late", Settings(), credentials)["secret"] == secret


@pytest.mark.parametrize(
    ("authid", "reason"),
    [
        ("unknown", "no credentials for 'unknown'"),
        ("server", "SISOCK_LEGACY"),
        ("a.b", "cannot be the name"),
        (None, "cannot be the name"),
    ],
)
def test_refused_login(credentials, authid, reason):
    """A refused name is told why."""
    with pytest.raises(ApplicationError, match=reason):
        principal(authid, Settings(), credentials)


def test_secret_of_environment(credentials):
    """The environment's secret is that of the environment's user; without one it is that of 'server'."""
    named = Settings(wamp_user="weather", wamp_secret="known")
    assert principal("weather", named, credentials)["secret"] == "known"
    shared = Settings(wamp_secret="known", legacy=True)
    assert principal("server", shared, credentials) == {"realm": "test_realm", "role": "legacy", "secret": "known"}
    assert principal("weather", shared, credentials)["secret"] != "known"


def test_secret_of_environment_gives_no_role(credentials):
    """The environment's secret does not let 'server' in unless the legacy switch is on."""
    with pytest.raises(ApplicationError, match="SISOCK_LEGACY"):
        principal("server", Settings(wamp_secret="known"), credentials)
