"""The index of housekeeping archives on MariaDB, as the original had it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from sisock.core.errors import ConfigurationError
from sisock.nodes import make_node, options_from_settings
from sisock.nodes.g3.tables import database_url, open_database
from sisock.settings import Settings

from g3_fakes import data, read_frames, session, status, write
from g3_index_suite import *  # noqa: F403 - the tests
from real.mariadb import PASSWORD, USER, Server


@pytest.fixture
def database(mariadb: Server) -> URL:
    return database_url(settings_of(mariadb, mariadb.new_database()))


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


def settings_of(server: Server, database: str, password: str = PASSWORD) -> Settings:
    """The settings that the variables of the original give."""
    return Settings(sql_host=server.host, sql_user=USER, sql_passwd=password, sql_db=database)


def test_the_originals_variables_are_enough_for_a_node(mariadb, tmp_path):
    """With the environment that the original had, a node serves the archive, and finds the index again."""
    write(tmp_path / "1.g3", session(), status("a.b"), data(0, [1000.0], {"x": [1]}))
    settings = settings_of(mariadb, mariadb.new_database()).replace(data_directory=str(tmp_path))
    options = options_from_settings("g3", settings)
    for scans in (True, False):
        node = make_node("g3", options | {"frames": read_frames, **({} if scans else {"scan_interval_s": None})})
        node.poll(1e9)
        assert node.read(["a.b.x"], 1.0, 2000.0).find("a.b.x").values["a.b.x"].tolist() == [1]


def test_a_wrong_password_is_told_without_it(mariadb):
    """One line says that the server refuses the login, and shows no password."""
    url = database_url(settings_of(mariadb, mariadb.new_database(), "another secret"))
    with pytest.raises(ConfigurationError, match="Access denied") as error:
        open_database(url)
    assert "another secret" not in str(error.value)


def test_tables_of_others_are_left_alone(mariadb):
    """The database of the original, with its tables, can hold the index as well."""
    name = mariadb.new_database()
    with mariadb.connect() as connection, connection.cursor() as cursor:
        for table in ("feeds", "fields", "file_info", "description"):
            cursor.execute(f"CREATE TABLE {name}.{table} (id INT PRIMARY KEY)")
            cursor.execute(f"INSERT INTO {name}.{table} VALUES (7)")
        open_database(database_url(settings_of(mariadb, name))).dispose()
        cursor.execute(f"SELECT id FROM {name}.fields")
        assert cursor.fetchall() == ((7,),)
