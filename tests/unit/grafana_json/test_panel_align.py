"""Series that are put together, as Grafana's requests ask for them, and what is missing of them."""

import json

import numpy as np
import pytest

from grafana_json.resolve import members
from sisock.testing import FakeNode

NOW = 1795325987.03
TIMES = np.arange(NOW - 7200, NOW)


@pytest.fixture
def power(site):
    """Two nodes a part of a second from one another, and a slow one."""
    site.hub.add(FakeNode("left", {"power": (TIMES, 100 + np.sin(TIMES / 60)), "on": (TIMES, TIMES % 60 < 30)}))
    site.hub.add(FakeNode("right", {"power": (TIMES + 0.37, 40 + np.cos(TIMES / 60))}))
    site.hub.add(FakeNode("slow", {"power": (TIMES[::20], np.full(360, 7.0))}, interval_s=20.0))
    return site


def query(site, *targets, start=NOW - 3600, end=NOW, **changes):
    named = [
        {"target": target, "refId": chr(65 + number), "payload": payload}
        for number, (target, payload) in enumerate(targets)
    ]
    sent = {"range": {"from": start * 1e3, "to": end * 1e3}, "maxDataPoints": 500, "targets": named, **changes}
    reply = site.post("/query", json=sent)
    assert reply.status_code == 200, reply.text
    return reply.json


def times_of(entry):
    if "datapoints" in entry:
        return [time for _, time in entry["datapoints"]]
    return entry["fields"][0]["values"]


def notices(entry):
    return " ".join(notice["text"] for notice in entry.get("meta", {}).get("notices", []))


@pytest.mark.parametrize("points", [1, 5, 60, 500, 5000])
@pytest.mark.parametrize("length", [60, 600, 3600])
def test_all_targets_have_the_same_times(power, length, points):
    """Whatever nodes, reducers and zoom: all series of a request have the same times, and none has too many."""
    targets = [("left::power", {"align": "true"}), ("right::power", {"align": True, "reduce": "minmax"})]
    targets += [("slow::power", {"align": "true", "reduce": "last"}), ("left::on", {"align": "true"})]
    targets += [("left::power", {"reduce": "sum"}), ("left::power", {"align": "1", "reduce": "m4"})]
    drawn = query(power, *targets, start=NOW - length, maxDataPoints=points)
    assert len(drawn) == 1 + 2 + 1 + 1 + 1 + 4
    assert all(times_of(entry) == times_of(drawn[0]) for entry in drawn)
    assert 1 <= len(times_of(drawn[0])) <= points


def test_rows_are_whole(power):
    """No cell is shorter than the slowest series' interval, so that each row has all values, also at the ends."""
    targets = [(f"{node}::power", {"align": "true", "reduce": "max"}) for node in ("left", "right", "slow")]
    for shift in np.arange(0, 41, 1.7):
        drawn = query(power, *targets, start=NOW - 600 - shift, end=NOW - shift)
        values = [[value for value, _ in entry["datapoints"]] for entry in drawn]
        assert len(values[0]) >= 20
        assert not any(None in column for column in values)


def test_a_dead_series_does_not_shorten_the_others(power):
    """A series that stopped long ago has nulls; others are drawn to the end."""
    power.hub.add(FakeNode("dead", {"power": (TIMES[:6000], np.ones(6000))}))
    left, dead = query(power, ("left::power", {"align": "true"}), ("dead::power", {"align": "true"}))
    assert left["datapoints"][-1][0] is not None
    assert left["datapoints"][-1][1] > (NOW - 16) * 1e3
    assert dead["datapoints"][-1] == [None, left["datapoints"][-1][1]]


def test_what_is_drawn_without_a_reducer(power):
    """Without a reducer the mean is drawn on a grid, and what is said of buckets says what keeps peaks."""
    plain, mean = query(
        power, ("left::power", {"align": "true", "notices": "true"}), ("left::power", {"reduce": "mean"})
    )
    assert plain["datapoints"] == mean["datapoints"]
    assert "buckets (mean; max keeps peaks)" in notices(plain)
    low, high = query(power, ("left::power", {"align": "true", "reduce": "minmax", "notices": "true", "alias": "p"}))
    assert (low["title"], high["title"]) == ("p min", "p max")
    assert "(minmax)" in notices(high)
    titles = [
        entry["title"] for entry in query(power, ("left::power", {"align": "true", "reduce": "m4", "alias": "p"}))
    ]
    assert titles == ["p first", "p min", "p max", "p last"]


def test_every(power):
    """The length of cells may be chosen; it puts series on the grid, and a wrong one is said on its target."""
    hours, minutes, wrong = query(
        power,
        ("left::power", {"every": "1h", "reduce": "count"}),
        ("left::power", {"every": "1m"}),
        ("left::power", {"every": "soon", "zone": "Mars"}),
        start=NOW - 7200,
    )
    inner = hours["datapoints"][1:-1]
    assert [value for value, _ in inner] == [3600.0] * len(inner)
    assert all(time % 3_600_000 == 0 for _, time in inner)
    assert len(minutes["datapoints"]) == 121
    assert "'every': 'soon' is no duration" in notices(wrong)
    assert "'zone': 'Mars' is no time zone" in notices(wrong)
    assert len(wrong["datapoints"]) > 500 / 2


def test_days_are_those_of_the_dashboard(power):
    """Days are of the payload's time zone, else of the dashboard's, else of UTC."""
    day, start = 86400, NOW - 5 * 86400
    for zone, changes, payload in (
        (5.5 * 3600, {"timezone": "Asia/Kolkata"}, {}),
        (5.5 * 3600, {"timezone": "utc"}, {"zone": "Asia/Kolkata"}),
        (0, {"timezone": "utc"}, {}),
        (0, {"timezone": "browser"}, {}),
        (0, {"timezone": 5}, {}),
    ):
        target = ("left::power", {"every": "1d"} | payload)
        (drawn,) = query(power, target, start=start, **changes)
        assert all((time / 1e3 + zone) % day == 0 for _, time in drawn["datapoints"][1:])
        assert len(drawn["datapoints"]) == 6


def test_too_many_cells_are_told(power):
    """Where there are more cells than points, a multiple is drawn, and a notice says so."""
    (drawn,) = query(power, ("left::power", {"every": "1m"}), maxDataPoints=20)
    assert "4 times 1m are drawn as one" in notices(drawn)
    reply = power.get("/rows?metric=left::power&from=now-1h&every=1m&max_points=20")
    assert "4 times 1m are drawn as one" in reply.headers["X-Sisock-Notices"]


def test_a_minimum_interval(power):
    """An interval longer than Grafana's rounding was set by somebody, and is that of the cells."""
    (minutes,) = query(power, ("left::power", {"reduce": "count"}), maxDataPoints=1000, intervalMs=60000)
    assert all(time % 60000 == 0 for _, time in minutes["datapoints"][1:])
    scope = {"__interval_ms": {"text": "60000", "value": 60000}}
    (chosen,) = query(power, ("left::power", {}), maxDataPoints=1000, intervalMs=60000, scopedVars=scope)
    (unset,) = query(power, ("left::power", {}), maxDataPoints=1000, intervalMs=5000, scopedVars=scope)
    assert 50 < len(chosen["datapoints"]) <= 65
    assert len(unset["datapoints"]) > 500
    (nonsense,) = query(power, ("left::power", {}), maxDataPoints=None, intervalMs=31536000000)
    assert len(nonsense["datapoints"]) > 500


def wide(rows):
    """Long rows as Infinity makes them wide: null where a series has no row."""
    names, times = dict.fromkeys(row["metric"] for row in rows), sorted({row["time"] for row in rows})
    cells = {(row["time"], row["metric"]): row["value"] for row in rows}
    return {name: [cells.get((time, name)) for time in times] for name in names}


@pytest.mark.parametrize(
    "more", ["", "&max_points=60", "&max_points=3", "&max_points=1", "&reduce=minmax", "&reduce=mean"]
)
def test_rows_of_several_series_are_wide(power, more):
    """Rows of several series are on one grid unless that is not wanted: a wide table of them has no nulls."""
    text = f"/rows?metric=left::power&metric=(right|slow)::power&from={(NOW - 600) * 1e3}&to=now{more}"
    table = wide(power.get(text).json)
    assert len(table) == (6 if "minmax" in more else 3)
    assert all(None not in column for column in table.values())
    apart = wide(power.get(text + "&align=false").json)
    assert any(None in column for column in apart.values()) or "mean" in more


def test_rows_of_one_series_are_its_samples(power):
    """One series has rows at the times of its samples; it may be put on the grid."""
    rows = power.get("/rows?metric=left::power&from=now-10m").json
    assert all(round(row["time"] / 1e3 - 0.03, 3) % 1 == 0 for row in rows)
    aligned = power.get("/rows?metric=left::power&from=now-10m&align=true").json
    assert all(row["time"] % 1250 == 0 for row in aligned[1:])
    assert power.get("/rows?metric=left::power&align=perhaps").status_code == 400
    assert power.get("/rows?metric=left::power&every=x").status_code == 400
    assert power.get("/rows?metric=left::power&every=1d&zone=x").status_code == 400


STRICT = [
    ("metric=left::power&metric=right::power", 200, ""),
    ("metric=(left|right)::power", 200, ""),
    ("metric=.*::power", 200, ""),
    ("metric=left::power&metric=gone::power", 503, "gone"),
    ("metric=(left|gone)::power", 503, "gone::power"),
    ("metric={left::power,gone::power}", 503, "gone::power"),
    ("metric=left::power,gone::power", 503, "gone::power"),
    ("metric=left::power&metric=left::powr", 400, "did you mean"),
    ("metric=left::(power|powr)", 400, "left::powr"),
    ("metric=left::power,on,powr", 400, "left::powr"),
    ("metric=left::power&metric=hung::x", 503, "did not answer"),
    ("metric=left::power&metric=broken::x", 503, "lens cap"),
    ("metric=left::power&metric=left%2Bgone::power", 503, "gone"),
    ("metric=many::.*", 400, "150 series match"),
    ("metric=left::power&from=now-100d&to=now-99d", 200, ""),
]


@pytest.mark.parametrize(("arguments", "status", "said"), STRICT)
def test_what_is_missing_is_an_error_on_demand(power, arguments, status, said):
    """With strict=true whatever is missing is an error that says what: 503 for a node, 400 for a wrong question."""
    power.hub.add(FakeNode("hung", {"x": (TIMES, TIMES)}))
    power.hub.add(FakeNode("broken", {"x": (TIMES, TIMES)}))
    power.hub.add(FakeNode("many", {f"x{number}": (TIMES[:2], [1.0, 2.0]) for number in range(150)}))
    power.hub.nodes["hung"].behaviour.hang = True
    power.hub.nodes["broken"].behaviour.error = "lens cap on"
    reply = power.get(f"/rows?{arguments}&strict=true")
    assert (reply.status_code, reply.mimetype) == (status, "application/json")
    assert said in reply.text
    assert power.get(f"/rows?{arguments}").status_code == 200 or "&metric" not in arguments
    assert isinstance(json.loads(reply.text), list if status == 200 else dict)


def test_a_dead_node_hides_no_day_of_another(site):
    """Of whole days, that of the present is drawn though one of the nodes ended the day before."""
    day = NOW // 86400 * 86400
    times = np.arange(day - 3 * 86400, NOW, 600.0)
    for name, some in (("living", times), ("ended", times[times < day - 3600])):
        site.hub.add(FakeNode(name, {"x": (some, some)}, interval_s=600.0))
    payload = {"reduce": "count", "every": "1d"}
    living, ended = query(site, ("living::x", payload), ("ended::x", payload), start=day - 2 * 86400)
    assert [value for value, _ in living["datapoints"]] == [144, 144, np.count_nonzero(times >= day)]
    assert [value for value, _ in ended["datapoints"]] == [144, 138, None]


@pytest.mark.parametrize("interval_ms", [20_000, 25_000, 37_000])
def test_a_minimum_interval_is_the_length_of_cells(power, interval_ms):
    """Cells are as long as the panel's minimum interval, though that is no step of ours, where there is room."""
    cells = times_of(query(power, ("left::power", {"align": True}), intervalMs=interval_ms)[0])
    assert set(np.diff(cells[1:]).tolist()) == {interval_ms}
    slow = times_of(query(power, ("slow::power", {"align": True}), intervalMs=19_000)[0])
    assert np.diff(slow[1:]).min() > 20_000
    slow = times_of(query(power, ("slow::power", {"align": True}), intervalMs=20_000)[0])
    assert set(np.diff(slow[1:]).tolist()) == {20_000}


def test_a_node_that_left_is_missing(power):
    """A node that has just left is missing, though what is kept of it could be drawn."""
    text = "/rows?metric=left::power&metric=right::power&from=now-10m"
    assert power.get(text + "&strict=true").status_code == 200
    power.hub.subtract("right")
    assert power.get(text).status_code == 200
    reply = power.get(text + "&strict=true")
    assert reply.status_code == 503
    assert "right" in reply.json["message"]
    for listed in ("(left|right)::power", "{left,right}::power", "left::power,right::power"):
        reply = power.get(f"/rows?metric={listed}&from=now-10m&strict=true")
        assert (reply.status_code, "right::power" in reply.text) == (503, True)
    power.gateway.disconnected()
    assert power.get("/rows?metric=left::power&strict=true").status_code == 503


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("a::x", ["a::x"]),
        ("a::(x|y)", ["a::x", "a::y"]),
        (r"(a::x\.y|b::y\|z)", [r"a::x\.y", r"b::y\|z"]),
        ("{a::x,b::y}", ["a::x", "b::y"]),
        ("a::x, b::y,z", ["a::x", "b::y", "a::z"]),
        ("(a|b)::(x|y)", ["a::(x|y)", "b::(x|y)", "(a|b)::x", "(a|b)::y"]),
        (r"a::\(x\|y\)", [r"a::\(x\|y\)"]),
        ("a::(x|y)+", ["a::(x|y)+"]),
    ],
)
def test_members_of_lists(text, listed):
    """What must mean something of a list is each member, in each format of a variable of several values."""
    assert list(members(text)) == listed


def test_a_name_that_looks_like_a_list(power):
    """A field whose name looks like a list is that field."""
    power.hub.add(FakeNode("odd", {"f(x|y),{z}": (TIMES, TIMES)}))
    assert power.get("/rows?metric=odd::f(x|y),{z}&strict=true").status_code == 200


def test_the_builder_offers_the_grid(power):
    """The builder has the grid as a choice, whose words say what it draws and what keeps peaks, and its length."""
    offered = {one["name"]: one for one in power.post("/metrics", json={}).json[0]["payloads"]}
    assert [one["value"] for one in offered["align"]["options"]] == ["false", "true"]
    assert "max keeps peaks" in offered["align"]["options"][1]["label"]
    assert offered["every"]["type"] == "input"
