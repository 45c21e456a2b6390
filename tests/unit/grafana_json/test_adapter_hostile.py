import gc
import json
import random
import time

import numpy as np
import psutil
import pytest

from grafana_json.http.app import LARGEST_BODY_BYTES
from sisock.testing import FakeNode

from hostile import DEEP, Wire, make_request, request_bytes

COUNT = 5000
WARM = 500
RANGE = {"from": "2026-11-21T23:39:47.030Z", "to": "2026-11-22T05:39:47.030Z"}


@pytest.fixture
def wire(site):
    """Return the whole site on transports in memory, with nodes of many fields and of many samples besides."""
    times = site.clock() - np.arange(20_000.0, 0.0, -1.0)
    site.hub.add(FakeNode("dense", {"x": (times, np.sin(times)), "on": (times, times % 70 < 9)}))
    site.hub.add(FakeNode("many", {f"f{number}": ([site.clock() - 5], [1.0]) for number in range(300)}))
    return Wire(site)


def check(answer):
    """Check that an answer is none of the forbidden ones, and that an error says something."""
    status, body = answer
    assert status < 300 or 400 <= status < 500 or status == 503
    if status >= 400 and body.startswith(b"{"):
        assert json.loads(body)["message"]


def test_thousands_of_spoiled_requests(wire):
    """Whatever is wrong with a request, it is answered in time, without a 500, without a redirect, without a leak."""
    generator = random.Random(20261122)
    process = psutil.Process()
    before, durations_s, statuses = 0, [], {}
    for number in range(COUNT):
        if number == WARM:
            gc.collect()
            before = process.memory_info().rss
        sent = make_request(generator)
        begun = time.perf_counter()
        answer = wire.exchange(sent)
        durations_s.append(time.perf_counter() - begun)
        assert answer is not None, sent[:300]
        check(answer)
        statuses[answer[0]] = statuses.get(answer[0], 0) + 1
    gc.collect()
    assert sorted(durations_s)[int(COUNT * 0.99)] <= 1.0
    assert process.memory_info().rss <= 1.2 * before
    assert statuses[200] > COUNT / 4
    assert statuses[400] > COUNT / 10


def query(**changes):
    sent = {"range": RANGE, "maxDataPoints": 600, "targets": [{"target": "dense::x", "refId": "A"}], **changes}
    return json.dumps(sent).encode()


TABLE = [
    ("nothing", request_bytes("POST", "/query"), 400),
    ("deep lists", request_bytes("POST", "/query", DEEP[0]), 400),
    ("deep objects", request_bytes("POST", "/variable", DEEP[1]), 400),
    ("deep but closed", request_bytes("POST", "/tag-values", DEEP[2]), 200),
    ("a form", request_bytes("POST", "/query", b"a=b", "application/x-www-form-urlencoded"), 400),
    ("another type", request_bytes("POST", "/query", query(), "image/png"), 200),
    ("chunks", request_bytes("POST", "/query", query(), chunk=3), 200),
    ("a wrong chunk size", request_bytes("POST", "/query", query(), chunk=7).replace(b"\n7\r", b"\nxyz\r", 1), 400),
    ("50 MB", request_bytes("POST", "/query", b"x" * 50_000_000), 413),
    ("50 MB in chunks", request_bytes("POST", "/annotations", b"x" * 50_000_000, chunk=2**20), 413),
    ("just small enough", request_bytes("POST", "/query", b" " * LARGEST_BODY_BYTES), 400),
    ("10,000 targets", request_bytes("POST", "/query", query(targets=[{"target": "dense::x"}] * 10_000)), 400),
    ("NaN", request_bytes("POST", "/query", query(maxDataPoints=float("nan"))), 400),
    ("a huge number", request_bytes("POST", "/query", query(maxDataPoints=10**400)), 400),
    *[
        (f"maxDataPoints {points!r}", request_bytes("POST", "/query", query(maxDataPoints=points)), 200)
        for points in (0, 1, -5, 1e12, "x")
    ],
    ("reversed", request_bytes("POST", "/query", query(range={"from": RANGE["to"], "to": RANGE["from"]})), 400),
    ("empty", request_bytes("POST", "/query", query(range={"from": RANGE["to"], "to": RANGE["to"]})), 200),
    (
        "before 1970",
        request_bytes("POST", "/query", query(range={"from": "1900-01-01T00:00:00Z", "to": "1960-01-01T00:00:00Z"})),
        200,
    ),
    (
        "all time",
        request_bytes("POST", "/query", query(range=RANGE | {"from": "0001-01-01T00:00:00Z"})),
        200,
    ),
    ("a pattern", request_bytes("POST", "/query", query(targets=[{"target": "(a*)*" * 200, "refId": "A"}])), 200),
    ("a repeated pattern", request_bytes("POST", "/query", query(targets=[{"target": "((.{1,999}){1,999})"}])), 200),
    ("annotation of nothing", request_bytes("POST", "/annotations", b"{}"), 400),
    ("rows of nothing", request_bytes("GET", "/rows"), 400),
    ("rows without escapes", request_bytes("GET", "/rows?metric=%ff%00&from=[]"), 400),
    ("no such page", request_bytes("GET", "/lab/sisock/../../etc/passwd"), 404),
    ("two slashes", request_bytes("POST", "//query", query()), 200),
    ("no such method", request_bytes("BREW", "/query", query()), 405),
    ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
]


@pytest.mark.parametrize(("sent", "status"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_broken_request(wire, sent, status):
    """Each kind of broken request has its answer, within a second."""
    begun = time.perf_counter()
    answer = wire.exchange(sent)
    assert answer[0] == status
    check(answer)
    assert time.perf_counter() - begun < 1.0


def test_a_body_that_was_cut_off(wire):
    """A body that never comes whole is waited for, and costs nothing when its client leaves."""
    whole = request_bytes("POST", "/query", query())
    assert wire.exchange(whole[:-5]) is None
    assert wire.exchange(whole)[0] == 200


@pytest.mark.parametrize("prefix", ["", "/lab/sisock"])
@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/rows?metric=dense::x"])
def test_with_and_without_the_base_path(wire, prefix, path):
    """Each page answers at the root and under the base path, and never redirects."""
    assert wire.exchange(request_bytes("GET", prefix + path))[0] == 200


@pytest.mark.parametrize("path", ["/lab/sisock", "/lab/sisock/", ""])
def test_the_address_as_it_was_configured(wire, path):
    """Grafana tests the address exactly as configured, without a slash at its end."""
    assert wire.exchange(request_bytes("GET", path or "/"))[0] == 200
