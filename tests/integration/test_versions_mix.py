"""Programs are never updated together: those of the previous version and the present ones serve one another."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sisock.settings import variables

from integration.sites import RunningSite, clean_environment, poll, running_site

DATA = Path(__file__).parent.parent / "data"
LASTING = ("credentials.json", "server_cert.pem", "server_key.pem")
T0 = 1_500_000_000.0
ROWS = 20_000
HOLE = range(8000, 8600)
SPIKES = {3456: 99.0, 12_345: -77.0}
END = T0 + ROWS
SERVER = f"""
import math
import sisock

class Wave(sisock.base.DataNodeServer):
    name = "wave"
    description = "a server of a user, with one field, once a second"

    def get_fields(self, start, end):
        return {{"load": {{"description": None, "timeline": "t", "type": "number", "units": "V"}}}}, {{
            "t": {{"interval": 1.0, "field": ["load"]}}
        }}

    def get_data(self, field, start, end, min_stride=None):
        first, last = max(math.ceil(start), {T0:.0f}), min(end, {END})
        times = [float(t) for t in range(first, math.ceil(last))]
        return {{
            "data": {{"load": [math.sin(t / 100.0) for t in times]}},
            "timeline": {{"t": {{"t": times, "finalized_until": None}}}},
        }}
"""


def load(n: int) -> float:
    return SPIKES.get(n, n % 100 / 10.0)


def mode(n: int) -> str:
    return "idle" if n // 700 % 2 else "busy"


def table() -> str:
    """Return a table with a number, a text that changes now and then, and a bool; with a hole and two spikes."""
    rows = (f"{T0 + n:.0f},{load(n)},{mode(n)},{n // 1100 % 2 == 0}" for n in range(ROWS) if n not in HOLE)
    return "\n".join(["time,load,mode,open", *rows]) + "\n"


@dataclasses.dataclass
class Mixed:
    """A router and a hub of one version, and nodes and an adapter of each; their names end in the version."""

    adapters: dict[str, RunningSite]

    def query(self, adapter: str, text: str, start: float, end: float, points: int, **payload: Any) -> Any:
        span = {"from": iso(start), "to": iso(end)}
        asked = [{"refId": chr(65 + n), "target": one, "payload": payload} for n, one in enumerate(text.split("; "))]
        return self.adapters[adapter].post("/query", {"range": span, "maxDataPoints": points, "targets": asked})

    def annotations(self, adapter: str, text: str) -> Any:
        target = {"refId": "Anno", "target": text}
        body = {"range": {"from": iso(T0), "to": iso(END)}, "targets": [target], "scopedVars": {"__annotation": {}}}
        return self.adapters[adapter].post("/query", body)


def iso(t: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t))}.000Z"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The folder of the site with the router, where a version finds the state that the one before has left."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def states() -> list[dict[str, bytes]]:
    """What was in the state folder after each start."""
    return []


@pytest.fixture(scope="module", params=["old", "new"])
def mixed(request, versions, place, states, tmp_path_factory) -> Iterator[Mixed]:
    """A site of one version, to which nodes and an adapter of the other are added."""
    first, second = request.param, {"old": "new", "new": "old"}[request.param]
    folders = {first: place, second: tmp_path_factory.mktemp(second)}
    documents = {version: document(folder, version) for version, folder in folders.items()}
    with running_site(folders[first], documents[first], PYTHONPATH=versions[first]) as site:
        shared = {name: site.settings[name] for name in ("tls_port", "ocs_port")}
        joining = {"settings": shared | {"state": str(site.folder / ".crossbar")}, "router": False, "hub": False}
        with running_site(folders[second], documents[second] | joining, PYTHONPATH=versions[second]) as other:
            adapters = {first: site, second: other}
            everyone = {f"{name}_{version}" for name in ("host", "weather", "table", "wave") for version in adapters}
            for adapter in adapters.values():
                poll(lambda adapter=adapter: adapter.nodes() == everyone, 20, "every node is listed everywhere")
            states.append({name: (site.folder / ".crossbar" / name).read_bytes() for name in LASTING})
            yield Mixed(adapters)


def document(folder: Path, version: str) -> dict[str, Any]:
    (folder / "wave.py").write_text(SERVER)
    (folder / "table.csv").write_text(table())
    nodes = {
        "host": {"kind": "host"},
        "weather": {"kind": "weather", "folder": str(DATA / "apex"), "cache": None},
        "table": {"kind": "table", "path": "table.csv", "cache": None},
        "wave": {"file": "wave.py"},
    }
    return {"nodes": {f"{name}_{version}": node for name, node in nodes.items()}}


def points(entry: dict[str, Any]) -> list[tuple[float, Any]]:
    """Return what is drawn of a series or a frame, without the breaks: UNIX seconds and values."""
    if "datapoints" in entry:
        found = [(time_ms / 1e3, value) for value, time_ms in entry["datapoints"]]
    else:
        times, values = (field["values"] for field in entry["fields"])
        found = [(time_ms / 1e3, value) for time_ms, value in zip(times, values, strict=True)]
    return [(t, value) for t, value in found if value is not None]


def picture(reply: Any) -> Any:
    """Return a reply without notices, none of which is an error, and without the version in names."""
    for entry in reply:
        assert [one for one in notices(entry) if one["severity"] == "error"] == []
    plain = [{key: value for key, value in entry.items() if key != "meta"} for entry in reply]
    return json.loads(json.dumps(plain).replace("_old", "").replace("_new", ""))


def notices(entry: dict[str, Any]) -> list[dict[str, str]]:
    return entry.get("meta", {}).get("notices", [])


def check_alike(old: Any, new: Any) -> None:
    """Demand the same pictures, to the last bit."""
    assert json.dumps(picture(old)) == json.dumps(picture(new))


WINDOWS = [
    (T0, END, 300),
    (T0 + 3000, T0 + 4000, 2000),
    (T0 + 7900.5, T0 + 9000.25, 100),
    (T0 + 500, T0 + 19_000, 3),
]
QUESTIONS = [
    ("table_{}::load", {}),
    ("table_{}::load", {"reduce": "m4"}),
    ("table_{}::load", {"reduce": "mean"}),
    ("table_{}::load", {"reduce": "last"}),
    ("table_{}::load", {"reduce": "band"}),
    ("table_{}::mode; table_{}::open", {}),
    ("wave_{}::load; table_{}::load", {}),
    ("table_{}::load; wave_{}::load", {"align": True}),
    ("table_{}+wave_{}::load", {}),
    ("table_{}::load; wave_{}::load", {"reduce": "count", "every": "10m"}),
    ("table_{}::load", {"reduce": "stddev"}),
]


@pytest.fixture(params=["old", "new"])
def adapter(request) -> str:
    return request.param


@pytest.mark.parametrize(("text", "payload"), QUESTIONS, ids=[f"{one} {options}" for one, options in QUESTIONS])
def test_a_picture_does_not_tell_the_version_of_a_node(mixed, adapter, text, payload):
    """An adapter draws the same of a node of either version, at every zoom, or says what the older one cannot do."""
    for start, end, width in WINDOWS:
        old, new = (
            mixed.query(adapter, text.replace("{}", version), start, end, width, **payload)
            for version in ("old", "new")
        )
        check_alike(old, new)
        assert any(points(entry) for entry in new), (start, end, width)


def test_adapters_draw_the_same_samples(mixed):
    """Where there is room, adapters of both versions draw each sample of nodes of both, numbers as well as states."""
    start, end, width = WINDOWS[1]
    wanted = {
        "load": [(T0 + n, load(n)) for n in range(3000, 4000)],
        "mode": [(T0 + n, mode(n)) for n in range(3000, 4000)],
    }
    for node in ("old", "new"):
        for field, samples in wanted.items():
            for adapter in mixed.adapters:
                (drawn,) = mixed.query(adapter, f"table_{node}::{field}", start, end, width)
                assert points(drawn) == samples


def test_adapters_lose_no_extreme(mixed):
    """Over the whole table, on few pixels, each adapter draws samples only, with both spikes and the newest."""
    for node in ("old", "new"):
        for adapter in mixed.adapters:
            (drawn,) = mixed.query(adapter, f"table_{node}::load", T0, END, 300)
            found = points(drawn)
            assert len(found) <= 300
            assert all(value == load(round(t - T0)) for t, value in found)
            assert {round(t - T0) for t, _ in found} >= {*SPIKES, ROWS - 1}


def test_adapters_mark_the_same_spans(mixed):
    """Annotations of a threshold are the same, whoever asks whom."""
    nodes = ("old", "new")
    marked = [mixed.annotations(adapter, f"table_{node}::load > 50") for adapter in mixed.adapters for node in nodes]
    spans = [[row[:2] for row in table["rows"]] for (table,) in marked]
    assert spans[0]
    assert all(one == spans[0] for one in spans)


def test_rows_are_the_same(mixed):
    """Rows of one metric of one node are the same from both adapters; of two, both are in them."""
    for node in ("old", "new"):
        plain = [rows(site, f"metric=table_{node}::load") for site in mixed.adapters.values()]
        assert len(plain[0]) == 200
        assert plain[0] == plain[1]
        for site in mixed.adapters.values():
            both = rows(site, f"metric=table_{node}::load&metric=wave_{node}::load")
            assert {one["metric"] for one in both} == {f"table_{node}::load", f"wave_{node}::load"}


def rows(site: RunningSite, text: str) -> list[dict[str, Any]]:
    return site.get(f"/rows?{text}&from={T0 * 1e3:.0f}&to={(T0 + 200) * 1e3:.0f}&max_points=1000")


def test_live_fields_of_both_are_drawn(mixed):
    """A live field of a node of either version has new samples in both adapters, without an error."""
    for site in mixed.adapters.values():
        for node in ("old", "new"):
            poll(lambda site=site, node=node: drawn_live(site, node), 10, "a live field is drawn")


def drawn_live(site: RunningSite, node: str) -> Any:
    return points(picture(site.live(f"host_{node}::memory.percent"))[0])


def test_the_state_of_the_version_before_is_taken_up(mixed, states):
    """Where the other version has run, its secrets and its certificate stay as they are."""
    assert all(one == states[0] for one in states)


def test_a_consumer_reads_nodes_of_the_other_version(mixed, versions, tmp_path):
    """`sisock get` of either version prints all samples of nodes of both."""
    (site, *_) = mixed.adapters.values()
    for version, path in versions.items():
        for node in ("old", "new"):
            command = [
                "-m",
                "sisock",
                "get",
                f"weather_{node}::made_up_humidity",
                "--start",
                "1",
                "--end",
                "2000000000",
            ]
            result = subprocess.run(
                [sys.executable, *command],
                env=clean_environment() | variables(site.consumer_settings()) | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                cwd=tmp_path,
                check=False,
            )
            assert result.returncode == 0, (version, node, result.stderr)
            assert len(result.stdout.splitlines()) > 60
