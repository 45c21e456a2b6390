import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grafana_json import adapter
from grafana_json.http.app import LARGEST_BODY_BYTES, create_app
from grafana_json.http.metrics import ENDPOINTS
from grafana_json.targets import match
from sisock.settings import Settings
from sisock.testing import FakeNode, Site

RANGE = {"from": "2026-11-21T23:39:47.030Z", "to": "2026-11-22T05:39:47.030Z"}


def body(*targets, **changes):
    named = [{"target": target, "refId": chr(65 + number)} for number, target in enumerate(targets)]
    return {"range": RANGE, "maxDataPoints": 600, "targets": named, **changes}


def notices(entry):
    return " ".join(notice["text"] for notice in entry.get("meta", {}).get("notices", []))


def test_grafana_tests_the_address(site):
    """'Save & test' gets 200 and a line of text."""
    reply = site.get("/", headers={"Accept": "application/json, text/plain, */*"})
    assert reply.status_code == 200
    assert reply.text == "sisock: 2 data nodes, 4 fields\n"


def test_every_endpoint_is_counted_by_its_name():
    """Requests to each path that the application answers have a line of their own among the metrics."""
    app = create_app(Settings(), None, None)
    paths = {rule.rule.strip("/") for rule in app.url_map.iter_rules() if rule.endpoint != "static"}
    assert paths - {""} == ENDPOINTS


def test_a_browser_gets_a_status_page(site):
    """A browser sees nodes, their fields with units, and what is wrong."""
    site.hub.add(FakeNode("broken", {"x": ([], [])}, error="lens cap on"))
    page = site.get("/", headers={"Accept": "text/html,*/*;q=0.8"}).text
    for shown in ("weather", "weather::temperature", "degC", "lens cap on", "a node for tests"):
        assert shown in page


def test_names_on_the_page_are_only_text(site):
    """Whatever names a node chooses, nothing of them becomes part of the page."""
    evil = "<script>alert(1)</script>'\"&{{7*7}}"
    site.hub.add(FakeNode("evil", {evil: ([1.0], [1.0])}, units={evil: evil}, description=evil))
    reply = site.get("/", headers={"Accept": "text/html"})
    assert "<script" not in reply.text
    assert "{{7*7}}" in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


def test_the_page_without_a_router(site):
    """While the router is away, the page says so and since when, and the address still answers 200."""
    site.gateway.disconnected()
    reply = site.get("/", headers={"Accept": "text/html"})
    assert reply.status_code == 200
    assert "the router is not connected since 2026-11-22T05:39:47.030Z" in reply.text


def test_search_needs_no_body(site):
    """A search without a body, and one by GET for people, lists all targets."""
    assert site.post("/search").json == site.get("/search").json
    assert "weather::sky" in site.get("/search").json


@pytest.mark.parametrize("path", ["/query", "/query/", "/search", "/search/", "/"])
def test_no_redirects(site, path):
    """The same view answers with and without a slash at the end: a redirect breaks Grafana's clients."""
    reply = site.get(path) if path == "/" else site.post(path, json=body("weather::temperature"))
    assert reply.status_code == 200


BROKEN = [
    ("/query", b"", 400),
    ("/query", b"{", 400),
    ("/query", b"null", 400),
    ("/query", b"[]", 400),
    ("/query", b"NaN", 400),
    ("/query", b"[" * 200_000, 400),
    ("/query", b'{"a":' * 5_000, 400),
    ("/query", b"\xff\xfe\x00", 400),
    ("/query", b'{"targets": "\\ud800"}', 400),
    ("/query", b"9" * 5_000, 400),
    ("/query", b"x" * (LARGEST_BODY_BYTES + 1), 413),
    ("/query", body(range=None), 400),
    ("/query", body(range={"from": "yesterday", "to": "today"}), 400),
    ("/query", body(range={"from": RANGE["to"], "to": RANGE["from"]}), 400),
    ("/query", body(range={"from": "+275760-09-13T00:00:00.000Z", "to": RANGE["to"]}), 400),
    ("/query", body(range={"from": 1e308, "to": 1.1e308}), 400),
    ("/query", body(targets=None), 400),
    ("/query", body(targets=[None]), 400),
    ("/query", body(targets=[[]]), 400),
    ("/query", body(*["weather::sky"] * 10_000), 400),
    ("/search", b"{", 400),
    ("/search", b"x" * (LARGEST_BODY_BYTES + 1), 413),
    ("/nowhere", b"{}", 404),
    ("/query/more", b"{}", 404),
    ("/", b"{}", 405),
]


@pytest.mark.parametrize(("path", "sent", "status"), BROKEN)
def test_broken_requests_are_refused_readably(site, path, sent, status):
    """What can't be understood gets a 4xx whose message Grafana shows; never a 500 and never a redirect."""
    reply = site.post(path, body=sent if isinstance(sent, bytes) else json.dumps(sent))
    assert reply.status_code == status
    assert reply.json["message"] == reply.json["error"]["message"]
    assert reply.json["message"]
    assert len(reply.json["message"]) < 400


ODD = [
    body(),
    body(""),
    body(None),
    body(5),
    body({"a": 1}),
    body("("),
    body("x" * 100_000),
    body("weather::\x00"),
    body("weather::temperature", maxDataPoints=float("1e300")),
    body("weather::temperature", maxDataPoints=-7),
    body("weather::temperature", maxDataPoints=0),
    body("weather::temperature", maxDataPoints=1),
    body("weather::temperature", maxDataPoints="many"),
    body("weather::temperature", maxDataPoints=10**30),
    body("weather::temperature", maxDataPoints=[1]),
    body("weather::temperature", intervalMs="x", scopedVars=[], filters={"a": []}),
    body("weather::temperature", range={"from": RANGE["to"], "to": RANGE["to"]}),
    body("weather::temperature", range={"from": "1800-01-01T00:00:00Z", "to": "1900-01-01T00:00:00Z"}),
    body("weather::temperature", range={"from": "1800-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}),
    body("weather::temperature", range={"from": 0, "to": 1795325987030}),
    body(targets=[{}]),
    body(targets=[{"target": "weather::sky", "refId": ["A"], "type": 7, "payload": "x", "hide": "yes"}]),
    body(*["*"] * 200),
]


@pytest.mark.parametrize("sent", ODD)
def test_odd_requests_are_answered(site, sent):
    """What is odd but can be understood is answered with a list, and a reason where nothing is drawn."""
    reply = site.post("/query", body=json.dumps(sent))
    assert reply.status_code == 200
    assert isinstance(reply.json, list)
    assert b"NaN" not in reply.data
    for entry in reply.json:
        assert entry.get("datapoints") is not None or entry.get("fields") or notices(entry)


def test_any_content_type(site):
    """The body counts, not what the client says it is."""
    reply = site.post("/query", body=json.dumps(body("weather::temperature")), headers={"Content-Type": "text/plain"})
    assert reply.json[0]["datapoints"]


@pytest.mark.parametrize(
    ("path", "method"),
    [("/search", "POST"), ("/metrics", "POST"), ("/rows?metric=dense::x&from=now-6h&max_points=50000", "GET")],
)
def test_long_replies_are_compressed(site, path, method):
    """Lists and rows are compressed too, for clients on other machines that ask for it."""
    site.hub.add(FakeNode("many", {f"field {number}": ([site.clock() - 5], [1.0]) for number in range(1000)}))
    times = site.clock() - np.arange(900.0, 0.0, -1.0)
    site.hub.add(FakeNode("dense", {"x": (times, times)}))
    accepting = {"Accept-Encoding": "gzip"}
    plain = site.request(method, path, headers=accepting)
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    reply = site.request(method, path, headers=accepting, address="192.0.2.7")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert int(reply.headers["Content-Length"]) == len(reply.data)
    assert gzip.decompress(reply.data) == plain.data


def test_a_new_field_is_found(site):
    """A target that isn't known yet makes the nodes be asked again, so a new field is drawn at once."""
    site.clock.advance(10)
    site.hub.nodes["host"] = FakeNode("host", {"load": ([1795325000.0], [1.0])})
    reply = site.post("/query", json=body("host::load"))
    assert reply.json[0]["datapoints"] == [[1.0, 1795325000000.0]]


def test_one_hung_node_of_three(site):
    """The answer comes at the deadline with two series and one notice."""
    site.hub.add(FakeNode("host", {"load": ([1795325000.0], [1.0])}, interval_s=600.0))
    site.hub.nodes["cryo"].behaviour.hang = True
    targets = ["weather::temperature", "cryo::temp.stage 4K", "host::load"]
    begun = site.clock()
    reply = site.post("/query", json=body(*targets)).json
    assert site.clock() - begun == 2.0
    assert [bool(entry["datapoints"]) for entry in reply] == [True, False, True]
    assert "node 'cryo' did not answer within 2 s" in notices(reply[1])
    assert not notices(reply[0]) + notices(reply[2])


def test_a_node_that_keeps_hanging_costs_no_time(site):
    """After two misses panels don't wait for a node any more."""
    site.hub.nodes["cryo"].behaviour.hang = True
    for _ in range(2):
        site.post("/query", json=body("cryo::temp.stage 4K"))
    begun = site.clock()
    reply = site.post("/query", json=body("cryo::temp.stage 4K")).json
    assert site.clock() == begun
    assert "the first time at" in notices(reply[0])


def test_a_node_that_never_told_its_fields(site):
    """A target of a node whose fields could not be asked says what is wrong with the node."""
    site.hub.add(FakeNode("host", {"load": ([1.0], [1.0])}, error="no such disk"))
    assert "no such disk" in notices(site.post("/query", json=body("host::load")).json[0])


def test_without_a_router(site):
    """While the router is away each target says so, and no request fails."""
    site.gateway.disconnected()
    reply = site.post("/query", json=body("weather::temperature", "host::load"))
    assert reply.status_code == 200
    assert all("the router is not connected since" in notices(entry) for entry in reply.json)


def test_a_warning_for_many_series(site):
    """A target that matches too many series draws the first hundred with a warning."""
    site.hub.add(FakeNode("many", {f"f{number:03}": ([1795325000.0], [1.0]) for number in range(150)}))
    reply = site.post("/query", json=body("many::*")).json
    assert len(reply) == 100
    assert "150 series match" in notices(reply[0])


def test_too_many_series(site):
    """A request whose targets match more than a thousand series is refused with that number."""
    for letter in "abcdefghijk":
        site.hub.add(FakeNode(letter, {f"f{number}": ([1.0], [1.0]) for number in range(100)}))
    reply = site.post("/query", json=body(*[f"{letter}::*" for letter in "abcdefghijk"]))
    assert reply.status_code == 400
    assert "1100 series" in reply.json["message"]


@settings(max_examples=60, deadline=None)
@given(
    length_s=st.floats(0, 40_000),
    back_s=st.floats(-100, 30_000),
    points=st.one_of(st.none(), st.integers(-2, 60_000), st.floats(allow_nan=False, allow_infinity=False)),
    kind=st.sampled_from([None, "timeserie", "table"]),
)
def test_never_more_points_than_the_panel_is_wide(crowded, length_s, back_s, points, kind):
    """Whatever the span and the width, no reply has more points than maxDataPoints, or 1000 without it."""
    now_ms = 1795325987030.0
    end_ms = now_ms - back_s * 1e3
    targets = [{"target": "busy::*", "refId": "A"} | ({"type": kind} if kind else {})]
    sent = {"range": {"from": end_ms - length_s * 1e3, "to": end_ms}, "targets": targets}
    reply = crowded.post("/query", json=sent | ({} if points is None else {"maxDataPoints": points}))
    assert reply.status_code == 200
    most = 1000 if points is None else min(max(int(points), 1), 50_000)
    assert len(reply.json) == 3
    for entry in reply.json:
        drawn = entry.get("datapoints", entry.get("rows"))
        drawn = entry["fields"][0]["values"] if drawn is None else drawn
        assert len(drawn) <= most


@pytest.fixture(scope="module")
def crowded():
    """Return an adapter with one dense node, with gaps in its data."""
    now = 1795325987.03
    times = np.sort(now - np.concatenate([np.arange(0, 9000, 0.25), np.arange(12_000, 30_000, 0.5)]))
    states = (times // 7) % 2 == 0
    series = {"x": (times, np.sin(times)), "on": (times, states), "word": (times, states.astype(str).astype(object))}
    return Site(FakeNode("busy", series), now=now)


@pytest.mark.parametrize("path", ["/metrics", "/metric-payload-options", "/variable", "/tag-keys", "/tag-values"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_lists_are_answered_with_and_without_a_slash(site, path, slash):
    """Each list of the JSON plugin is an array, whatever the body, and OPTIONS is answered."""
    assert isinstance(site.post(path + slash).json, list)
    assert isinstance(site.post(path + slash, json=[1]).json, list)
    assert site.request("OPTIONS", path + slash).status_code == 200


def test_a_list_in_the_payload(site):
    """The targets of a payload are drawn in place of the query's text, in their order, with the units it sets."""
    metrics = ["cryo::temp.stage 4K", "weather::temperature", "weather::nothing"]
    sent = body()
    sent["targets"] = [{"target": "x", "refId": "A", "payload": {"metrics": metrics, "units": "K"}}]
    reply = site.post("/query", json=sent).json
    assert [entry["title"] for entry in reply] == metrics[:2]
    assert [entry["unit"] for entry in reply] == ["kelvin", "kelvin"]
    assert "'weather::nothing' is not served" in notices(reply[0])


def test_targets_of_one_request_are_drawn_in_different_ways(site):
    """Each target has its own reducer, and the same series may come under two."""
    times = [1795325000.0 + number for number in range(900)]
    site.hub.add(FakeNode("fast", {"x": (times, [number % 100 for number in range(900)])}))
    sent = body("fast::x", maxDataPoints=20)
    sent["targets"].append({"target": "fast::x", "refId": "B", "payload": {"reduce": "first", "notices": True}})
    drawn = site.post("/query", json=sent).json
    assert drawn[0]["datapoints"] != drawn[1]["datapoints"]
    assert "buckets (first)" in notices(drawn[1])
    assert "buckets" not in notices(drawn[0])


def test_a_band(site):
    """The mean stands between the least and the greatest of each bucket, at the same times, each within the bound."""
    times = [1795325000.0 + number for number in range(900)]
    site.hub.add(FakeNode("fast", {"x": (times, [number % 7 for number in range(900)])}))
    target = {"target": "fast::x", "refId": "A", "payload": {"reduce": "band", "alias": "{field}", "notices": True}}
    span = {"from": 1795325000000, "to": 1795325900000}
    low, middle, high = site.post("/query", json=body(targets=[target], maxDataPoints=30, range=span)).json
    assert [entry["title"] for entry in (low, middle, high)] == ["x min", "x", "x max"]
    assert all("buckets (band)" in notices(entry) for entry in (low, middle, high))
    rows = [[point[1] for point in entry["datapoints"]] for entry in (low, middle, high)]
    assert rows[0] == rows[1] == rows[2]
    assert 10 < len(rows[0]) <= 30
    levels = [[point[0] for point in entry["datapoints"]] for entry in (low, middle, high)]
    assert all(least <= mean <= greatest for least, mean, greatest in zip(*levels, strict=True))
    assert low["datapoints"][0][0] < middle["datapoints"][0][0] < high["datapoints"][0][0]


def test_a_band_of_states_and_of_nothing(site):
    """States have one series whatever the reducer, and so has what did not come; what is wrong is said once."""
    site.hub.add(FakeNode("host", {"load": ([1795325000.0], [1.0])}))
    site.hub.nodes["cryo"].behaviour.hang = True
    names = ["weather::sky", "weather::raining", "cryo::temp.stage 4K", "weather::nope"]
    targets = [
        {"target": name, "refId": chr(65 + number), "payload": {"reduce": "band"}} for number, name in enumerate(names)
    ]
    sky, raining, cryo, nope = site.post("/query", json=body(targets=targets)).json
    assert sky["fields"][1]["values"] == ["clear", "overcast", "clear"]
    assert raining["fields"][1]["values"] == [False, True, False]
    assert "did not answer" in notices(cryo)
    assert "not served" in notices(nope)


def test_a_band_as_rows(site):
    """Rows of a band have a name for each of its parts."""
    reply = site.get("/rows?metric=weather::temperature&from=now-6h&reduce=band")
    ends = {row["metric"] for row in reply.json}
    assert ends == {"weather::temperature min", "weather::temperature", "weather::temperature max"}


def test_a_warning_of_a_band_is_given_once(site):
    """What is to be said of a field is said with the mean only."""
    stopped = [1795325000.0 + number for number in range(300)]
    site.hub.add(FakeNode("fast", {"x": (stopped, [1.0] * 300)}, interval_s=1.0))
    target = {"target": "fast::x", "refId": "A", "payload": {"reduce": "band"}}
    said = [notices(entry) for entry in site.post("/query", json=body(targets=[target])).json]
    assert "has stopped" in said[1]
    assert said[0] == said[2] == ""


def test_a_line_is_connected_on_demand(site):
    """A gap is broken by null, unless the author wants it connected."""
    times = [1795325000.0 + number for number in (*range(100), *range(500, 600))]
    site.hub.add(FakeNode("gappy", {"x": (times, [1.0] * 200)}))
    sent = body("gappy::x", maxDataPoints=50_000)
    sent["targets"].append({"target": "gappy::x", "refId": "B", "payload": {"gaps": "connect"}})
    broken, connected = site.post("/query", json=sent).json
    assert sum(value is None for value, _ in broken["datapoints"]) == 1
    assert all(value is not None for value, _ in connected["datapoints"])


def test_a_spliced_target(site):
    """One quantity of two nodes is one series with the target's text as its legend."""
    site.hub.add(FakeNode("archive", {"t": ([1795320000.0, 1795321000.0], [1.0, 2.0])}, interval_s=1000))
    site.hub.add(FakeNode("live", {"t": ([1795321000.0, 1795322000.0], [3.0, 4.0])}, interval_s=1000))
    (drawn,) = site.post("/query", json=body("archive+live::t")).json
    assert drawn["title"] == "archive+live::t"
    assert [value for value, _ in drawn["datapoints"]] == [1.0, 3.0, 4.0]


def test_a_panel_with_only_bad_targets_says_why(site):
    """Where nothing can be drawn each target says why, and the request is answered."""
    reply = site.post("/query", json=body("weather::nope", "nowhere::x"))
    assert reply.status_code == 200
    assert all(entry["meta"]["notices"][0]["severity"] == "error" for entry in reply.json)


def test_a_table_says_what_it_is_drawn_from(site):
    """A table of decimated samples says its buckets, for nobody sees that in numbers."""
    times = [1795325000.0 + number for number in range(900)]
    site.hub.add(FakeNode("fast", {"x": (times, [1.0] * 900)}))
    sent = body(maxDataPoints=22, targets=[{"target": "fast::x", "refId": "A", "type": "table"}])
    assert "min buckets (minmax)" in notices(site.post("/query", json=sent).json[0])


def test_many_different_texts_are_refused(site):
    """A request may have so many different names and patterns, and no more."""
    targets = [
        {"target": "", "refId": "A", "payload": {"metrics": [f"{target}-{number}.*" for number in range(100)]}}
        for target in range(20)
    ]
    reply = site.post("/query", json=body(targets=targets))
    assert reply.status_code == 400
    assert "different targets" in reply.json["message"]


def test_rows(site):
    """Rows are of the window only, sorted, in JSON and in CSV."""
    window = "from=2026-11-21T23:39:47.030Z&to=now"
    rows = site.get(f"/rows?metric=weather::temperature,raining&{window}").json
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert {row["metric"] for row in rows} == {"weather::temperature", "weather::raining"}
    reply = site.get(f"/rows/?metric=weather::temperature&format=csv&max_points=$__interval_ms&{window}")
    assert reply.mimetype == "text/csv"
    assert reply.text.splitlines()[:2] == ["time,metric,value", "1795307987030,weather::temperature,4.5"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("", 400, "say what you want"),
        ("metric=nowhere::x", 400, "'nowhere::x' is not served"),
        ("metric=weather::temprature", 400, "did you mean"),
        ("metric=weather::sky&from=x", 400, "is no time"),
        ("metric=cryo::temp.stage 4K", 503, "did not answer"),
        ("metric=%FF%FE", 400, "is no series"),
    ],
)
def test_rows_that_cannot_be_had(site, arguments, status, said):
    """What cannot be had is an error with a message, for an alert must not take it for silence."""
    site.hub.nodes["cryo"].behaviour.hang = True
    reply = site.get(f"/rows?{arguments}")
    assert reply.status_code == status
    assert said in reply.json["message"]


def test_rows_of_which_some_are_missing(site):
    """What came is sent, and a header says what did not."""
    site.hub.nodes["cryo"].behaviour.hang = True
    reply = site.get("/rows?metric=.*&metric=nowhere::x&from=now-6h")
    assert reply.status_code == 200
    assert len(reply.json) == 9
    assert "'nowhere::x' is not served" in reply.headers["X-Sisock-Notices"]
    assert "'cryo' did not answer" in reply.headers["X-Sisock-Notices"]


def test_health(site):
    """All is well as long as router and hub answer; otherwise the reason is told, with 503."""
    assert site.get("/health").json == {"status": "ok", "nodes": 2, "fields": 4}
    site.gateway.disconnected()
    reply = site.get("/health/")
    assert reply.status_code == 503
    assert "the router is not connected" in reply.json["reason"]


def test_health_without_a_hub(site):
    """A hub that does not answer is told too, though nodes are still known."""
    site.clock.advance(10)
    site.hub.behaviour.hang = True
    site.get("/health")
    reply = site.get("/health")
    assert reply.status_code == 503
    assert "the hub did not answer" in reply.json["reason"]


def test_metrics_for_prometheus(site):
    """The age of each node's newest sample is found out when it is asked for."""
    site.hub.add(FakeNode("host", {"load": ([1795325900.0], [1.0])}))
    site.hub.subtract("host")
    reply = site.get("/metrics")
    assert reply.mimetype == "text/plain"
    assert 'sisock_node_newest_sample_age_seconds{node="weather"} 3600' in reply.text
    assert 'sisock_node_online{node="host"} 0' in reply.text
    assert "sisock_connected 1" in reply.text


def test_a_panel_of_a_node_that_left(site):
    """What a panel names of a node that left is drawn as far as it is kept, with the reason; lists have it no more."""
    wanted = {"refId": "A", "target": "weather::temperature", "payload": {}}
    sent = body(range=RANGE, targets=[wanted])
    (before,) = site.post("/query", json=sent).json
    site.hub.subtract("weather")
    (after,) = site.post("/query", json=sent).json
    assert after["datapoints"] == before["datapoints"] != []
    (notice,) = after["meta"]["notices"]
    assert notice["severity"] == "error"
    assert notice["text"].startswith("data node 'weather' is not online since")
    assert not [name for name in site.post("/search", json={"target": "weather"}).json if "weather::" in name]
    (unknown,) = site.post("/query", json=body(range=RANGE, targets=[wanted | {"target": "weather::no"}])).json
    assert "datapoints" not in unknown or not unknown["datapoints"]


def test_annotations_of_a_node_that_hangs(site):
    """What cannot be asked is told: in the table's notice, and as an error to the legacy plugin."""
    site.hub.nodes["weather"].behaviour.hang = True
    anno = {"scopedVars": {"__annotation": {}}, "targets": [{"refId": "Anno", "target": "weather::raining"}]}
    (table,) = site.post("/query", json=body(**anno)).json
    assert "did not answer" in notices(table)
    reply = site.post("/annotations", json={"range": RANGE, "annotation": {"query": "weather::raining"}})
    assert reply.status_code == 400
    assert "did not answer" in reply.json["message"]


@pytest.mark.parametrize("query", ["", None, 5, "nodes", "changes weather::temperature"])
def test_annotations_of_nothing(site, query):
    """An annotation whose query is empty, or that nothing happened for, has no entries or only true ones."""
    reply = site.post("/annotations/", json={"range": RANGE, "annotation": {"query": query}})
    assert reply.status_code == (400 if query == 5 else 200)


def test_nodes_as_annotations(site):
    """The absence of a node is a region, for both plugins."""
    site.hub.subtract("cryo")
    site.clock.advance(60)
    site.hub.add(FakeNode("cryo", {"x": ([1.0], [1.0])}))
    soon = {"from": RANGE["from"], "to": "2026-11-22T06:39:47.030Z"}
    (away,) = site.post("/annotations", json={"range": soon, "annotation": {"query": "nodes"}}).json
    assert away["title"] == "cryo was away"
    assert away["timeEnd"] - away["time"] == 60_000
    sent = body(range=soon, targets=[{"refId": "Anno", "target": "nodes cryo", "payload": {}}])
    assert len(site.post("/query", json=sent).json[0]["rows"]) == 1


def test_a_pattern_is_matched_once(site, monkeypatch):
    """As long as the nodes and their fields stay, a pattern is matched once, and again when something is new."""
    matched = []
    monkeypatch.setattr("grafana_json.resolve.match", lambda text, names: matched.append(text) or match(text, names))
    for _ in range(3):
        assert len(site.post("/query", json=body("weather::*", "cryo::temp.stage 4K")).json) == 4
    assert matched == ["weather::*", "cryo::temp.stage 4K"]
    site.hub.add(FakeNode("weather2", {"x": ([1.0], [1.0])}))
    assert len(site.post("/query", json=body("weather.*")).json) == 4
    assert len(site.post("/query", json=body("weather::*", "weather.*")).json) == 7
    assert matched[2:] == ["weather.*", "weather::*"]


def test_what_texts_mean_is_kept_within_bounds(site):
    """However many texts are asked for, few of them are kept, and no long ones."""
    for number in range(30):
        site.post("/query", json=body(*[f"weather::.*|{number}-{one}" for one in range(100)]))
    site.post("/query", json=body("weather::.*|" + "x" * 5000))
    known = site._server._root.query._adapter._resolver._known_texts.among(site.gateway.snapshot().targets)
    assert 0 < len(known) <= 1000
    assert max(map(len, known)) < 1000


def test_a_very_long_reply_is_the_same(crowded, monkeypatch):
    """A reply that is made in a thread, one series after the other, is the same as one that is made at once."""
    sent = body("busy::*", "nowhere::x", maxDataPoints=2000)
    at_once = crowded.post("/query", json=sent)
    monkeypatch.setattr(adapter, "MOST_POINTS_AT_ONCE", 100)
    assert crowded.post("/query", json=sent).data == at_once.data
    assert len(at_once.json) == 4


def test_a_series_that_is_asked_for_many_times_counts_each_time(crowded, monkeypatch):
    """Repeating a target does not get round the bound of a reply, and the reason is readable."""
    monkeypatch.setattr(adapter, "MOST_POINTS_IN_A_REPLY", 2500)
    span = {"from": "2026-11-22T03:39:47.030Z", "to": "2026-11-22T05:39:47.030Z"}
    sent = {"range": span, "maxDataPoints": 1000, "targets": [{"target": "busy::x", "refId": "A"}]}
    assert crowded.post("/query", json=sent).status_code == 200
    reply = crowded.post("/query", json=sent | {"targets": sent["targets"] * 10})
    assert reply.status_code == 400
    assert "ask for fewer series" in reply.json["message"]
