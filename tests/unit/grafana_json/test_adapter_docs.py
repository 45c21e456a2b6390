"""What docs/adapter.md says of the adapter is what the code does."""

import json
import re
from pathlib import Path

import pytest

from grafana_json import annotations, filters, options, rows
from grafana_json.annotations import parse_annotation
from grafana_json.editor import listing, variables
from grafana_json.http import compression

PAGE = (Path(__file__).parents[3] / "docs" / "adapter.md").read_text(encoding="utf-8")


def column(heading, number=0):
    """Return what stands in backquotes in a column of the table of a section."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table[0].splitlines()[2:]]
    return [text for row in cells for text in re.findall(r"`(.*?)`", row[number])]


def test_every_endpoint_is_listed(site):
    """The table of endpoints has each address and its methods, and no other."""
    listed = {tuple(entry.split()) for entry in column("Endpoints")}
    served = {
        (method, rule.rule)
        for rule in site._server._root.application._application.url_map.iter_rules()
        for method in rule.methods - {"OPTIONS", "HEAD"}
        if rule.endpoint != "static"
    }
    assert listed == served - {("GET", "/search")}  # for people who look into it


def test_every_payload_key_is_listed():
    """The table of the payload has each key, and the example is understood."""
    assert column("Payload") == list(options._READERS)
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
    assert not options.parse_options(json.loads(example)).problems


def test_every_reducer_is_listed():
    """The table of reducers has each one that may be chosen, and no other."""
    assert set(column("Reducers")) == set(options.REDUCE)
    assert len(column("Reducers")) == len(options.REDUCE)


def test_bounds_of_lists():
    """The bounds of lists and of compression are those of the code."""
    assert f"at most {listing.MOST_LISTED} entries" in PAGE
    assert f"are listed up to {filters.MOST_TAG_VALUES}" in PAGE
    assert f"{compression.FEWEST_BYTES // 1024} KiB" in PAGE


def test_every_variable_query_is_understood():
    """Each text and each object in the table asks for one of the kinds that there are."""
    assert {text.split()[0] for text in column("Variables")} == variables._WORDS.keys()
    assert all(json.loads(text)["kind"] in variables._KINDS for text in column("Variables", 1))


@pytest.mark.parametrize("query", column("Annotations"))
def test_every_annotation_query_is_understood(query):
    """Each query in the table is read as what it stands for, and so are the comparisons."""
    if query in annotations._COMPARISONS:
        query = f"a::b {query} 1"
    kinds = {"changes": "changes", "nodes": "nodes", "weather::raining": "states"}
    assert parse_annotation(query).kind == kinds.get(query.split()[0], "crossing")


def test_filters_and_rows():
    """Keys and operators of filters, and the arguments and bounds of rows, are those of the code."""
    section = PAGE.partition("## Ad hoc filters\n")[2].partition("\n## ")[0]
    assert set(filters.TAG_KEYS) <= set(re.findall(r"`(.*?)`", section))
    assert {one for one in filters._OPERATORS if "|" not in one} <= set(re.findall(r"`(.*?)`", section))
    assert column("Rows") == [
        "metric",
        "from",
        "to",
        "max_points",
        "reduce",
        "align",
        "every",
        "zone",
        "before",
        "strict",
        "format",
    ]
    assert f"{rows.MOST_ROWS:,}" in PAGE
    assert f"At most {annotations.MOST_ANNOTATIONS} are sent" in PAGE
