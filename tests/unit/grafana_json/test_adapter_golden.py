import json
from pathlib import Path

import pytest

from grafana_client import CHECKS

EXCHANGES = sorted((Path(__file__).parents[2] / "data" / "grafana").glob("*.json"))
# What clients were seen to send; each has an exchange of the same name.
SEEN = {
    *("annotation", "explore", "legacy-annotations", "legacy-query-table", "legacy-query", "legacy-search"),
    *("metric-payload-options", "metrics-builder", "metrics", "panel-6h", "panel-multi-value-variable"),
    *("query-5-years", "query-empty-target", "query-no-max-data-points", "query-payload", "query-sub-second"),
    *("tag-keys", "tag-values", "variable-json", "variable"),
}


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
def test_exchange(site, path):
    """Each kind of request that real clients send gets the reply beside it, which they draw."""
    exchange = json.loads(path.read_text(encoding="utf-8"))
    reply = site.post(exchange["path"], json=exchange["request"])
    assert reply.status_code == 200
    assert reply.mimetype == "application/json"
    assert reply.json == exchange["reply"]
    assert isinstance(reply.json, list)
    CHECKS[exchange["path"]](exchange["request"], reply.json)


def test_every_request_that_was_seen_is_tested():
    """There is an exchange for each request that clients were seen to send, and for each endpoint."""
    assert {path.stem for path in EXCHANGES} >= SEEN
    assert {json.loads(path.read_text(encoding="utf-8"))["path"] for path in EXCHANGES} == CHECKS.keys()
