"""Every setting of every program of sisock: one table with the environment's name, the default and a help text."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sisock.core.errors import ConfigurationError

TRUE_WORDS = {"1", "true", "yes", "on"}
# The last port: most whole numbers are one, and a Count is what may be larger.
LARGEST_WHOLE = 65535
FALSE_WORDS = {"0", "false", "no", "off", ""}


class Count(int):
    """A whole number, as large as one likes."""


def _setting(default: Any, variable: str, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"variable": variable, "help": text})


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of this process; each field's metadata holds its environment variable and its help."""

    host: str = _setting("127.0.0.1", "CROSSBAR_HOST", "host name or address of the router")
    tls_port: int = _setting(8080, "CROSSBAR_TLS_PORT", "the router's port for secure websockets (wss)")
    ocs_port: int = _setting(
        8001, "CROSSBAR_OCS_PORT", "the router's plain port for OCS agents, anonymous; 0 for none"
    )
    realm: str = _setting("test_realm", "SISOCK_REALM", "WAMP realm")
    wamp_user: str = _setting("", "WAMP_USER", "name to log in with; unset: each program logs in under its own")
    wamp_secret: str = _setting("", "WAMP_SECRET", "secret to log in with; unset: taken from the state directory")
    listen: str = _setting(
        "127.0.0.1", "SISOCK_LISTEN", "address that router and adapter listen on; 0.0.0.0 for every network"
    )
    port: int = _setting(5000, "PORT", "port of the Grafana adapter")
    base_path: str = _setting(
        "", "SISOCK_BASE_PATH", "path that the Grafana adapter answers under as well, such as /sisock; unset: only /"
    )
    loglevel: str = _setting("info", "LOGLEVEL", "least severe level that is logged: debug, info, warn, error")
    state: Path = _setting(
        Path(".crossbar"), "SISOCK_STATE", "directory for the router's configuration, secrets and certificate"
    )
    certificate: str = _setting(
        "", "SISOCK_CERTIFICATE", "PEM file with the router's certificate; unset: one is made in the state directory"
    )
    certificate_key: str = _setting(
        "", "SISOCK_CERTIFICATE_KEY", "PEM file with the private key of SISOCK_CERTIFICATE"
    )
    certificate_names: str = _setting(
        "", "SISOCK_CERTIFICATE_NAMES", "further host names, separated by commas, for the certificate that is made"
    )
    legacy: bool = _setting(
        default=False,
        variable="SISOCK_LEGACY",
        text="let servers written for the original API register under the shared user 'server' or anonymously on the "
        "OCS port; whoever reaches the ports can then take over any node's name",
    )
    deadline_s: float = _setting(2.0, "SISOCK_DEADLINE", "seconds that a panel waits for a data node")
    cache_mib: int = _setting(
        256, "SISOCK_CACHE_MB", "most MiB of memory that the Grafana adapter keeps answers in; 0 keeps none"
    )
    cache: str = _setting(
        "", "SISOCK_CACHE", "folder for columns and indexes of archives; unset: sisock in the user's cache folder"
    )

    feed_target: str = _setting(
        "", "TARGET", "instances of the OCS agents that the node ocs_feed listens to, separated by commas; unset: all"
    )
    feed: str = _setting(
        "", "FEED", "feeds of those agents that the node ocs_feed serves, separated by commas; unset: all"
    )
    node_name: str = _setting("", "NAME", "name of the node ocs_feed, where TARGET or FEED is set")
    node_description: str = _setting("", "DESCRIPTION", "description of that node")
    buffer_time_s: float = _setting(7200.0, "BUFFER_TIME", "seconds that the node ocs_feed keeps samples for")
    data_directory: str = _setting("", "DATA_DIRECTORY", "folder of the housekeeping archive (.g3 files)")
    scan_interval_s: float = _setting(
        0.0, "SCAN_INTERVAL", "seconds between scans of the housekeeping archive by 'sisock scan-g3'; unset: one scan"
    )
    g3_index: str = _setting(
        "",
        "SISOCK_G3_INDEX",
        "index of housekeeping archives: an SQLite file, or the URL of a database such as "
        "mariadb://user:password@host/database; unset: SQL_HOST, or else a file in the cache folder",
    )
    sql_host: str = _setting("", "SQL_HOST", "host, or host:port, of the MariaDB or MySQL server with the index")
    sql_user: str = _setting("", "SQL_USER", "user there")
    sql_passwd: str = _setting("", "SQL_PASSWD", "password there")
    sql_db: str = _setting("", "SQL_DB", "database there")
    max_points: Count = _setting(
        Count(0), "MAX_POINTS", "most samples of a field in a reply of the node 'g3' to who asks for all; 0 for all"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; raise ConfigurationError with the variable's name when one cannot be understood."""
        environment = os.environ if environment is None else environment
        given = {}
        for entry in dataclasses.fields(cls):
            text = environment.get(entry.metadata["variable"])
            if text is not None:
                given[entry.name] = parse(entry.metadata["variable"], text, type(entry.default))
        return cls(**given)

    def cache_folder(self) -> Path | None:
        """Return the folder for columns and indexes of archives; None when none is set and the user has no home."""
        if self.cache:
            return Path(self.cache)
        user_cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG specification wants a relative path passed over.
        if user_cache.is_absolute():
            return user_cache / "sisock"
        try:
            return Path.home() / ".cache" / "sisock"
        except RuntimeError:
            return None

    def replace(self, **changes: Any) -> Settings:
        """Return the settings with some of them changed."""
        return dataclasses.replace(self, **changes)


def variables(settings: Settings) -> dict[str, str]:
    """Return the settings that differ from their defaults as environment variables, for a child process."""
    entries = {}
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if value != entry.default:
            entries[entry.metadata["variable"]] = str(value)
    return entries


def parse(variable: str, text: str, kind: Any) -> Any:
    """Turn the text of a setting into the type of its default; ConfigurationError names the variable."""
    text = text.strip()
    if kind is bool:
        if text.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise ConfigurationError(f"{variable} is '{text}', but must be 1 or 0")
        return text.lower() in TRUE_WORDS
    if issubclass(kind, Path):
        return Path(text)
    try:
        value = kind(text)
    except ValueError:
        raise ConfigurationError(f"{variable} is '{text}', but must be a number") from None
    if kind is int and not 0 <= value <= LARGEST_WHOLE:
        raise ConfigurationError(f"{variable} is {text}, but must be between 0 and {LARGEST_WHOLE}")
    if kind is Count and value < 0:
        raise ConfigurationError(f"{variable} is {text}, but must be 0 or more")
    # float() takes "nan" and "inf" too.
    if kind is float and not 0 < value < float("inf"):
        raise ConfigurationError(f"{variable} is {text}, but must be a positive number of seconds")
    return value
