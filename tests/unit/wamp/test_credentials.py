"""The secrets that programs log in with."""

from __future__ import annotations

import concurrent.futures
import json
import os
import stat

import pytest

from sisock.core.errors import ConfigurationError
from sisock.wamp.credentials import CONSUMER, HUB, LEGACY, Credentials


@pytest.fixture
def path(tmp_path):
    """A file in a directory that is still to be made."""
    return tmp_path / "state" / "credentials.json"


def test_unknown(path):
    """A name without a secret has none, and asking makes no file."""
    assert Credentials(path).secret("weather") is None
    assert not path.parent.exists()


@pytest.mark.parametrize("name", [HUB, CONSUMER, LEGACY, "weather", "LAT_1-dome"])
def test_created(path, name):
    """A secret that was made stays, is long, and another process reads the same."""
    secret = Credentials(path).secret(name, create=True)
    assert len(secret) >= 43
    assert Credentials(path).secret(name) == secret
    assert Credentials(path).secret(name, create=True) == secret


def test_different(path):
    """Every name has a secret of its own."""
    credentials = Credentials(path)
    assert len({credentials.secret(name, create=True) for name in (HUB, CONSUMER, "a", "b")}) == 4
    assert set(json.loads(path.read_text())) == {HUB, CONSUMER, "a", "b"}


def test_consumers_have_entries_of_their_own(path):
    """A consumer's secret is under its name with 'consumer:' before it, which leaves the file as readers know it."""
    credentials = Credentials(path)
    assert credentials.consumer_secret("lab") is None
    secret = credentials.consumer_secret("lab", create=True)
    assert credentials.consumer_secret("lab", create=True) == secret
    assert json.loads(path.read_text()) == {"consumer:lab": secret}
    assert credentials.secret("lab") is None


@pytest.mark.parametrize("name", ["", "a b", "server", "sisock.hub", "consumer:x"])
def test_names_that_no_consumer_can_have(path, name):
    """A consumer's name is made like a data node's, and is not that of a program of ours or the shared user."""
    with pytest.raises(ConfigurationError, match="cannot be a consumer"):
        Credentials(path).consumer_secret(name, create=True)


def test_a_name_is_a_node_or_a_consumer(path):
    """A name that has one meaning does not get the other one beside it."""
    credentials = Credentials(path)
    credentials.consumer_secret("lab", create=True)
    credentials.secret("roof", create=True)
    with pytest.raises(ConfigurationError, match="'lab' logs in as a consumer already"):
        credentials.secret("lab", create=True)
    with pytest.raises(ConfigurationError, match="'roof' logs in as a data node already"):
        credentials.consumer_secret("roof", create=True)
    assert set(json.loads(path.read_text())) == {"consumer:lab", "roof"}


def test_the_file_of_a_router(path):
    """The file is a router's once the hub has a secret in it; a consumer alone may have made one anywhere."""
    credentials = Credentials(path)
    credentials.secret(CONSUMER, create=True)
    assert not credentials.is_of_a_router()
    credentials.secret(HUB, create=True)
    assert credentials.is_of_a_router()


def test_private(path):
    """Only the owner can read the secrets, whatever the process's mask."""
    mask = os.umask(0)
    try:
        Credentials(path).secret("weather", create=True)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_side_by_side(path):
    """Programs that make secrets at the same time lose none."""
    names = [f"node{number}" for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(lambda name: Credentials(path).secret(name, create=True), names))
    assert [Credentials(path).secret(name) for name in names] == secrets


def test_no_leftovers(path):
    """Nothing but the secrets and their lock is left in the directory."""
    Credentials(path).secret("weather", create=True)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["credentials.json", "credentials.lock"]


@pytest.mark.parametrize("name", ["", "a.b", "a b", "../x", "x" * 65, "wéather", "weather\n"])
def test_bad_name(path, name):
    """A name that nobody could log in under gets no secret."""
    with pytest.raises(ConfigurationError, match="cannot log in"):
        Credentials(path).secret(name, create=True)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weather": 1}', '{"weather": ""}', '{"weather": null}'])
@pytest.mark.parametrize("create", [False, True])
def test_damaged(path, text, create):
    """A damaged file is reported, with what to do, and never overwritten."""
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="damaged"):
        Credentials(path).secret("weather", create=create)
    assert path.read_text() == text


def test_not_a_file(path):
    """What cannot be read or written is reported in one line."""
    path.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Credentials(path).secret("weather")
    blocked = path.parent / "file"
    blocked.touch()
    with pytest.raises(ConfigurationError, match="cannot be"):
        Credentials(blocked / "credentials.json").secret("weather", create=True)
