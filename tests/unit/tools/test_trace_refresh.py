"""The script that traces a refresh: what is a call and what a move, and that this checkout can be traced."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "trace_refresh.py"
SOURCES = {
    "made/__init__.py": "",
    "made/first.py": "def start(helper, *given):\n    return helper(*given)\ndef plain(value):\n    return value\n",
    "made/second.py": "def numbers():\n    yield from (1, 2)\n",
    "made/fakes.py": "def call(function):\n    return function()\n",
}


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.delitem(sys.modules, "census", raising=False)
    spec = importlib.util.spec_from_file_location("trace_refresh", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(tmp_path):
    """The functions of a checkout with a few sources."""
    functions = {}
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        exec(compile(text, str(path), "exec"), functions)
    return functions


def traced(script, tree, function, *given):
    """Return calls by source, and moves, of a function."""
    tracer = script.Tracer(tree, str(tree / "made" / "fakes.py"))
    with tracer:
        function(*given)
    return dict(tracer.calls), tracer.moves


def test_a_move_is_a_call_from_another_source(script, tmp_path, made):
    """Whatever library lies between, the nearest source of the packages is the caller; a generator is called once."""
    assert traced(script, tmp_path, made["start"], list, made["numbers"]()) == (
        {"made/first.py": 1, "made/second.py": 1},
        1,
    )


def test_calls_inside_a_source_are_no_moves(script, tmp_path, made):
    """A source that calls itself, at once or by way of a library, stays where it is."""
    through = lambda function: function(5)  # noqa: E731 - stands for a library
    assert traced(script, tmp_path, made["start"], through, made["plain"]) == ({"made/first.py": 2}, 0)


def test_what_fakes_do_does_not_count(script, tmp_path, made):
    """Neither fakes nor what is called from there is part of the refresh."""
    assert traced(script, tmp_path, made["start"], made["call"], lambda: list(made["numbers"]())) == (
        {"made/first.py": 1},
        0,
    )


@pytest.mark.parametrize(("name", "count"), [("Nowhere", 0), ("Twice", 2)])
def test_a_class_is_found_by_its_name_alone(script, tmp_path, name, count):
    """A class that nobody or several define can't be traced, and that is told by its name."""
    for package in ("a", "b"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("class Twice: pass\n")
    with pytest.raises(SystemExit, match=f"class {name} is needed, but there are {count}"):
        script.find(tmp_path, name)


def test_a_refresh_of_this_checkout_is_traced():
    """The third drawing of the panel is answered from what is kept, and goes through several files."""
    output = subprocess.run(
        [sys.executable, SCRIPT, "--series", "1"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ""},
    ).stdout
    asked, files, moves = map(
        int, re.match(r"1 series, .* for (\d+) of .*\n(\d+) files\n(\d+) moves\n", output).groups()
    )
    assert 0 < asked < 100
    assert len(output.splitlines()) == 3 + files
    assert 3 < files < moves
    assert "testing.py" not in output
