"""What README, docs and examples say is true."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import importlib
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import click
import pytest
import yaml

from grafana_json import panel, requests, targets
from grafana_json.http import app
from sisock import __version__
from sisock.client import Consumer
from sisock.commands.cli import cli
from sisock.commands.site import load_site, parse_site
from sisock.core import errors
from sisock.core.model import DataRequest
from sisock.core.reduce.reducers import REDUCERS
from sisock.core.wire.catalogue import decode_catalogue, encode_catalogue
from sisock.core.wire.data import decode_data
from sisock.core.wire.info import CAPABILITIES, NodeInfo, encode_info
from sisock.core.wire.replies import EXTENDED_ALLOWANCE_BYTES
from sisock.core.wire.spans import decode_reductions
from sisock.gateway.drawing.planner import MOST_POINTS
from sisock.nodes import KINDS
from sisock.nodes.ocs.node import OcsFeedNode
from sisock.settings import Settings
from sisock.wamp.authenticator import REFUSED

import joining_picture

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
SHELL_WORDS = {"source", "export", "echo", "cd"}
SYSTEM_COMMANDS = {"install", "systemctl", "useradd"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
COMPOSE_COMMANDS = {"up", "ps", "exec", "logs", "down", "cp"}
OWN_COMMANDS = sorted(cli.list_commands(click.Context(cli)))


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    """Return the fenced blocks of all pages in some languages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(str(page.relative_to(ROOT)), line, match[1], match[2]))
    return [block for block in found if block.language in languages]


def where(value: object) -> str:
    return f"{value.page}:{value.line}" if isinstance(value, Block) else str(value)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def shell_lines() -> Iterator[str]:
    for block in blocks("sh"):
        yield from block.text.splitlines()


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a heading, without its head."""
    behind = read(page).partition(f"{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", behind, re.MULTILINE)
    assert table, f"{page} has no table behind '{heading}'"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def check_sisock(arguments: list[str]) -> None:
    """Parse a command line as the command would, without running it."""
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command, f"there is no command 'sisock {arguments[0]}'"
    command.make_context(arguments[0], arguments[1:])


def check_make(arguments: list[str]) -> None:
    known = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(arguments) <= known


def check_paths(arguments: list[str]) -> None:
    for path in (word.partition("=")[2] or word for word in arguments):
        assert "/" not in path or (ROOT / path).exists(), f"{path} does not exist"


def check_docker(arguments: list[str]) -> None:
    """Check that files, profiles and services exist, and commands that run inside of them."""
    assert arguments[0] == "compose"
    while arguments[1] == "--file":
        check_paths([arguments[2]])
        arguments = [arguments[0], *arguments[3:]]
    if arguments[1] == "--profile":
        assert [arguments[2]] in [one.get("profiles") for one in COMPOSE["services"].values()]
        arguments = arguments[2:]
    _, command, *rest = arguments
    assert command in COMPOSE_COMMANDS
    words = [word for word in rest if not word.startswith("--")]
    if command in ("exec", "logs"):
        assert words[0] in COMPOSE["services"]
    if command == "exec":
        assert words[1] == "sisock"
        check_sisock(rest[rest.index("sisock") + 1 :])


def check_system(arguments: list[str]) -> None:
    """Check that what is installed is in the project, and that units are those of the examples."""
    check_paths([word for word in arguments if word.startswith("examples/")])
    if "enable" in arguments:
        assert (ROOT / "examples" / "systemd" / f"{arguments[-1]}.service").exists()


CHECKS = {
    "sisock": check_sisock,
    "docker": check_docker,
    **dict.fromkeys(SYSTEM_COMMANDS, check_system),
    "make": check_make,
    ".venv/bin/python": check_paths,
    "python3": check_paths,
}
WALK = re.compile(r"^\d+\. `([\w/.]+)`", re.MULTILINE)


def section(page: str, heading: str) -> str:
    """Return what stands below a heading of the second level."""
    return read(page).partition(f"## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_of_ours_that_is_named_exists(page):
    """Whatever path below the packages, tests, tools or docs a page names is there."""
    named = re.findall(r"`((?:sisock|grafana_json|tests|tools|docs)/[\w/.*]+)`", page.read_text(encoding="utf-8"))
    assert not [path for path in named if not list(ROOT.glob(path.rstrip("/")))]


@pytest.mark.parametrize(
    "heading", ["A refresh of a panel, file by file", "A live sample's way", "A line of a CSV file's way"]
)
def test_a_walk_through_the_code_is_short(heading):
    """Each walk has at most twelve stops, each at a file."""
    stops = WALK.findall(section("docs/architecture.md", heading))
    assert 10 <= len(stops) <= 12
    assert all((ROOT / stop).is_file() for stop in stops)


def test_the_walk_of_a_refresh_is_what_a_refresh_passes():
    """Each stop of the walk is a file that a traced refresh enters."""
    traced = subprocess.run(
        [sys.executable, "tools/trace_refresh.py", "--files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    passed = [line.split()[1] for line in traced.stdout.splitlines()]
    stops = WALK.findall(section("docs/architecture.md", "A refresh of a panel, file by file"))
    assert set(stops) <= set(passed)


@pytest.mark.parametrize("line", sorted(set(shell_lines())))
def test_a_command_line_in_the_docs_can_be_typed(line):
    """Every command, option, target and file of a command line that the docs show exists."""
    program, *arguments = shlex.split(line, comments=True)
    if program not in SHELL_WORDS:
        CHECKS[program](arguments)
        check_paths([word for word in arguments if word.startswith(("examples/", "tests/"))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_a_sentence_exists(page):
    """Whatever is called `sisock something` in running text is a command."""
    named = set(re.findall(r"`sisock ([a-z0-9-]+)", page.read_text(encoding="utf-8")))
    assert named <= set(OWN_COMMANDS)


def test_the_readme_lists_every_command():
    """The README's table has one row for each command, with the help that a newcomer needs."""
    listed = [
        row[0].strip("`").split()[1] for row in rows("README.md", "Every command explains itself with `--help`:")
    ]
    assert sorted(listed) == OWN_COMMANDS


@pytest.mark.parametrize("block", blocks("python"), ids=where)
def test_python_in_the_docs_compiles(block):
    """Code that is shown is Python."""
    compile(block.text, where(block), "exec")


@pytest.mark.parametrize("block", [one for one in blocks("python") if one.page == "docs/data-nodes.md"], ids=where)
def test_python_about_testing_runs(block, monkeypatch):
    """Code that shows how to test does what it asserts."""
    monkeypatch.syspath_prepend(str(ROOT))
    exec(block.text, {})


def test_the_readme_shows_the_example_as_it_is():
    """The data node in the README is examples/sine.py, and has at most twenty lines of code."""
    source = read("examples/sine.py")
    assert source in [block.text for block in blocks("python") if block.page == "README.md"]
    code = [line for line in source.splitlines() if line.strip() and not line.startswith('"""')]
    assert len(code) <= 20


def test_replies_in_the_contract_are_replies():
    """The replies that docs/wamp.md shows can be read without a remark, and are what this version says of itself."""
    catalogue, data, info, spans, edges = [
        ast.literal_eval(one.text.strip()) for one in blocks("python") if one.page == "docs/wamp.md"
    ]
    known, problems = decode_catalogue(catalogue)
    assert (encode_catalogue(known), problems) == (catalogue, [])
    block, problems = decode_data(data, ["temperature"], known)
    assert problems == []
    assert block.find("temperature").values["temperature"].tolist() == [4.5, 4.4]
    own = NodeInfo(__version__, CAPABILITIES, EXTENDED_ALLOWANCE_BYTES)
    assert info == encode_info(own)
    request = DataRequest(
        ("temperature", "unknown"), 1.3e9, 1.4e9, 60.0, "minmax", packed=True, spans=((1.3e9, 1.4e9),), edge=1.0
    )
    (reduction,) = decode_reductions(spans | edges, request).values()
    assert [part.tolist() for part in reduction.edge.following] == [[1357020000.0], [4.5]]
    assert [part.tolist() for part in reduction.samples[0]] == [[1357020000.0], [4.5]]
    assert (reduction.statement.finalized_until, reduction.statement.generation) == (1357023600.0, "3f2a")


@pytest.mark.parametrize("block", blocks("yaml"), ids=where)
def test_site_files_in_the_docs_are_site_files(block):
    """YAML that is shown is a site, and each kind of node in it has the options that it is given."""
    document = yaml.safe_load(block.text)
    assert parse_site(document, ROOT, Settings()).nodes
    for entry in document["nodes"].values():
        if "kind" in entry:
            assert set(entry) - {"kind"} <= options_of(entry["kind"])


def test_the_example_site_starts_the_examples():
    """examples/site.yml is a site, and every file that it names is beside it."""
    site = load_site(ROOT / "examples" / "site.yml", Settings())
    files = [program.arguments[4] for program in site.programs if program.arguments[3] == "node"]
    assert sorted(files) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def options_of(kind: str) -> set[str]:
    module, name = KINDS[kind].split(":")
    return set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def test_the_options_of_nodes_are_listed():
    """The table of options has each one that a site file can set, and no other."""
    current, listed = "", {}
    for kind, option, *_ in rows("docs/operations.md", "## Site files"):
        current = kind.strip("`") or current
        listed.setdefault(current, set()).add(option.strip("`"))
    common = listed.pop("all")
    not_in_yaml = {
        "name",
        "sample",
        "clock",
        "steady",
        "frames",
    }  # a site gives the name; a function cannot be written in YAML
    assert {kind: listed[kind] | common for kind in listed} == {kind: options_of(kind) - not_in_yaml for kind in KINDS}


def test_the_options_of_feeds_are_those_of_the_node():
    """The page on feeds has each option that a site can set, with its default."""
    parameters = inspect.signature(OcsFeedNode).parameters
    listed = {option.strip("`"): default.strip("`") for option, default, _ in rows("docs/ocs-feed.md", "## Options")}
    assert set(listed) == set(parameters) - {"name", "description", "clock", "steady"}
    for name, default in listed.items():
        expected = parameters[name].default
        assert default == ("" if expected is None else f"{expected:g}" if isinstance(expected, float) else expected)


def test_the_page_on_tables_is_true():
    """It lists the options that only this node has, and shows the beginning of a file that is there."""
    listed = {row[0].strip("`") for row in rows("docs/table.md", "## Options")}
    assert listed == options_of("table") - {"name", "description"}
    (shown,) = [one.text for one in blocks("text") if one.page == "docs/table.md" and one.text.startswith("fields:")]
    assert shown in read("sisock/data/table/table.yml")


@pytest.mark.parametrize("block", blocks("json"), ids=where)
def test_json_in_the_docs_is_json(block):
    """JSON that is shown can be read."""
    json.loads(block.text)


def check_unit(text: str) -> None:
    """Check a service file of systemd: it starts a command that exists, with variables that are settings."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read_string(text)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == "/opt/sisock/.venv/bin/sisock"
    check_sisock(arguments)
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    set_here = set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE))
    assert set_here <= {entry.metadata["variable"] for entry in dataclasses.fields(Settings)}


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "systemd").glob("*.service")), ids=lambda path: path.name)
def test_unit_files_start_commands_that_exist(path):
    """Each unit file among the examples can be read, starts a command of ours, and is told of in the docs."""
    check_unit(path.read_text(encoding="utf-8"))
    assert path.name in read("docs/deployment.md")


def test_the_site_of_the_unit_file_is_a_site():
    """The site file beside the unit files has the programs of the router's machine, and the docs install it."""
    assert load_site(ROOT / "examples" / "systemd" / "site.yml", Settings()).nodes == ("machine",)
    assert "examples/systemd/site.yml /etc/sisock/site.yml" in read("docs/deployment.md")


def test_a_first_panel_takes_ten_steps_at_most():
    """The README counts the steps from nothing to a drawn panel, for each way, and there are at most ten."""
    section = read("README.md").partition("## Draw it in Grafana\n")[2].partition("\n## ")[0]
    ways = [[int(number) for number in re.findall(r"^(\d+)\.", part, re.MULTILINE)] for part in section.split("\nOr ")]
    assert len(ways) == 2
    for steps in ways:
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) <= 10


def anchors(path: Path) -> set[str]:
    """Return what a link may name behind '#': the headings, as web pages of repositories name them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every relative link names a file that exists, and a heading that is in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://")):
            path, _, anchor = link.partition("#")
            found = (page.parent / path).resolve() if path else page
            assert found.exists(), link
            assert not anchor or anchor in anchors(found), link


def test_every_page_is_reached_from_the_readme():
    """The README leads to each page of the docs."""
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", read("README.md")))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_table_of_settings_is_the_table_in_the_code():
    """Each setting is documented with its variable, its name, its default and its help, in the order of the code."""
    expected = []
    for entry in dataclasses.fields(Settings):
        default = "off" if entry.default is False else f"`{entry.default}`" if str(entry.default) else "unset"
        expected.append([f"`{entry.metadata['variable']}`", f"`{entry.name}`", default, entry.metadata["help"]])
    assert rows("docs/settings.md", "# Settings") == expected


def test_variables_in_the_docs_are_settings():
    """Whatever looks like one of our variables is one."""
    known = {entry.metadata["variable"] for entry in dataclasses.fields(Settings)}
    known |= set(COMPOSE["services"]["grafana"]["environment"])  # read by our provisioning
    for page in PAGES:
        named = set(re.findall(r"\b(?:SISOCK|CROSSBAR|WAMP)_[A-Z_]+\b", page.read_text(encoding="utf-8")))
        assert named <= known, page


def test_error_uris_are_listed():
    """The table of errors has the URI of each exception, and that of a refused login."""
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.SisockError)]
    listed = [row[0].strip("`") for row in rows("docs/wamp.md", "## Errors")]
    assert sorted(listed) == sorted({one.uri for one in classes} | {REFUSED})


def test_reducers_are_listed():
    """The table of reducers has each one, with the width of its buckets."""
    table = rows("docs/wamp.md", "span is always there.")
    listed = {(name, int(row[1])) for row in table for name in row[0].split("`")[1::2]}
    kinds = [(name, kind) for name, one in REDUCERS.items() for kind in (one.numbers, one.states)]
    assert listed == {(name, kind.strides_per_bucket) for name, kind in kinds}


def test_reducers_are_told_where_they_are_asked_for():
    """The help of `sisock get` and the text of Consumer.get name each reducer, and no other."""
    (option,) = [one for one in cli.commands["get"].params if one.name == "reducer"]
    assert option.help.partition(": ")[2].strip(".").split(", ") == list(REDUCERS)
    told = (Consumer.get.__doc__ or "").partition("reduce\n")[2].partition(";")[0]
    assert re.findall(r'``"(\w+)"``', told) == list(REDUCERS)


def test_limits_are_those_of_the_code():
    """The limits of the adapter in the docs are those that it keeps to."""
    listed = [row[1].split(";")[0] for row in rows("docs/architecture.md", "## Limits of the adapter")]
    assert listed == [
        f"{MOST_POINTS:,}",
        str(targets.MOST_SERIES),
        str(panel.MOST_SERIES_IN_A_REQUEST),
        str(requests.MOST_TARGETS),
        f"{app.LARGEST_BODY_BYTES // 2**20} MiB",
    ]


def messages() -> list[str]:
    """Return what the table of symptoms quotes."""
    return [
        quote for row in rows("docs/operations.md", "what Crossbar says.") for quote in re.findall(r"`(.*?)`", row[0])
    ]


@pytest.mark.parametrize("message", messages())
def test_messages_in_the_table_of_symptoms_are_said(message):
    """What people are told to look for is what our programs say, but for names and numbers in it."""
    sources = [path.read_text() for top in ("sisock", "grafana_json") for path in sorted((ROOT / top).rglob("*.py"))]
    said = re.sub(r'"\n\s*f?"', "", "\n".join(sources))
    parts = [part.strip() for part in re.split(r"'[^']*'|[\d.:]+\d|\d+|…|:|\bhost\b|\(|\)", message)]
    longest = max(parts, key=len)
    assert len(longest) > 5
    assert longest in said


def test_the_picture_is_an_svg_with_a_text():
    """The picture is well-formed, and says in words what it shows, for those who cannot see it."""
    picture = ET.fromstring(read("docs/picture.svg"))
    names = {child.tag.rpartition("}")[2] for child in picture}
    assert {"title", "desc"} <= names


def test_the_picture_of_a_join_is_what_is_drawn():
    """Both charts are of what the adapter answers; when they differ, run tests/joining_picture.py and look at them."""
    kept, made = (
        re.split(r"(-?\d+\.\d)", text) for text in (joining_picture.PICTURE.read_text(), joining_picture.draw())
    )
    assert kept[::2] == made[::2]
    assert [float(number) for number in kept[1::2]] == pytest.approx(
        [float(number) for number in made[1::2]], abs=0.15
    )


def test_the_picture_of_a_join_shows_what_the_docs_say():
    """Without a grid hardly any sum of a row is true; with it all are."""
    lines = re.findall(r'class="sum" points="(.*?)"', joining_picture.PICTURE.read_text())
    low, high = (joining_picture.height(value) for value in joining_picture.TRUE_SUM)
    true = [[high <= float(point.partition(",")[2]) <= low for point in line.split()] for line in lines]
    assert [sum(line) / len(line) for line in true] == [pytest.approx(0.05, abs=0.05), 1.0]
