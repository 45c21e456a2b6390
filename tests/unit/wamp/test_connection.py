"""Which name and secret a program logs in with."""

from __future__ import annotations

import pytest

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings
from sisock.wamp.connection import find_login, raise_transport_limits
from sisock.wamp.credentials import CONSUMER, HUB, Credentials


def test_program_beside_the_router_uses_the_secret_that_is_kept_there(tmp_path):
    """With the router's state directory at hand, nothing needs to be configured."""
    name, secret = find_login(Settings(state=tmp_path), "roof")
    assert name == "roof"
    assert secret == Credentials(tmp_path / "credentials.json").secret("roof")


def test_program_elsewhere_uses_the_secret_of_its_environment(tmp_path):
    """On another machine there is no state directory, and none is made."""
    settings = Settings(state=tmp_path / "none", wamp_secret="s")
    assert find_login(settings, "roof") == ("roof", "s")
    assert not settings.state.exists()


def test_shared_secret_does_not_keep_programs_beside_the_router_out(tmp_path):
    """A secret for the shared user, in the environment of a whole site, is not used under other names."""
    assert find_login(Settings(state=tmp_path, wamp_secret="shared"), "roof")[1] != "shared"


def test_name_in_the_settings_wins(tmp_path):
    """WAMP_USER and WAMP_SECRET together are used as they are."""
    assert find_login(Settings(state=tmp_path, wamp_user="u", wamp_secret="s"), "roof") == ("u", "s")


def test_hub_keeps_its_name(tmp_path):
    """What the environment names is the login of data node servers and consumers; the hub has its own."""
    settings = Settings(state=tmp_path, wamp_user="server", wamp_secret="s")
    assert find_login(settings, HUB) == (HUB, Credentials(tmp_path / "credentials.json").secret(HUB))
    assert find_login(settings.replace(state=tmp_path / "none"), HUB) == (HUB, "s")


def test_consumer_elsewhere_logs_in_as_the_environment_says(tmp_path):
    """Away from a router of ours, WAMP_USER and WAMP_SECRET are a consumer's login, as a router of 2019 wants it."""
    settings = Settings(state=tmp_path, wamp_user="server", wamp_secret="s")
    assert find_login(settings, CONSUMER) == ("server", "s")
    assert find_login(settings.replace(state=tmp_path / "none"), CONSUMER) == ("server", "s")
    assert find_login(settings.replace(wamp_user="", state=tmp_path / "none"), CONSUMER) == (CONSUMER, "s")


def test_consumer_beside_a_router_of_ours_has_a_name_that_it_knows(tmp_path):
    """A data node's login in the environment of everybody does not keep consumers out; one of their own is used."""
    credentials = Credentials(tmp_path / "credentials.json")
    credentials.secret(HUB, create=True)
    settings = Settings(state=tmp_path, wamp_user="lab", wamp_secret="s")
    assert find_login(settings, CONSUMER) == (CONSUMER, credentials.secret(CONSUMER))
    secret = credentials.consumer_secret("lab", create=True)
    assert find_login(settings, CONSUMER) == ("lab", "s")
    assert find_login(settings.replace(wamp_secret=""), CONSUMER) == ("lab", secret)


def test_damaged_credentials_don_t_matter_where_a_secret_is_given(tmp_path):
    """A state directory that cannot be used is passed over when the environment has a secret."""
    (tmp_path / "credentials.json").write_text("{")
    assert find_login(Settings(state=tmp_path, wamp_secret="s"), "roof") == ("roof", "s")
    assert find_login(Settings(state=tmp_path, wamp_user="lab", wamp_secret="s"), CONSUMER) == (CONSUMER, "s")
    with pytest.raises(ConfigurationError, match="damaged"):
        find_login(Settings(state=tmp_path), "roof")


def test_program_without_a_secret_is_told_what_to_set(tmp_path):
    """Without any secret the error names both ways to get one."""
    with pytest.raises(ConfigurationError, match=r"WAMP_SECRET, or SISOCK_STATE"):
        find_login(Settings(state=tmp_path / "none"), "roof")


def test_limits_of_a_transport_are_raised_and_never_lowered():
    """A websocket that takes 1 MiB takes 64 MiB afterwards; one without a limit stays without."""

    class Transport:
        maxFramePayloadSize = 2**20
        maxMessagePayloadSize = 0

    transport = Transport()
    raise_transport_limits(transport)
    raise_transport_limits(object())
    assert (transport.maxFramePayloadSize, transport.maxMessagePayloadSize) == (64 * 2**20, 0)
