"""Site files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from sisock.commands.cli import DEMO
from sisock.commands.site import load_site, parse_site
from sisock.core.errors import ConfigurationError
from sisock.settings import Settings

FOLDER = Path("/site")


def programs(document):
    return {one.name: one for one in parse_site(document, FOLDER, Settings()).programs}


def test_site_without_entries_is_router_hub_and_adapter():
    """An empty file runs what every site needs, in the order in which it should start."""
    assert list(programs({})) == ["router", "hub", "grafana"]


def test_parts_can_be_left_out():
    """Each of router, hub and adapter may run elsewhere."""
    site = parse_site(
        {"router": False, "hub": False, "grafana": False, "nodes": {"h": {"kind": "host"}}}, FOLDER, Settings()
    )
    assert [one.name for one in site.programs] == ["h"]
    assert not site.has_adapter


def test_node_runs_in_the_folder_of_its_site_with_its_options():
    """Paths in a site file are relative to it, and options reach the node with their types."""
    node = programs({"nodes": {"roof": {"kind": "weather", "folder": "archive", "depth": 3}}})["roof"]
    assert node.folder == FOLDER
    command = (sys.executable, "-m", "sisock", "node", "weather", "--name", "roof")
    assert node.arguments == (*command, "--option", "folder=archive", "--option", "depth=3")


@pytest.mark.parametrize(
    "value", [[f"a_field_with_a_long_name_{number}" for number in range(20)], "words " * 40 + "end"]
)
def test_a_long_option_reaches_its_node_whole(value):
    """A list or a text of any length is one argument, and is read as it was written."""
    node = programs({"nodes": {"table": {"kind": "table", "fields": value}}})["table"]
    assert yaml.safe_load(node.arguments[-1].partition("=")[2]) == value


def test_node_may_be_a_file():
    """A data node server of one's own is named by its file."""
    assert "sine.py:Sine" in programs({"nodes": {"sine": {"file": "sine.py:Sine"}}})["sine"].arguments


def test_environment_wins_over_the_file(monkeypatch):
    """A setting in the environment is stronger than the same one in the file, also when it is the default."""
    monkeypatch.setenv("PORT", "9")
    site = parse_site({"settings": {"port": 1, "tls_port": 2}}, FOLDER, Settings(port=9))
    assert (site.settings.port, site.settings.tls_port) == (9, 2)


def test_every_program_gets_the_settings_and_one_state_directory():
    """All processes of a site agree on where the router's state is, whatever folder they run in."""
    for program in programs({"settings": {"port": 77}, "nodes": {"h": {"kind": "host"}}}).values():
        assert program.environment["PORT"] == "77"
        assert Path(program.environment["SISOCK_STATE"]).is_absolute()


def test_programs_of_a_site_log_in_under_their_own_names():
    """A login in the environment is for the router to know, and for servers elsewhere to use."""
    site = parse_site({"nodes": {"h": {"kind": "host"}}}, FOLDER, Settings(wamp_user="server", wamp_secret="s"))
    logins = {one.name: (one.environment["WAMP_USER"], one.environment["WAMP_SECRET"]) for one in site.programs}
    assert logins == {"router": ("server", "s"), "hub": ("", ""), "h": ("", ""), "grafana": ("", "")}


def test_an_archive_and_its_index_are_found_from_every_folder():
    """Paths of a housekeeping archive are absolute for all programs, and the URL of a database is as it was given."""
    for given, expected in (("hk.db", str(Path.cwd() / "hk.db")), ("mariadb://u:p@db/hk", "mariadb://u:p@db/hk")):
        document = {"settings": {"data_directory": "hk", "g3_index": given}}
        for program in parse_site(document, Path("/site"), Settings()).programs:
            assert program.environment["DATA_DIRECTORY"] == str(Path.cwd() / "hk")
            assert program.environment["SISOCK_G3_INDEX"] == expected


def test_certificates_and_cache_are_found_from_every_folder():
    """Files that the settings name are absolute for all programs; those that are unset stay so."""
    files = {"certificate": "site.pem", "certificate_key": "/etc/site.key", "cache": "cache"}
    document = {"settings": files, "nodes": {}}
    for program in programs(document).values():
        assert program.environment["SISOCK_CERTIFICATE"] == str(Path.cwd() / "site.pem")
        assert program.environment["SISOCK_CERTIFICATE_KEY"] == "/etc/site.key"
        assert program.environment["SISOCK_CACHE"] == str(Path.cwd() / "cache")
    assert not any("SISOCK_CERTIFICATE" in one.environment for one in programs({}).values())


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "entries"),
        ({"node": {}}, "unknown entry 'node'"),
        ({"nodes": []}, "'nodes'"),
        ({"nodes": {"a b": {"kind": "host"}}}, "'a b' cannot be"),
        ({"nodes": {5: {"kind": "host"}}}, "'5' cannot be"),
        ({"nodes": {"a": None}}, "'a'"),
        ({"nodes": {"a": {}}}, "needs a 'kind' or a 'file'"),
        ({"settings": {"prot": 1}}, "unknown entry 'prot'"),
        ({"settings": {"port": "x"}}, "port"),
    ],
)
def test_mistakes_are_named(document, text):
    """A wrong entry is an error that names it."""
    with pytest.raises(ConfigurationError, match=text):
        parse_site(document, FOLDER, Settings())


def test_file_that_cannot_be_read_is_named(tmp_path):
    """A missing file, and one that is no YAML, are errors with the file's name."""
    with pytest.raises(ConfigurationError, match=r"nosuch\.yml"):
        load_site(tmp_path / "nosuch.yml", Settings())
    (tmp_path / "bad.yml").write_text("a: [")
    with pytest.raises(ConfigurationError, match=r"bad\.yml is not YAML"):
        load_site(tmp_path / "bad.yml", Settings())


def test_demo_is_a_site():
    """What the demo starts is two data nodes with real data, router, hub and adapter."""
    site = load_site(DEMO, Settings())
    assert [one.name for one in site.programs] == ["router", "hub", "host", "weather", "grafana"]
