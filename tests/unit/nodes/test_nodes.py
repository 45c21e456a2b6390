"""Nodes are made from a kind, or a class, and options; those with a parameter for it get the cache's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sisock.commands.serve import load_source
from sisock.core.errors import ConfigurationError
from sisock.nodes import construct, make_node

FOLDER = Path("/somewhere")
SOURCE = """
class Kept:
    def __init__(self, size=1, cache="own"):
        self.given = size, cache
    def catalogue(self, start, end): ...
    def read(self, fields, start, end): ...
"""


class Kept:
    """Takes a folder for its cache."""

    def __init__(self, size: int = 1, cache: Path | str | None = "own") -> None:
        self.given = (size, cache)


class Live:
    """Has nothing to keep."""

    def __init__(self, size: int = 1) -> None:
        self.given = (size,)


@pytest.mark.parametrize(
    ("node_class", "options", "given"),
    [
        (Kept, {}, (1, FOLDER)),
        (Kept, {"size": 2}, (2, FOLDER)),
        (Kept, {"cache": "mine"}, (1, "mine")),
        (Kept, {"cache": None}, (1, None)),
        (Live, {"size": 2}, (2,)),
    ],
)
def test_the_cache_goes_to_those_who_take_one(node_class, options, given):
    """An option is stronger than the setting, also when it says that there shall be none."""
    assert construct(node_class, "x", options, FOLDER).given == given


@pytest.mark.parametrize("options", [{"sise": 2}, {"cache": "mine"}])
def test_an_option_that_a_class_does_not_take_is_told(options):
    """The message says which node it is, and what is wrong."""
    with pytest.raises(ConfigurationError, match=rf"^roof: .*'{next(iter(options))}'"):
        construct(Live, "roof", options, FOLDER)


def test_nodes_of_both_origins_get_the_cache(tmp_path):
    """Kinds that come with sisock and classes in files are treated alike."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "temp.dat").write_text("1500 1\n")
    node = load_source("weather", "roof", {"folder": tmp_path / "data"}, tmp_path / "cache")
    assert node.name == "roof"
    assert node.catalogue(1, 4e9).fields
    assert list((tmp_path / "cache").rglob("meta.json"))
    (tmp_path / "kept.py").write_text(SOURCE)
    assert load_source(str(tmp_path / "kept.py"), None, {"size": 3}, FOLDER).given == (3, FOLDER)


def test_an_unknown_kind_is_told_with_the_known_ones():
    """A kind that there is not is an error that lists those there are."""
    with pytest.raises(ConfigurationError, match=r"'weathr'.*apex_weather, g3, host, ocs_feed.*weather"):
        make_node("weathr", {})
