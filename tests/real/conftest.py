"""These tests need the real OCS, so3g and MariaDB, which 'make test-real' installs; 'make test' does without them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

HAS_ALL = all(find_spec(name) for name in ("so3g", "ocs", "pymysql"))
collect_ignore_glob = [] if HAS_ALL else ["*.py"]


@pytest.fixture(scope="session")
def mariadb() -> Iterator[object]:
    """A MariaDB server of our own for all tests that need one."""
    from real.mariadb import running_server

    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A housekeeping archive of three days."""
    from real.g3_archives import write_days

    folder = tmp_path_factory.mktemp("days")
    write_days(folder)
    return folder
