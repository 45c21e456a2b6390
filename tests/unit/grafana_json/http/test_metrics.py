import re

from grafana_json.http.metrics import Telemetry, render_metrics
from grafana_json.status import NodeHealth

SAMPLE = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? [-+.0-9e]+')


def test_the_page():
    """Each line is a comment or a sample, nodes that left are offline, and ages are there where they are known."""
    telemetry = Telemetry()
    telemetry.count("query", 200, 0.003)
    telemetry.count("query/", 200, 0.3)
    telemetry.count('evil\n"}', 404, 99.0)
    nodes = [NodeHealth("host", fields=3, newest_age_s=1.5), NodeHealth("gone", online=False)]
    page = render_metrics(*telemetry.taken(), nodes, connected=True)
    lines = page.splitlines()
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)
    for expected in (
        "sisock_connected 1",
        "sisock_nodes_online 1",
        'sisock_node_online{node="gone"} 0',
        'sisock_node_fields{node="host"} 3',
        'sisock_node_newest_sample_age_seconds{node="host"} 1.500000',
        'sisock_requests_total{endpoint="/query",status="200"} 2',
        'sisock_requests_total{endpoint="other",status="404"} 1',
        'sisock_request_duration_seconds_bucket{endpoint="/query",le="0.25"} 1',
        'sisock_request_duration_seconds_bucket{endpoint="/query",le="+Inf"} 2',
        'sisock_request_duration_seconds_count{endpoint="other"} 1',
    ):
        assert expected in lines


def test_each_family_stands_together():
    """The samples of a metric follow its type, once."""
    page = render_metrics({("/", 200): 1}, {}, [NodeHealth("a"), NodeHealth("b")], connected=False)
    types = re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE)
    assert len(types) == len(set(types))
    assert "sisock_connected 0" in page


def test_labels_are_escaped():
    """A name with quotes, backslashes and line ends stays one label."""
    page = render_metrics({}, {}, [NodeHealth('a"\\\n')], connected=True)
    assert 'sisock_node_online{node="a\\"\\\\\\n"} 1' in page
