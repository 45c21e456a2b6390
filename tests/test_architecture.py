"""The layout of the packages, as a test: who may import whom, and what the core must not touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYWHERE = {"sisock", "sisock.core", "sisock.settings", "sisock.log", "sisock.ports"}
# Each part, and the parts that it may import besides those that everybody may.
ARROWS: dict[str, set[str]] = {
    "sisock.core": set(),
    "sisock.settings": set(),
    "sisock.log": set(),
    "sisock.ports": set(),
    "sisock.nodes": set(),
    "sisock.wamp": {"sisock.nodes", "sisock.base"},
    "sisock.base": {"sisock.wamp"},
    "sisock.client": {"sisock.wamp"},
    "sisock.gateway": {"sisock.wamp"},
    "sisock.testing": {"sisock.base", "sisock.gateway", "sisock.wamp", "sisock.nodes"},
    "grafana_json": {"sisock.gateway"},
    "sisock.commands.site": set(),
    "sisock.commands.supervisor": {"sisock.commands.site"},
    "sisock.commands.startup": {"sisock.commands.site", "sisock.wamp"},
    "sisock.commands.serve": {
        "sisock.nodes",
        "sisock.wamp",
        "sisock.base",
        "sisock.commands.guests",
        "sisock.commands.programs",
    },
    "sisock.commands.guests": {"sisock.wamp", "sisock.base"},
    "sisock.commands.programs": {"sisock.wamp", "sisock.base", "sisock.commands.guests"},
    "sisock.commands.scan": {"sisock.nodes"},
    "sisock.commands.printing": {"sisock.client"},
    "sisock.commands.cli": {
        "sisock.client",
        "sisock.commands.printing",
        "sisock.commands.scan",
        "sisock.wamp",
        "sisock.commands.serve",
        "sisock.commands.site",
        "sisock.commands.startup",
        "sisock.commands.supervisor",
    },
    "sisock.__main__": {"sisock.commands.cli"},
}
CORE_IMPORTS = {
    *(
        "__future__",
        "abc",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
    ),
    *("functools", "itertools", "math", "msgpack", "numbers", "numpy", "operator", "orjson", "re", "threading"),
    "typing",
}
PURE_ADAPTER_MODULES = {
    *("protocol.py", "targets.py", "replies.py", "units.py", "options.py", "filters.py", "choices.py", "variables.py"),
    *("builder.py", "readings.py", "annotations.py", "rows.py", "exposition.py", "listing.py", "compression.py"),
    *("intervals.py", "strict.py"),
}
EDGES = {"flask", "twisted", "autobahn", "os", "time", "socket"}


def modules() -> list[Path]:
    return sorted(path for top in ("sisock", "grafana_json") for path in (ROOT / top).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(name: str) -> str:
    """Return the part of the layout that a module belongs to."""
    if name.startswith("grafana_json"):
        return "grafana_json"
    return ".".join(name.split(".")[:2])


def imports(path: Path) -> Iterator[str]:
    """Yield the full names of all modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_every_import_follows_an_arrow_of_the_layout(path):
    """A module imports only from parts that its own part may import."""
    own = part_of(dotted(path))
    if own == "sisock":
        return  # the package itself, which loads sisock.base when asked
    allowed = ARROWS[own] | EVERYWHERE | {own}
    ours = [name for name in imports(path) if name.split(".")[0] in ("sisock", "grafana_json")]
    wrong = [name for name in ours if part_of(name) not in allowed and part_of(name) in ARROWS]
    assert not wrong, f"{dotted(path)} imports {wrong}"


def test_nothing_imports_the_adapter_or_the_command_line():
    """The adapter and the command line are at the edge: no other part knows them."""
    others = [
        path
        for path in modules()
        if part_of(dotted(path)) not in ("grafana_json", "sisock.commands.cli", "sisock.__main__")
    ]
    wrong = [
        path for path in others for name in imports(path) if part_of(name) in ("grafana_json", "sisock.commands.cli")
    ]
    assert not wrong


@pytest.mark.parametrize("path", sorted((ROOT / "sisock" / "core").glob("*.py")), ids=lambda path: path.name)
def test_the_core_touches_no_socket_file_clock_or_environment(path):
    """Core modules import only what cannot reach outside, and call no open()."""
    foreign = {name.split(".")[0] for name in imports(path)} - CORE_IMPORTS - {"sisock"}
    assert not foreign
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize("name", sorted(PURE_ADAPTER_MODULES))
def test_the_adapters_translation_is_pure(name):
    """What turns requests into queries and blocks into replies knows neither Flask nor Twisted nor a clock."""
    assert not {imported.split(".")[0] for imported in imports(ROOT / "grafana_json" / name)} & EDGES


def test_only_the_wire_module_knows_the_keys_of_replies():
    """The keys of WAMP replies stand in one module: dictionaries exist only on the wire."""
    for path in modules():
        if path.name in ("wire.py", "base.py"):  # base.py: in the docstrings of the public API
            continue
        constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not constants & {"finalized_until", "available_from"}, path


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_public_names_have_docstrings(path):
    """Every module, public class and public function says what it is for."""
    tree = ast.parse(path.read_text())
    source = path.read_text().strip()
    assert not source or ast.get_docstring(tree), path
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}: {node.name}"
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            for one in methods:
                assert one.name.startswith("_") or ast.get_docstring(one), f"{path}: {node.name}.{one.name}"
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in functions:
        assert node.name.startswith("_") or ast.get_docstring(node), f"{path}: {node.name}"


# Modules that read the wall clock, and what for. None measures by it how long something takes, or when it is due: a
# step of that clock would hold it up, or bring it on at once.
WALL_CLOCK = {
    "sisock/wamp/data_node_server.py": "now, where sisock time is relative to it",
    "sisock/commands/cli.py": "now, where a time that somebody wrote is relative to it",
    "sisock/client.py": "now, where sisock time is relative to it",
    "sisock/gateway/session.py": "now, for windows, samples and notices",
    "sisock/nodes/archive/file_archive.py": "now, beside the times at which files were written",
    "sisock/nodes/archive/array_cache.py": "the age of files, beside the times at which they were written",
    "sisock/nodes/g3/scan.py": "the age of files, beside the times at which they were written",
    "sisock/nodes/archive/series_archive.py": "now, beside the times at which files were written",
    "sisock/nodes/live/write_ahead_log.py": "now, beside the times at which files were written",
    "sisock/nodes/ocs/node.py": "now, beside the stamps of samples",
    "sisock/nodes/text/rows.py": "the age of files, beside the times at which they were written",
    "sisock/commands/printing.py": "now, where a span is told that was relative to it",
    "sisock/wamp/certificate.py": "from when to when a certificate is valid",
    "sisock/wamp/node_server.py": "the stamps of samples, and the multiples at which machines sample together",
}
READS_WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "dt.datetime.now", "datetime.utcnow"}


def attributes(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module uses, and those that it imports."""
    yield from imports(path)
    yield from (ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute))


def test_the_wall_clock_is_read_for_what_samples_mean_only():
    """A module that reads the wall clock is in a list, with its reason; whatever takes time is measured otherwise."""
    reading = {path.relative_to(ROOT).as_posix() for path in modules() if READS_WALL_CLOCK & set(attributes(path))}
    assert reading == WALL_CLOCK.keys()


def test_the_reactor_is_steady_in_each_program():
    """Whatever runs a reactor, or is run on one, first makes it measure delays by a clock that never steps."""
    running = [path for path in modules() if "reactor.run" in set(attributes(path))]
    for path in [*running, ROOT / "sisock/wamp/data_node_server.py", ROOT / "sisock/wamp/authenticator.py"]:
        assert {"sisock.wamp.reactor.keep_steady", "sisock.gateway.session.connect_gateway"} & set(imports(path)), path


def test_no_script_of_the_tests_is_named_as_one_of_the_benchmark():
    """Both folders are put on Python's path, where a name means the file that was loaded first."""
    ours, benchmarks = ({path.stem for path in (ROOT / folder).glob("*.py")} for folder in ("tests", "benchmarks"))
    assert not ours & benchmarks
