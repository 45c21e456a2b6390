import json
from pathlib import Path

import pytest

EXCHANGES = sorted((Path(__file__).parents[2] / "data" / "grafana").glob("*.json"))


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
def test_exchange(site, path):
    """Each kind of request that real clients send gets the reply beside it, which they draw."""
    exchange = json.loads(path.read_text(encoding="utf-8"))
    reply = site.client.post(exchange["path"], json=exchange["request"])
    assert reply.status_code == 200
    assert reply.mimetype == "application/json"
    assert reply.json == exchange["reply"]


def test_there_are_exchanges():
    """The golden exchanges are found."""
    assert len(EXCHANGES) > 10
