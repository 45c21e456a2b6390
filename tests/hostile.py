"""Broken and hostile requests: real ones spoiled at random places, sent as bytes through the whole site."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from urllib.parse import quote

EXCHANGES = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "data" / "grafana").glob("*.json"))
]
PATHS = sorted({exchange["path"] for exchange in EXCHANGES} | {"/", "/rows", "/health"})
METHODS = ["POST"] * 60 + ["GET", "GET", "HEAD", "OPTIONS", "PUT", "QUERY"]
SUFFIXES = [""] * 20 + ["/", "/", "//", "/x", "?a=%00&a=%ff"]
TYPES = ["application/json", "text/plain", "multipart/form-data; boundary=x", "", "ü"]
PATTERNS = [
    *("(a*)*b", "(.*)(.*)(.*)(.*)x", "((a{1,100}){1,100}){1,100}", "(" * 500, "[" * 500, "\\", "(?P<x>a)(?P=x)"),
    *("a|" * 5000, ".*", "{" * 200, "weather::{a,b", "::", "+::x", "a+b+c::*", "archive+weather::.*", "\x00"),
    *("x" * 150_000, "#" * 500, "changes", "changes " * 50, "nodes ((", "weather::temperature > 1e400", "a > > 5"),
    *("fields ((((", "units " + "%" * 100, "targets", "*" * 100 + "::" + "*" * 100, "many::*", "many::.*,weather::*"),
    *("<script>alert(1)</script>", "'; DROP TABLE x; --", "../../etc/passwd", "%00", "{{7*7}}", "${jndi:ldap://x}"),
    *("*" * 300, "\ud800", "weather::sky", "weather::raining", "dense::x", "nodes", "changes dense::on"),
]
NUMBERS = [0, 1, -1, -5, 7, 8, 50_000, 10**12, 10**30, 1e308, -1e308, 1e-320, 2**63, 0.5, float("nan"), float("inf")]
TIMES = [
    *("", "yesterday", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"),
    *("2026-11-22T05:39:47.030Z", "1900-01-01T00:00:00Z", "+275760-09-13T00:00:00.000Z", "now-6h", "now", "-60"),
    *("2026-11-22T05:39:47." + "9" * 5000 + "Z", "2026-11-22T05:39:47+99:99", "1795325987030", "-1795325987030"),
    *("2026-02-30T00:00:00Z", "1e999", "0"),
]
ODD = [None, True, False, [], {}, [[]], [None], {"a": {"b": {}}}, "x", "true", ["x"] * 300, {"": ""}, [{}] * 50]
FILTERS = [
    {"key": "node", "operator": operator, "value": value, "values": [value, None, 5]}
    for operator in ("=", "!=", "=~", "!~", "<", ">", "=|", "!=|", "??", None)
    for value in ("weather", "(((", "", 5, None)
]
PAYLOADS = [
    {"reduce": "median", "alias": "{" * 100, "units": ["K"], "metrics": {"a": 1}, "gaps": 5, "notices": []},
    {"metrics": ["weather::sky", ".*", "(", 5]},
    {"metrics": [f"weather::x{number}" for number in range(90)], "reduce": "last", "alias": "{node}{field}{units}"},
    '{"reduce": "first"}',
    {"reduce": "band", "alias": "{field}", "metrics": ["dense::.*", "weather::sky"]},
    "{" * 2000,
]
DEEP = [b"[" * 100_000, b'{"a":' * 5000, b"[" * 900 + b"]" * 900]


class Wire:
    """A site that is sent bytes, and read for three seconds."""

    def __init__(self, site):
        self._site = site

    def exchange(self, data):
        """Send bytes; return the status and the body of the answer, or None while the request is incomplete."""
        answer = self._site.exchange(data, within_s=3.0)
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split(b" ")[1]), body) if answer else None


def request_bytes(method, path, body=b"", content_type="application/json", chunk=0):
    """Return one request as bytes, with its body in chunks where a chunk's size is given."""
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    head += f"Content-Type: {content_type}\r\n" if content_type else ""
    if not chunk:
        return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    parts = [body[first : first + chunk] for first in range(0, len(body), chunk)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def spoiled_value(random):
    """Return a value that hardly any part of a request expects."""
    kinds = (PATTERNS, NUMBERS, TIMES, ODD, FILTERS, PAYLOADS)
    return random.choice(random.choice(kinds))


def spoil(random, value):
    """Replace, remove or repeat one random part of a request."""
    value = deepcopy(value)
    holder, key = None, None
    inner = value
    while isinstance(inner, dict | list) and inner and (holder is None or random.random() < 0.75):
        holder = inner
        key = random.choice(list(inner)) if isinstance(inner, dict) else random.randrange(len(inner))
        inner = holder[key]
    if holder is None:
        return spoiled_value(random)
    choice = random.random()
    if choice < 0.8:
        holder[key] = spoiled_value(random)
    elif isinstance(holder, list):
        holder.extend(deepcopy(holder[key]) for _ in range(random.choice([1, 5, 300])))
    else:
        del holder[key]
    return value


def rows_arguments(random):
    """Return the arguments of a request for rows, most of them odd."""
    choices = {
        "metric": ["weather::temperature", "weather::.*", "dense::*", "a,b", *PATTERNS],
        "from": [*TIMES, "1795300000000"],
        "to": [*TIMES, "1795325987030"],
        "max_points": [*map(str, NUMBERS), "x", "$__interval_ms", ""],
        "reduce": ["last", "minmax", "mean", "band", "median", "", "$x"],
        "format": ["json", "csv", "xml", ""],
    }
    given = [name for name in choices for _ in range(random.choice([0, 1, 1, 1, 2])) if random.random() < 0.8]
    pairs = [(name, random.choice(choices[name])) for name in given]
    return "&".join(f"{name}={quote(text.encode('utf-8', 'replace'))[:4000]}" for name, text in pairs)


def make_request(random):
    """Return one request as bytes."""
    exchange = random.choice(EXCHANGES)
    path = exchange["path"] if random.random() < 0.7 else random.choice(PATHS + ["/rows"] * 10)
    method = random.choice(METHODS)
    if path == "/rows":
        return request_bytes("GET", f"{path}?{rows_arguments(random)}")
    value = exchange["request"]
    for _ in range(random.choice([0, 1, 1, 2, 4])):
        value = spoil(random, value)
    body = json.dumps(value).encode("utf-8", "replace")
    if random.random() < 0.1:
        body = random.choice([body[: random.randrange(len(body) + 1)], bytes(reversed(body)), b"\xff" + body, *DEEP])
    path = random.choice(["", "", "/lab/sisock"]) + path + random.choice(SUFFIXES)
    return request_bytes(method, path, body, random.choice(TYPES), random.choice([0, 0, 1000, 7]))
