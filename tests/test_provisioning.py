"""What Grafana is provisioned with: datasources, and dashboards that fit them."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from grafana_json import requests, targets
from grafana_json.options import BAND_PARTS
from sisock.core.times import parse_iso8601

import dashboards
from dashboards import DASHBOARDS, JSON_PLUGIN, ROOT, ROWS_PLUGIN

PANELS = dashboards.panels()
BOARDS = [dashboards.load(path) for path in DASHBOARDS]
DATASOURCES = {one["uid"]: one for one in dashboards.load_datasources()}
KEYS = {"align", "alias", "changes", "every", "gaps", "metrics", "reduce", "units", "zone"}
DRAWN = {"timeseries", "stat", "state-timeline", "table", "bargauge"}


def each_board(test):
    return pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])(test)


def each_panel(test):
    return pytest.mark.parametrize("panel", PANELS, ids=str)(test)


def test_datasources_lead_to_the_adapter():
    """Both plugins have a fixed uid and the adapter's address from the environment; one of them is the default."""
    assert {one["type"] for one in DATASOURCES.values()} == {JSON_PLUGIN, ROWS_PLUGIN}
    assert [one["type"] for one in DATASOURCES.values() if one["isDefault"]] == [JSON_PLUGIN]
    for one in DATASOURCES.values():
        assert (one["access"], one["url"]) == ("proxy", "$SISOCK_URL")
    assert DATASOURCES["sisock-rows"]["jsonData"]["allowedHosts"] == ["$SISOCK_URL"]


def test_the_legacy_datasource_is_a_comment():
    """The plugin that new versions of Grafana no longer have is there for those who need it, as valid YAML."""
    text = (ROOT / "provisioning" / "datasources" / "sisock.yml").read_text()
    comment = text[text.index("# - name") :].splitlines()
    (legacy,) = yaml.safe_load("\n".join(line.strip().removeprefix("# ") for line in comment))
    assert legacy["type"] == "grafana-simple-json-datasource"
    assert set(legacy) == set(DATASOURCES["sisock"])


def test_the_provider_reads_the_folder_that_compose_mounts():
    """The dashboards are looked for where docker-compose.yml puts them."""
    (provider,) = yaml.safe_load((ROOT / "provisioning" / "dashboards" / "provider.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    assert provider["type"] == "file"
    assert provider["options"]["path"] == mounts["./provisioning/dashboards"]
    assert mounts["./provisioning/datasources"] == "/etc/grafana/provisioning/datasources"


def test_uids_are_unique():
    """Links and bookmarks lead to one dashboard each, whatever its title becomes."""
    uids = [board["uid"] for board in BOARDS]
    assert uids
    assert len(set(uids)) == len(uids)
    assert all("sisock" in board["tags"] for board in BOARDS)


@each_board
def test_panels_of_a_dashboard_do_not_overlap(board):
    """Panels have ids of their own, stand inside 24 columns, and each on a place of its own."""
    everything = board["panels"]
    assert len({one["id"] for one in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for one in everything:
        place = one["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not taken & cells, one["title"]
        taken |= cells


@each_board
def test_links_to_dashboards_lead_somewhere(board):
    """A link in a text panel names a dashboard that is provisioned."""
    texts = [one["options"]["content"] for one in board["panels"] if one["type"] == "text"]
    linked = {part.split(")")[0] for text in texts for part in text.split("](/d/")[1:]}
    assert linked <= {one["uid"] for one in BOARDS}


@each_board
def test_a_live_dashboard_refreshes_and_an_archive_stands(board):
    """A window that ends now is drawn again every 5 s; one that ends in the past need not be."""
    if board["time"]["to"] == "now":
        assert board["refresh"] == "5s"
    else:
        assert board["refresh"] == ""
        start, end = (parse_iso8601(board["time"][key]) for key in ("from", "to"))
        assert start < end


@each_panel
def test_a_panel_says_what_it_shows(panel):
    """Each panel is of a kind that current versions have, with a title, a description, and datasources that exist."""
    assert panel.content["type"] in DRAWN
    assert panel.content["title"]
    assert len(panel.content["description"]) > 10
    for source in (panel.content["datasource"], *(target["datasource"] for target in panel.targets)):
        assert DATASOURCES[source["uid"]]["type"] == source["type"]
    refs = [target["refId"] for target in panel.targets]
    assert refs
    assert len(set(refs)) == len(refs)


@each_panel
def test_targets_of_a_panel_are_read(panel):
    """Every target is a text of the grammar, with a payload that is JSON, and every variable in it is defined."""
    if panel.plugin != JSON_PLUGIN:
        return
    request = dashboards.request_of(panel, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
    query = requests.parse_query(json.loads(json.dumps(request)))
    assert len(query.targets) == len(panel.targets)
    for target in request["targets"]:
        assert "$" not in target["target"]
        assert set(target["payload"]) <= KEYS
        assert isinstance(targets.match(target["target"], {}), str)


JOINED = [panel for panel in PANELS if panel.puts_series_together]
# What Grafana calculates from the points that are drawn, and what of it is true with a reducer.
NEWEST = {"last", "lastNotNull"}
TRUE_CALCULATIONS = {
    "minmax": {"min", "max"} | NEWEST,
    "last": NEWEST,
    "max": {"max"} | NEWEST,
    "mean": {"mean"},
    "band": {"min", "mean", "max"},
}


@pytest.mark.parametrize("panel", JOINED, ids=str)
def test_series_that_are_put_together_have_the_same_times(panel):
    """Whatever is stacked, joined or added up is aligned, in every target: its rows are whole at every zoom."""
    assert all(payload.get("align") is True for payload in panel.payloads)


def test_some_series_are_put_together():
    """One of the dashboards shows how."""
    assert JOINED


def test_stacking_is_noticed():
    """A panel is one that puts series together by its own style, by an override, or by a transformation."""

    def found(defaults, overrides=(), transformations=()) -> bool:
        content = {"fieldConfig": {"defaults": defaults, "overrides": overrides}, "transformations": transformations}
        return dashboards.Panel({}, content).puts_series_together

    stacked = {"stacking": {"mode": "normal", "group": "A"}}
    assert found({"custom": stacked})
    assert found({}, [{"properties": [{"id": "custom.stacking", "value": stacked["stacking"]}]}])
    assert found({}, transformations=[{"id": "joinByField", "options": {}}])
    assert not found({"custom": {"stacking": {"mode": "none"}}}, transformations=[{"id": "renameByRegex"}])


@each_panel
def test_what_a_panel_calculates_is_true(panel):
    """Legends and stats show of each series what its reducer leaves true: no mean of extremes."""
    if panel.plugin == JSON_PLUGIN:
        for payload in panel.payloads:
            assert panel.calculations <= TRUE_CALCULATIONS[payload.get("reduce", "minmax")]


BANDS = [panel for panel in PANELS for target in panel.targets if '"band"' in str(target.get("payload"))]


@pytest.mark.parametrize("panel", BANDS, ids=str)
def test_a_band_is_filled(panel):
    """Between the greatest and the least of a band is colour: an override names the legends that its alias gives."""
    (target,) = panel.targets
    alias = json.loads(target["payload"])["alias"]
    overrides = {one["matcher"]["options"]: one for one in panel.content["fieldConfig"]["overrides"]}
    assert all(one["matcher"]["id"] == "byRegexp" for one in overrides.values())
    filled = {one["id"]: one["value"] for one in overrides["/ max$/"]["properties"]}
    assert filled["custom.fillBelowTo"] == f"{alias}{BAND_PARTS['min']}"
    assert filled["custom.fillOpacity"] > 0
    assert BAND_PARTS["max"] == " max"


def test_a_band_is_shown():
    """One of the dashboards shows what a band looks like."""
    assert BANDS


@each_panel
def test_addresses_of_rows_are_relative(panel):
    """A query for rows names a path of the adapter, which follows the datasource's address, and reads it there."""
    if panel.plugin != ROWS_PLUGIN:
        return
    for target in panel.targets:
        address = urlsplit(target["url"])
        assert not address.netloc
        assert address.path in ("/rows", "/health")
        arguments = parse_qs(address.query)
        assert set(arguments) <= {"metric", "from", "to", "max_points", "format", "reduce", "align"}
        if arguments.get("max_points") == ["1"]:  # the newest sample of each, at its own time
            assert arguments["align"] == ["false"]
        assert (target["parser"], target["source"], target["format"]) == ("backend", "url", "table")
        assert target["columns"]


@each_board
def test_variables_and_annotations_ask_the_adapter(board):
    """Each variable has a query and a value to begin with; each annotation a query and variables that are defined."""
    for one in dashboards.variables(board):
        assert one["datasource"]["uid"] in DATASOURCES
        assert one["query"]["query"].split()[0] in ("nodes", "fields", "targets", "units")
        assert one["current"]["value"]
    for one in dashboards.annotations(board):
        assert one["datasource"]["uid"] in DATASOURCES
        assert one["target"]["refId"] == "Anno"
        assert "$" not in dashboards.substitute(one["target"]["target"], dashboards.chosen(board))
