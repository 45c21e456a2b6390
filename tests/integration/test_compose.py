"""docker-compose.yml: its services, started as it says, and every panel of every dashboard drawn from them."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime

import pytest
from cryptography import x509

from sisock.core.times import parse_iso8601
from sisock.settings import Settings

import dashboards
from dashboards import JSON_PLUGIN
from integration.agents import publishing
from integration.compose import ADDRESS, OWN_IMAGE, ROOT, load_compose, own_services, running
from integration.sites import poll

COMPOSE = load_compose()
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BOARDS = [dashboards.load(path) for path in dashboards.DASHBOARDS]
PANELS = dashboards.panels()
VARIABLES = [(board, one) for board in BOARDS for one in dashboards.variables(board)]
ANNOTATIONS = [(board, one) for board in BOARDS for one in dashboards.annotations(board)]


def test_services_are_those_of_the_whole_system():
    """Router, hub, the data nodes, adapter and Grafana, and nothing else."""
    nodes = {"apex_weather", "host", "ocs_feed", "radiometer", "table", "weather"}
    assert set(COMPOSE["services"]) == {"router", "hub", *nodes, "grafana_json", "grafana"}


GRAFANA_PAGE = (ROOT / "docs" / "grafana.md").read_text(encoding="utf-8")
YEAR = ("2013-01-01T00:00:00Z", "2013-12-31T00:00:00Z")


def _queries_of_the_docs(heading):
    """Return what the first column of a table in docs/grafana.md shows."""
    section = GRAFANA_PAGE.partition(f"{heading}\n")[2].partition("\n## ")[0]
    return [
        query for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for query in re.findall(r"`(.+?)`", row)
    ]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_is_healthy_before_others_start(name):
    """Each service has a health check, waits for healthy ones, and publishes nothing beyond the loopback."""
    service = COMPOSE["services"][name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert all(one["condition"] == "service_healthy" for one in service.get("depends_on", {}).values())
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert name == "router" or service["depends_on"]


def test_environments_are_settings_and_hold_no_secret():
    """Each variable of our services is a setting; secrets come from the volume, Grafana's from the environment."""
    known = {entry.metadata["variable"] for entry in Settings.__dataclass_fields__.values()}
    for service in own_services(COMPOSE).values():
        assert set(service["environment"]) <= known - {"WAMP_SECRET"}
        assert service["environment"]["SISOCK_STATE"] == "/state"
        assert "state:/state" in service["volumes"]
    secret = COMPOSE["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert re.fullmatch(r"\$\{GRAFANA_ADMIN_PASSWORD:\?.*\}", secret)


def test_grafana_is_pinned_and_gets_its_plugins():
    """Grafana and both plugins have versions, and its provisioning cannot be changed from inside."""
    grafana = COMPOSE["services"]["grafana"]
    assert re.fullmatch(r"grafana/grafana:12\.\d+\.\d+", grafana["image"])
    plugins = dict(one.split("@") for one in grafana["environment"]["GF_PLUGINS_PREINSTALL_SYNC"].split(","))
    assert set(plugins) == {one["type"] for one in dashboards.load_datasources()}
    assert all(mount.endswith(":ro") for mount in grafana["volumes"] if mount.startswith("./"))
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "${GRAFANA_ANONYMOUS:-false}"
    assert grafana["environment"]["SISOCK_URL"] == "${SISOCK_URL:-http://grafana_json:5000}"


def test_the_image_is_slim_and_not_root():
    """Bases are pinned, compilers stay in the first stage; entry point, user and state are as services expect."""
    version = re.search(r"^ARG PYTHON=(3\.\d+\.\d+)$", DOCKERFILE, re.MULTILINE)
    assert version
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["python:${PYTHON}-bookworm", "python:${PYTHON}-slim-bookworm"]
    last = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert "\nUSER sisock\n" in last
    assert '\nENTRYPOINT ["sisock"]\n' in last
    assert "SISOCK_STATE=/state" in last
    assert not re.search(r"apt-get|gcc|https?://", last)
    assert {one["image"] for one in own_services(COMPOSE).values()} == {OWN_IMAGE}


def test_the_image_gets_what_is_installed():
    """What .dockerignore lets through is there, and has all packages and what their metadata read."""
    through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in through)
    packages = re.findall(r"^ {4}(\w+)\*$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert set(packages) | {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"} == set(through)


@pytest.mark.parametrize("name", ["apex_weather", "radiometer", "table", "weather"])
def test_the_archive_is_read_once(name):
    """The archives' cache is a volume of its own, whose folder in the image belongs to the image's user."""
    archive = COMPOSE["services"][name]
    assert "cache" in COMPOSE["volumes"]
    assert f"cache:{archive['environment']['SISOCK_CACHE']}" in archive["volumes"]
    (made,) = re.findall(r"install --directory --owner=sisock --mode=0700 (.*)$", DOCKERFILE, re.MULTILINE)
    assert archive["environment"]["SISOCK_CACHE"] in made.split()


def test_the_image_reads_every_format():
    """What the nodes of the image can read needs nothing that is not in it."""
    assert "'/source[parquet]'" in DOCKERFILE
    assert COMPOSE["services"]["table"]["command"][1] == "table"


def test_feeds_survive_a_restart():
    """What agents have published is in a volume of its own, whose folder belongs to the image's user."""
    service = COMPOSE["services"]["ocs_feed"]
    assert "feeds" in COMPOSE["volumes"]
    assert "folder=/feeds" in service["command"]
    assert "feeds:/feeds" in service["volumes"]
    assert re.search(r"--mode=0700 .*/feeds\b", DOCKERFILE)


def test_feeds_are_in_their_volume(machine):
    """Samples that were published are kept in the folder of the volume."""
    assert list((machine.folder / "feeds").rglob("*.journal"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Our services, healthy, with some seconds of data of this machine and of an agent of OCS."""
    folder = tmp_path_factory.mktemp("compose")
    with running(folder) as started, publishing(folder, started.ports[8001], "LSA22YE", ADDRESS):
        wanted = [panel for panel in PANELS if panel.plugin == JSON_PLUGIN]
        live = [panel for panel in wanted if panel.dashboard["time"]["to"] == "now"]
        poll(lambda: all(all(_drawn(started, panel)[0].values()) for panel in live), 20, "live nodes have samples")
        yield started


def _get(machine, path):
    """Return what the adapter answers to a GET."""
    with urllib.request.urlopen(f"{machine.adapter}{path}", timeout=10) as reply:
        return json.load(reply)


def _post(machine, path, body):
    """Return what the adapter answers, asked under the name that Grafana has for it."""
    headers = {"Content-Type": "application/json", "Host": "grafana_json:5000"}
    request = urllib.request.Request(f"{machine.adapter}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def _instant(text):
    """Return the time that a dashboard names, UNIX seconds."""
    match = re.fullmatch(r"now(?:-(\d+)m)?", text)
    return time.time() - 60 * int(match[1] or 0) if match else parse_iso8601(text)


def _span(board):
    """Return the time range with which a dashboard opens, in ISO 8601."""
    ends = [datetime.fromtimestamp(_instant(board["time"][key]), UTC) for key in ("from", "to")]
    return [end.isoformat(timespec="milliseconds").replace("+00:00", "Z") for end in ends]


def _drawn(machine, panel):
    """Return how many values each target of a panel gets, by its refId, and what was wrong."""
    counts = {target["refId"]: 0 for target in panel.targets}
    said = []
    for entry in _post(machine, "/query", dashboards.request_of(panel, *_span(panel.dashboard))):
        frames = [one["values"] for one in entry.get("fields", ())[1:]]
        counts[entry["refId"]] += len(entry.get("datapoints", ())) + sum(map(len, frames))
        said += [notice for notice in entry.get("meta", {}).get("notices", ()) if notice["severity"] == "error"]
    return counts, said


def _annotation_request(query, span):
    """Return what the JSON plugin sends for an annotation."""
    asked = {"refId": "Anno", "target": query, "payload": {}}
    scoped = {"__annotation": {"text": "marks", "value": {"name": "marks", "enable": True, "target": asked}}}
    between = dict(zip(("from", "to"), span, strict=True))
    return {"range": between, "maxDataPoints": 800, "targets": [asked], "scopedVars": scoped}


@pytest.mark.parametrize("panel", [one for one in PANELS if one.plugin == JSON_PLUGIN], ids=str)
def test_every_target_of_every_panel_is_drawn(machine, panel):
    """Each target of a panel gets data, in the time range with which the dashboard opens."""
    counts, errors = _drawn(machine, panel)
    assert all(counts.values()), counts
    assert not errors


@pytest.mark.parametrize("panel", [one for one in PANELS if one.plugin != JSON_PLUGIN], ids=str)
def test_every_panel_of_rows_gets_rows(machine, panel):
    """Each query for rows gets some, with the columns that the panel reads."""
    start, end = _span(panel.dashboard)
    for target in panel.targets:
        path = target["url"].replace("${__timeFrom}", start).replace("${__timeTo}", end)
        reply = _get(machine, path)
        rows = reply if isinstance(reply, list) else [reply]
        assert rows
        assert all({column["selector"] for column in target["columns"]} <= set(row) for row in rows)


@pytest.mark.parametrize(("board", "variable"), VARIABLES, ids=lambda one: one.get("uid") or one["name"])
def test_a_variable_offers_what_it_begins_with(machine, board, variable):
    """The values of a variable come from the adapter, and the first choice is among them."""
    start, end = _span(board)
    body = {"payload": {"target": variable["query"]["query"]}, "range": {"from": start, "to": end}}
    offered = [one["__value"] for one in _post(machine, "/variable", body)]
    pattern = variable["regex"].strip("/")
    found = [re.search(pattern, value)[1] for value in offered] if pattern else offered
    first = variable["current"]["value"]
    assert set([first] if isinstance(first, str) else first) <= set(found)


@pytest.mark.parametrize(("board", "annotation"), ANNOTATIONS, ids=lambda one: one.get("uid") or one["name"])
def test_annotations_are_tables(machine, board, annotation):
    """Each annotation gets a table of times and texts; those of the archive are not empty."""
    text = dashboards.substitute(annotation["target"]["target"], dashboards.chosen(board))
    (table,) = _post(machine, "/query", _annotation_request(text, _span(board)))
    columns = [column["text"] for column in table["columns"]]
    assert {"time", "title", "text"} <= set(columns)
    assert all(len(row) == len(columns) for row in table["rows"])
    assert table["rows"] or board["time"]["to"] == "now"


@pytest.mark.parametrize("query", _queries_of_the_docs("## Variables"))
def test_variables_of_the_docs_have_values(machine, query):
    """Each query for a variable that the docs show is answered with values, by the nodes of the demo."""
    assert _post(
        machine, "/variable", {"payload": {"target": query}, "range": dict(zip(("from", "to"), YEAR, strict=True))}
    )


@pytest.mark.parametrize("query", _queries_of_the_docs("## Annotations"))
def test_annotations_of_the_docs_are_tables(machine, query):
    """Each query for annotations that the docs show is answered with a table that complains of nothing."""
    (table,) = _post(machine, "/query", _annotation_request(query, YEAR))
    assert "meta" not in table


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(/rows\?[^`]+)`", GRAFANA_PAGE))))
def test_rows_of_the_docs_are_rows(machine, path):
    """Each address of rows that the docs show gives rows."""
    start, end = (str(int(1e3 * (time.time() + shift))) for shift in (-60, 0))
    filled = path.replace("${__timeFrom}", start).replace("${__timeTo}", end)
    with urllib.request.urlopen(f"{machine.adapter}{filled}", timeout=10) as reply:
        assert b"host::cpu.percent" in reply.read()


def test_the_archive_is_in_the_cache(machine):
    """What the nodes have read of their files is in the volume."""
    sources = {json.loads(path.read_text())["source"] for path in (machine.folder / "cache").rglob("meta.json")}
    data, archive = "sisock/data", "examples/archive"
    patterns = (f"{data}/weather/*.dat", f"{data}/table/*.csv", f"{archive}/targets/*.dat", f"{archive}/PWV/*.txt")
    assert sources >= {str(path) for pattern in patterns for path in ROOT.glob(pattern)}


def test_the_certificate_names_the_router(machine):
    """The certificate that the services share is valid for the name under which they reach the router."""
    pem = (machine.folder / "state" / "server_cert.pem").read_bytes()
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "router" in names.get_values_for_type(x509.DNSName)
