"""The layout of the packages, as a test: who may import whom, and what the core must not touch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYWHERE = {"sisock", "sisock.core", "sisock.settings", "sisock.log", "sisock.system"}
IN_THE_CORE = {"sisock.core"}
# Each room of the house, and the rooms that its modules may import, besides those that everybody may (EVERYWHERE: the
# model, times and errors of the core among them) and those inside itself. A room is a folder; each module directly in
# sisock/ is one, too.
ARROWS: dict[str, set[str]] = {
    "sisock.core": set(),
    "sisock.core.reduce": set(),
    "sisock.core.column": {"sisock.core.reduce"},
    "sisock.core.buffer": {"sisock.core.reduce", "sisock.core.column"},
    "sisock.core.window": {"sisock.core.reduce", "sisock.core.column"},
    "sisock.core.wire": {"sisock.core.reduce", "sisock.core.column", "sisock.core.window"},
    "sisock.settings": set(),
    "sisock.log": {"core"},
    "sisock.system": set(),
    "sisock.nodes": {"core"},
    "sisock.nodes.archive": {"core", "sisock.nodes"},
    "sisock.nodes.live": {"core", "sisock.nodes"},
    "sisock.nodes.host": {"core", "sisock.nodes", "sisock.nodes.live"},
    "sisock.nodes.ocs": {"core", "sisock.nodes", "sisock.nodes.live"},
    "sisock.nodes.g3": {"core", "sisock.nodes", "sisock.nodes.archive"},
    "sisock.nodes.table": {"core", "sisock.nodes", "sisock.nodes.archive"},
    "sisock.nodes.text": {"core", "sisock.nodes", "sisock.nodes.archive"},
    "sisock.wamp": {"core", "sisock.nodes"},
    "sisock.wamp.without_bjdata": set(),
    "sisock.base": {"core", "sisock.wamp"},
    "sisock.client": {"core", "sisock.wamp"},
    "sisock.gateway.drawing": {"core"},
    "sisock.gateway": {"core", "sisock.gateway.drawing", "sisock.wamp"},
    # Tests need an adapter with nodes in memory, and look for it beside the other fakes: for them it is loaded late.
    "sisock.testing": {"core", "sisock.gateway", "sisock.nodes", "sisock.wamp", "grafana_json.http"},
    "grafana_json": {"core", "sisock.gateway", "sisock.gateway.drawing"},
    "grafana_json.editor": {"core", "grafana_json", "sisock.gateway", "sisock.gateway.drawing"},
    "grafana_json.http": {
        *("core", "grafana_json", "grafana_json.editor", "sisock.gateway", "sisock.gateway.drawing"),
    },
    "sisock.commands": {
        *("core", "sisock.client", "sisock.nodes", "sisock.nodes.g3", "sisock.wamp"),
    },
    "sisock.__main__": {"sisock.commands"},
}
CORE = {room for room in ARROWS if room.startswith("sisock.core")}
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
    *("requests.py", "targets.py", "replies.py", "units.py", "options.py", "filters.py", "resolve.py"),
    *("annotations.py", "rows.py", "editor/listing.py", "editor/builder.py", "editor/variables.py"),
    *("http/compression.py",),
}
EDGES = {"flask", "twisted", "autobahn", "os", "time", "socket"}


def modules() -> list[Path]:
    return sorted(path for top in ("sisock", "grafana_json") for path in (ROOT / top).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in modules()}


def room_of(name: str) -> str:
    """Return the room of a module."""
    if MODULES[name].name == "__init__.py":
        return name
    parent = name.rpartition(".")[0]
    return name if parent == "sisock" else parent


def modules_imported(path: Path) -> set[str]:
    """Return the modules of ours that a module imports, or imports names from."""
    names = {name if name in MODULES else name.rpartition(".")[0] for name in imports(path)}
    return {name for name in names if name in MODULES}


def imports(path: Path) -> Iterator[str]:
    """Yield the full names of all modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_import_follows_an_arrow_of_the_layout():
    """A module imports only from its own room, and from rooms that its room may import."""
    assert set(map(room_of, MODULES)) - {"sisock"} == ARROWS.keys(), "each room has a line in ARROWS"
    wrong = []
    for name, path in MODULES.items():
        own = room_of(name)
        if own == "sisock":
            continue  # the package itself, which loads sisock.base when asked
        allowed = (
            ARROWS[own]
            | (IN_THE_CORE if own in CORE else EVERYWHERE)
            | {own}
            | (CORE if "core" in ARROWS[own] else set())
        )
        wrong += [f"{name} imports {other}" for other in modules_imported(path) if room_of(other) not in allowed]
    assert not wrong


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """Return what leads back to where it began, by way of all that is returned; nothing where nothing does."""
    left = {name: set(others) for name, others in arrows.items()}
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    return sorted(left)


def test_nothing_goes_in_circles():
    """No rooms import one another, whichever way round, and no modules do when they are loaded."""
    rooms: dict[str, set[str]] = {room_of(name): set() for name in MODULES}
    for name, path in MODULES.items():
        rooms[room_of(name)] |= {room_of(other) for other in modules_imported(path)} - {room_of(name), "sisock"}
    assert not circle_in(rooms)
    loaded = {name: modules_imported(path) - {name} for name, path in MODULES.items() if path.name != "__init__.py"}
    assert not circle_in(loaded)
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}) == ["a", "b", "c", "e"]


def test_the_core_touches_no_socket_file_clock_or_environment():
    """Core modules import only what cannot reach outside, and call no open()."""
    for path in (ROOT / "sisock" / "core").rglob("*.py"):
        foreign = {name.split(".")[0] for name in imports(path)} - CORE_IMPORTS - {"sisock"}
        assert not foreign, path
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input", "exec", "eval"}, path


@pytest.mark.parametrize("name", sorted(PURE_ADAPTER_MODULES))
def test_the_adapters_translation_is_pure(name):
    """What turns requests into queries and blocks into replies knows neither Flask nor Twisted nor a clock."""
    assert not {imported.split(".")[0] for imported in imports(ROOT / "grafana_json" / name)} & EDGES


def test_what_is_drawn_and_kept_is_pure():
    """From a node's samples to series, and what is kept of them: no web server, no network, no clock."""
    gateway = ROOT / "sisock" / "gateway"
    for path in (*(gateway / "drawing").glob("*.py"), gateway / "tile_cache.py", gateway / "tiles.py"):
        assert not {name.split(".")[0] for name in imports(path)} & EDGES, path


# Dictionaries other than those of WAMP: the words that they share with these, and what they are.
OTHER_DICTIONARIES = {
    "sisock/nodes/archive/file_cache.py": ({"dtype", "field", "generation"}, "what is kept of a file on disk"),
    "sisock/nodes/archive/segments.py": ({"fields"}, "what is kept of a field on disk"),
    "sisock/nodes/g3/reader.py": ({"description"}, "frames of housekeeping files"),
    "sisock/nodes/host/node.py": ({"fields", "timeline"}, "what is kept beside a buffer on disk"),
    "sisock/nodes/live/log_file.py": ({"fields", "generation"}, "the head of a log file"),
    "sisock/nodes/ocs/messages.py": ({"data"}, "what agents publish"),
    "sisock/nodes/ocs/node.py": ({"description"}, "the options of a node"),
    "sisock/nodes/ocs/timelines.py": ({"timeline", "units"}, "what is kept beside a buffer on disk"),
    "sisock/nodes/table/notes.py": ({"fields"}, "a YAML file that people write"),
    "sisock/wamp/crossbar_config.py": ({"type", "version"}, "Crossbar's configuration"),
    "grafana_json/annotations.py": ({"before", "type"}, "Grafana's annotations"),
    "grafana_json/editor/builder.py": ({"reduce", "type"}, "the inputs of Grafana's builder"),
    "grafana_json/editor/variables.py": ({"fields", "units"}, "kinds of variables"),
    "grafana_json/filters.py": ({"field", "type", "units"}, "the keys of ad hoc filters"),
    "grafana_json/http/app.py": ({"fields"}, "the reply of /health"),
    "grafana_json/options.py": ({"before", "reduce", "units"}, "the payload of a target"),
    "grafana_json/replies.py": ({"fields", "type"}, "Grafana's frames and tables"),
    "grafana_json/requests.py": ({"type"}, "Grafana's requests"),
    "grafana_json/rows.py": ({"before"}, "the arguments of /rows"),
}
COMMON = {"number", "string", "bool", "name"}  # words of dictionaries everywhere


def keys_of_dictionaries(path: Path) -> set[str]:
    """Return the texts by which a module reads or writes dictionaries."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            found += node.keys
        elif isinstance(node, ast.Subscript):
            found.append(node.slice)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found += node.args[:1] if node.func.attr in ("get", "pop", "setdefault") else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            found += [ast.Constant(keyword.arg) for keyword in node.keywords]
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            found.append(node.left)
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_only_the_wire_knows_the_keys_of_wamp():
    """The keys of what travels over WAMP stand in one folder: dictionaries exist only on the wire."""
    wire = ROOT / "sisock" / "core" / "wire"
    keys = set().union(*map(keys_of_dictionaries, wire.glob("*.py"))) - COMMON
    assert {"data", "timeline", "t", "finalized_until", "field", "interval", "generation", "spans", "edge"} <= keys
    others = [path for path in modules() if wire not in path.parents]
    shared = {path.relative_to(ROOT).as_posix(): keys_of_dictionaries(path) & keys for path in others}
    assert {path: words for path, words in shared.items() if words} == {
        path: words for path, (words, _) in OTHER_DICTIONARIES.items()
    }
    telling = {"finalized_until", "available_from", "min_stride", "catalogue_version"}
    others.remove(ROOT / "sisock" / "core" / "model.py")  # where they are names of its own
    for path in others:
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not texts & telling, path


def test_public_names_have_docstrings():
    """Every module, public class and public function says what it is for."""
    for path in modules():
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


def test_unit_tests_stand_where_what_they_test_does():
    """The folders of unit tests are those of the packages; a file is named for a module there, or for the folder."""
    unit = ROOT / "tests" / "unit"
    folders = {path.parent for path in unit.rglob("test_*.py")}
    homes = {folder: ROOT / folder.relative_to(unit) for folder in folders} | {unit: ROOT / "sisock"}
    homes = {
        folder: home if home.is_dir() else ROOT / "sisock" / folder.relative_to(unit) for folder, home in homes.items()
    }
    lost = [
        path
        for folder, home in homes.items()
        for path in folder.glob("test_*.py")
        if not any(f"{path.stem}_".startswith(f"test_{module.stem}_") for module in (home, *home.glob("*.py")))
    ]
    assert not lost
    packages = {path.parent for path in modules() if path.name != "__init__.py"} - {
        ROOT / "sisock/wamp/without_bjdata"
    }
    assert packages <= set(homes.values())


def test_rooms_and_files_are_of_a_size_to_be_read():
    """No folder holds more than 15 modules, no module more than 300 lines of code, and few have less than 40."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import census
    finally:
        sys.path.pop(0)
    read = census.read_tree(ROOT)
    assert max(row[1] for row in census.folder_rows(read)[:-1]) <= 15
    assert len(census.small_rows(read)) <= 10
    assert not census.large_rows(read)
    assert len(census.shared_name_rows(read)) <= 10


# Modules that read the wall clock, and what for. None measures by it how long something takes, or when it is due: a
# step of that clock would hold it up, or bring it on at once.
WALL_CLOCK = {
    "sisock/base.py": "now, where sisock time is relative to it",
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
    running.remove(ROOT / "sisock/wamp/reactor.py")  # it is there that it is made so
    for path in [*running, ROOT / "sisock/wamp/data_node_server.py", ROOT / "sisock/wamp/authenticator.py"]:
        assert {"sisock.wamp.reactor.keep_steady", "sisock.gateway.session.connect_gateway"} & set(imports(path)), path


def test_no_script_of_the_tests_is_named_as_one_of_the_benchmark():
    """Both folders are put on Python's path, where a name means the file that was loaded first."""
    ours, benchmarks = ({path.stem for path in (ROOT / folder).glob("*.py")} for folder in ("tests", "benchmarks"))
    assert not ours & benchmarks
