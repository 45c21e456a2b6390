"""The index of housekeeping archives on SQLite, which needs nothing to be set up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from sisock.core.errors import ConfigurationError
from sisock.nodes.g3.tables import database_url, open_database, parse_url, shown
from sisock.settings import Settings

from g3_index_suite import *  # noqa: F403 - the tests


@pytest.fixture
def database(tmp_path: Path) -> URL:
    return parse_url(str(tmp_path / "new folder" / "index.sqlite"))


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


def test_the_index_is_in_the_cache_folder_unless_said_otherwise():
    """A file in SISOCK_CACHE needs nothing to be set up."""
    assert shown(database_url(Settings(cache="/somewhere"))) == "/somewhere/g3-index.sqlite"
    assert shown(database_url(Settings(g3_index="/else/where.db", sql_host="db"))) == "/else/where.db"


def test_the_originals_variables_name_a_database():
    """SQL_HOST and the others are a MariaDB server, as they were; passwords are shown to nobody."""
    url = database_url(Settings(sql_host="db:3307", sql_user="reader", sql_passwd="p:@/", sql_db="hk"))
    assert (url.host, url.port, url.username, url.password, url.database) == ("db", 3307, "reader", "p:@/", "hk")
    assert shown(url) == "mysql+pymysql://reader:***@db:3307/hk"
    assert database_url(Settings(sql_host="db", sql_db="hk")).port is None


@pytest.mark.parametrize(("given", "driver"), [("mysql", "mysql+pymysql"), ("mariadb+asyncmy", "mariadb+asyncmy")])
def test_a_url_may_do_without_a_driver(given, driver):
    """People write mariadb:// or mysql://; who names a driver gets that."""
    assert parse_url(f"{given}://user:secret@host/hk").drivername == driver


def test_what_is_no_url_is_refused_without_its_password():
    """A mistake in a URL is told by the setting's name."""
    with pytest.raises(ConfigurationError, match="SISOCK_G3_INDEX is no URL") as error:
        parse_url("mariadb://user:secret@host:port/hk")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["sqlite:////proc/no/such/index.sqlite", "foo://user:secret@host/hk"])
def test_a_database_that_cannot_be_used_is_told(url):
    """One line says which, and why, without the password."""
    with pytest.raises(ConfigurationError, match=r"the index '.*' cannot be used: .+") as error:
        open_database(parse_url(url))
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_told(tmp_path):
    """A wrong path to an existing file destroys nothing."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but a text that somebody needs" * 100)
    with pytest.raises(ConfigurationError, match=r"notes\.txt' cannot be used: file is not a database"):
        open_database(parse_url(str(path)))
    assert path.read_text().startswith("not a database")


def test_no_place_for_the_index_is_told(monkeypatch):
    """Without a home and without settings one is asked for a folder."""
    monkeypatch.setattr(Settings, "cache_folder", lambda _: None)
    with pytest.raises(ConfigurationError, match="SISOCK_CACHE"):
        database_url(Settings())
