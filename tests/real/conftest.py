"""These tests need what 'make test-real' installs: OCS, so3g, MariaDB, code of Grafana; 'make test' does without."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

HAS_ALL = all(find_spec(name) for name in ("so3g", "ocs", "pymysql"))
HAS_GRAFANA = (Path(__file__).parents[2] / "build" / "grafana" / "installed").exists()
FOR_GRAFANA = {"test_grafana.py", "grafana_code.py"}
MODULES = {path.name for path in Path(__file__).parent.glob("*.py")}
collect_ignore = [name for name in MODULES if not (HAS_GRAFANA if name in FOR_GRAFANA else HAS_ALL)]


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
