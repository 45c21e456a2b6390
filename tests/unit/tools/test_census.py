"""The script that measures the layout: what it counts, on sources made for it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools"
COUNTED = '''"""A module.

Of two lines.
"""
import os  # a comment behind code is none alone

# why
LIMIT: int = 5
"""What it limits."""
TEXT = """one

three"""


def function(value):
    """Say nothing."""
    # why not
    return (
        value
    )
'''
SOURCES = {
    "sisock/__init__.py": "",
    "sisock/base.py": "def late():\n    from sisock.wamp import hub\n",
    "sisock/settings.py": "import sisock.core.model\n",
    "sisock/core/__init__.py": "",
    "sisock/core/model.py": "from .wire import ONE\n",
    "sisock/core/wire.py": "ONE = 1\n",
    "sisock/wamp/__init__.py": "",
    "sisock/wamp/hub.py": "from sisock.base import late\nfrom sisock import settings\n",
    "other/script.py": "def not_in_a_package(): pass\n",
}


@pytest.fixture
def census(monkeypatch):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("census", TOOLS / "census.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "census", module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    """A checkout with a few modules."""
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def parsed(census, **texts):
    """Return modules of a package, by their names."""
    return [census.read_module(text, Path("made", f"{name}.py")) for name, text in texts.items()]


def test_code_is_what_is_neither_blank_nor_comment_nor_docstring(census):
    """A text in several lines is code, a string that stands for itself is none, and comments count where alone."""
    (module,) = parsed(census, counted=COUNTED)
    assert (module.code_lines, module.comment_lines) == (9, 2)


def test_modules_are_counted_by_folder(census, tree):
    """Each folder of a package is a row, and so are all; what belongs to no package is not looked at."""
    rows = census.folder_rows(census.read_tree(tree))
    assert [row[:3] for row in rows] == [
        ("sisock/", 3, 3),
        ("sisock/core/", 3, 2),
        ("sisock/wamp/", 2, 2),
        ("all", 8, 7),
    ]


def test_small_and_large_modules_are_listed(census):
    """A module is small below 40 lines and large above 300, unless it only marks a folder as a package."""
    sizes = {"__init__": 1, "a": 39, "b": 40, "c": 300, "d": 301}
    modules = parsed(census, **{name: "x = 1\n" * size for name, size in sizes.items()})
    assert census.small_rows(modules) == [(39, "made/a.py")]
    assert census.large_rows(modules) == [(301, "made/d.py")]


def test_names_are_shared_by_the_modules_that_define_them(census):
    """Functions, classes and constants count, those of one platform too; imports, loggers and private names don't."""
    first = (
        "def run(): pass\nclass Row: pass\nA, B = 1, [C for C in x]\nlog = 1\n_own = 1\n__all__ = []\n"
        "from x import seen\n"
    )
    second = (
        "run = 1\nif A:\n    class Row: pass\nB: int = 2\nlog = 1\n_own = 1\n__all__ = []\nC = 1\ndef seen(A): D = 1\n"
    )
    rows = census.shared_name_rows(parsed(census, one=first, two=second))
    assert rows == [(name, "made/one.py, made/two.py") for name in ("B", "Row", "run")]


def test_functions_are_measured_from_their_first_line_to_the_last(census):
    """Methods and functions inside others count too, and the longest are named."""
    text = "@mark\ndef one():\n    pass\n\nclass Row:\n    async def long(self):\n" + "        self.x()\n" * 40
    modules = parsed(census, made=text)
    assert census.length_rows(modules) == [("functions", 2), ("median", "21.5"), ("90th percentile", 41)]
    assert census.long_function_rows(modules) == [(41, "made/made.py:6 long")]


def test_cycles_between_folders_are_told_by_their_arrows(census, tree):
    """An import inside a function closes a cycle; modules directly in sisock stand for themselves."""
    assert census.cycle_rows(census.read_tree(tree)) == [
        ("group 1", "sisock.base -> sisock.wamp", 1, "import"),
        ("group 1", "sisock.wamp -> sisock.base", 1, "import"),
    ]


def test_one_call_prints_all_tables(census, tree, capsys):
    """Each table has a title; an empty one says so."""
    census.main(tree)
    output = capsys.readouterr().out
    assert output.startswith("Folders: modules, code lines")
    assert "Modules over 300 code lines\n  none\n" in output
    assert output.endswith("  group 1  sisock.wamp -> sisock.base  1  import\n")


def test_a_folder_without_packages_is_an_error(census, tmp_path):
    """Whoever names the wrong folder is told."""
    with pytest.raises(SystemExit, match="holds no package"):
        census.main(tmp_path)
