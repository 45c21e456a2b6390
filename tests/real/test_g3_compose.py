"""The services of docker-compose.yml for housekeeping archives, and their dashboard, with files that OCS wrote."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import dashboards
from integration.compose import OWN_IMAGE, Machine, running
from integration.sites import poll
from real.g3_archives import DAY, MINUTE, write_days

IMAGES = (OWN_IMAGE, "sisock-g3")
BOARD = next(one for one in map(dashboards.load, dashboards.DASHBOARDS) if one["uid"] == "sisock-g3")
PANELS = [panel for panel in dashboards.panels() if panel.dashboard["uid"] == BOARD["uid"]]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """All services of ours, with an archive that ends now in place of the volume."""
    folder = tmp_path_factory.mktemp("compose")
    write_days(folder / "housekeeping", 0.5, time.time() // MINUTE * MINUTE - DAY / 2)
    with running(folder, IMAGES) as machine:
        poll(lambda: post(machine, "/search", {"target": "g3_reader::"}), 20, "the archive is served")
        yield machine


def post(machine: Machine, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json", "Host": "grafana_json:5000"}
    request = urllib.request.Request(f"{machine.adapter}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def span() -> list[str]:
    """The time range with which the dashboard opens, in ISO 8601."""
    minutes = int(re.fullmatch(r"now-(\d+)m", BOARD["time"]["from"])[1])
    ends = [datetime.fromtimestamp(time.time() - ago, UTC) for ago in (60 * minutes, 0)]
    return [end.isoformat(timespec="milliseconds").replace("+00:00", "Z") for end in ends]


def errors(reply: Any) -> list[Any]:
    return [said for said in reply.get("meta", {}).get("notices", ()) if said["severity"] == "error"]


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_every_panel_is_drawn(machine, panel):
    """Each target gets data and no error, in the time range with which the dashboard opens."""
    replies = post(machine, "/query", dashboards.request_of(panel, *span()))
    assert {one["refId"] for one in replies} == {target["refId"] for target in panel.targets}
    assert any(one.get("datapoints") or any(frame["values"] for frame in one.get("fields", ())) for one in replies)
    assert not any(errors(one) for one in replies)


@pytest.mark.parametrize("variable", dashboards.variables(BOARD), ids=lambda one: one["name"])
def test_a_variable_offers_what_it_begins_with(machine, variable):
    """The values of a variable come from the archive, and the first choice is among them."""
    start, end = span()
    body = {"payload": {"target": variable["query"]["query"]}, "range": {"from": start, "to": end}}
    offered = [one["__value"] for one in post(machine, "/variable", body)]
    pattern = variable["regex"].strip("/")
    found = [re.search(pattern, value)[1] for value in offered] if pattern else offered
    first = variable["current"]["value"]
    assert set([first] if isinstance(first, str) else first) <= set(found)


def test_the_index_is_in_the_volume(machine):
    """Scanner and node share the index in the cache volume, and the node leaves scanning to the scanner."""
    assert (machine.folder / "cache" / "g3-index.sqlite").is_file()
    assert "files indexed" in machine.output("g3_scanner")
    assert "indexed" not in machine.output("g3")
