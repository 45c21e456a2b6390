"""The table of settings."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings, variables


def test_original_environment_is_understood():
    """The variables of the original's deployments mean what they meant."""
    settings = Settings.from_environment(
        {
            "WAMP_USER": "u",
            "WAMP_SECRET": "s",
            "CROSSBAR_HOST": "router",
            "CROSSBAR_TLS_PORT": "81",
            "CROSSBAR_OCS_PORT": "82",
            "PORT": "83",
            "LOGLEVEL": "debug",
            "PATH": "/bin",
        }
    )
    given = (settings.wamp_user, settings.wamp_secret, settings.host, settings.tls_port, settings.ocs_port)
    assert given == ("u", "s", "router", 81, 82)
    assert (settings.port, settings.loglevel) == (83, "debug")


def test_nothing_listens_beyond_loopback_and_no_secret_has_a_default():
    """Out of the box nothing is reachable from the network, and nobody can log in with a known secret."""
    settings = Settings()
    assert settings.listen == "127.0.0.1"
    assert settings.wamp_secret == ""
    assert not settings.legacy


@pytest.mark.parametrize(
    ("variable", "text"),
    [("PORT", "x"), ("PORT", "-1"), ("PORT", "70000"), ("SISOCK_DEADLINE", "0"), ("SISOCK_LEGACY", "perhaps")],
)
def test_setting_that_cannot_be_understood_is_named(variable, text):
    """A wrong value is an error that names its variable."""
    with pytest.raises(ConfigurationError, match=variable):
        Settings.from_environment({variable: text})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("", False), (" 0 ", False)])
def test_switches_take_the_usual_words(text, value):
    """A switch is on or off in the words that people use."""
    assert Settings.from_environment({"SISOCK_LEGACY": text}).legacy is value


def test_settings_survive_the_way_to_a_child_process():
    """What a parent hands to a child as environment is read as the same settings."""
    settings = Settings(port=1234, legacy=True, state=Path("/tmp/x"), deadline_s=0.5)
    assert Settings.from_environment(variables(settings)) == settings
    assert variables(Settings()) == {}


@pytest.mark.parametrize(
    ("given", "environment", "folder"),
    [
        ("/given", {"XDG_CACHE_HOME": "/user", "HOME": "/home"}, "/given"),
        ("", {"XDG_CACHE_HOME": "/user", "HOME": "/home"}, "/user/sisock"),
        ("", {"XDG_CACHE_HOME": "relative", "HOME": "/home"}, "/home/.cache/sisock"),
        ("", {"HOME": "/home"}, "/home/.cache/sisock"),
    ],
)
def test_the_cache_is_where_it_is_said_or_where_the_user_keeps_caches(monkeypatch, given, environment, folder):
    """The setting wins; unset, the place is the one that the desktop's rules name."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings(cache=given).cache_folder() == Path(folder)


def test_without_a_home_there_is_no_cache(monkeypatch):
    """A user that the machine does not know has no folder for caches, and that is no error."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert Settings().cache_folder() is None


def test_every_setting_has_a_variable_and_a_help_text():
    """The table is complete, and no variable stands for two settings."""
    table = [entry.metadata for entry in dataclasses.fields(Settings)]
    assert all(entry["help"] for entry in table)
    assert len({entry["variable"] for entry in table}) == len(table)
