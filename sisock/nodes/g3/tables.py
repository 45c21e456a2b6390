"""The tables of the index of housekeeping archives, and the database that they are in.

One database may index several archives, and may be shared with tables of others: all names begin with ``sisock_g3_``.
What identifies a row is a digest, because databases differ in which texts they take for the same.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings

KEY_DIGITS = 32
SQLITE_TIMEOUT_S = 60.0
PRIVATE_DATABASE = 0o700
DATABASE_FILE = "g3-index.sqlite"
DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
OPTIONS: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB", "mariadb_charset": "utf8mb4"}
INSTALL_DRIVER = "an index in MariaDB or MySQL needs PyMySQL: pip install 'sisock[mariadb]'"

metadata = MetaData()


def _key() -> Column[str]:
    return Column("key", String(KEY_DIGITS), nullable=False, unique=True)


def _number(name: str) -> Column[int]:
    # SQLite counts up by itself only what it calls INTEGER.
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


# `revision` grows with each change of an archive; whoever counts it up has the archive's lock until its commit.
archive_table = Table(
    "sisock_g3_archives",
    metadata,
    _number("id"),
    _key(),
    Column("name", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    **OPTIONS,
)

# A file that is gone keeps its row, so that others learn of it. It was read up to `place_end`.
file_table = Table(
    "sisock_g3_files",
    metadata,
    _number("id"),
    _key(),
    Column("archive_id", ForeignKey(archive_table.c.id), nullable=False),
    Column("path", Text, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("inode", String(20), nullable=False),
    Column("reader", Integer, nullable=False),
    Column("place_end", BigInteger, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    Column("identity", String(KEY_DIGITS), nullable=False),
    Column("problem", Text),
    Column("gone", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("sisock_g3_changed", "archive_id", "revision"),
    **OPTIONS,
)

# A block of a provider with one set of fields. The last three columns are totals of all its spans.
block_table = Table(
    "sisock_g3_blocks",
    metadata,
    _number("id"),
    _key(),
    Column("archive_id", ForeignKey(archive_table.c.id), nullable=False, index=True),
    Column("provider", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("first", Double, nullable=False),
    Column("last", Double, nullable=False),
    **OPTIONS,
)

field_table = Table(
    "sisock_g3_fields",
    metadata,
    Column("block_id", ForeignKey(block_table.c.id), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("kind", String(8), nullable=False),
    **OPTIONS,
)

# What a file holds of a block: the number of samples, and the earliest and the latest time, UNIX seconds.
span_table = Table(
    "sisock_g3_spans",
    metadata,
    Column("file_id", ForeignKey(file_table.c.id), primary_key=True),
    Column("block_id", ForeignKey(block_table.c.id), primary_key=True),
    Column("samples", BigInteger, nullable=False),
    Column("first", Double, nullable=False),
    Column("last", Double, nullable=False),
    Index("sisock_g3_when", "block_id", "last", "first"),
    **OPTIONS,
)


def database_url(settings: Settings) -> URL:
    """Return where the index is: what ``SISOCK_G3_INDEX`` or ``SQL_HOST`` says, or else a file in the cache folder.

    Raises
    ------
    ConfigurationError
        When there is no cache folder either, or the URL is none.
    """
    if settings.g3_index:
        return parse_url(settings.g3_index)
    if settings.sql_host:
        host, _, port = settings.sql_host.partition(":")
        return URL.create(
            # It speaks with MariaDB as well, and not the other way round.
            DRIVERS["mysql"],
            username=settings.sql_user or None,
            password=settings.sql_passwd or None,
            host=host,
            port=int(port) if port.isdigit() else None,
            database=settings.sql_db,
        )
    folder = settings.cache_folder()
    if folder is None:
        raise ConfigurationError("there is no place for the index: set SISOCK_CACHE to a folder")
    return URL.create("sqlite", database=str(folder / DATABASE_FILE))


def parse_url(text: str) -> URL:
    """Read the URL of a database, or the path of an SQLite file."""
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError("SISOCK_G3_INDEX is no URL: write mariadb://user:password@host/database") from None
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def open_database(url: URL) -> Engine:
    """Connect to a database and make the tables that are missing.

    Raises
    ------
    ConfigurationError
        When it cannot be used; the message has no password.
    """
    try:
        engine = _engine(url)
        # Another process may make them at this moment; then the second attempt finds them.
        with contextlib.suppress(DBAPIError):
            metadata.create_all(engine)
        metadata.create_all(engine)
    except ModuleNotFoundError as error:
        hint = INSTALL_DRIVER if error.name == "pymysql" else f"install {error.name}"
        raise ConfigurationError(f"the index '{shown(url)}' cannot be used: {hint}") from None
    except (SQLAlchemyError, OSError) as error:
        raise ConfigurationError(f"the index '{shown(url)}' cannot be used: {reason(error)}") from None
    return engine


def reason(error: Exception) -> str:
    """Return what a database says, on one line."""
    cause = getattr(error, "orig", None) or error
    # MariaDB's begin with a number.
    _, *texts = cause.args if len(cause.args) > 1 else (None, cause)
    return " ".join(str(texts[0]).split())


def shown(url: URL) -> str:
    """Return a database as people may see it: the file, or the URL without the password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        # Servers close connections that were idle for long, and are restarted.
        return create_engine(url, pool_pre_ping=True, pool_recycle=3600)
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(PRIVATE_DATABASE, parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_TIMEOUT_S})
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # Who reads need not wait for who writes.
    cursor.execute("PRAGMA journal_mode=WAL")
    # Without a wait for the disk at each commit: after a power cut the last ones may be gone, and are scanned again.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
