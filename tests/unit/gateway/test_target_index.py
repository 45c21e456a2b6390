from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.core.model import Field, FieldCatalogue
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.target_index import Names, Targets

from twins import containing

TEXTS = st.text(alphabet="aAbßİ.:\n\0é", max_size=6)


def nodes_of(**fields):
    catalogues = {node: FieldCatalogue.of([Field(name, "t") for name in names], {}) for node, names in fields.items()}
    return {node: SimpleNamespace(name=node, catalogue=one) for node, one in catalogues.items()}


def targets_of(**fields):
    return Targets(nodes_of(**fields))


@given(st.lists(TEXTS, unique=True), TEXTS, st.integers(1, 40))
def test_names_that_contain_a_text(names, text, chunk_bytes):
    """All names at once are searched with the same result as one after another, whatever signs are in them."""
    wanted = text.replace("\n", "\0")
    with mock.patch("sisock.gateway.target_index._CHUNK_BYTES", chunk_bytes):
        found = list(Names(names).containing(text, len(names)))
        assert list(Names(names).containing(text, 2)) == found[:2]
    assert found == containing(names, text) or "\0" in "".join(names) + wanted
    assert set(containing(names, text)) <= set(found)


@given(st.lists(TEXTS, unique=True, min_size=1), st.data())
def test_lines_lead_back_to_their_names(names, data):
    """The offset of each line is that of its name."""
    ours = Names(names)
    chosen = data.draw(st.lists(st.integers(0, len(names) - 1)))
    assert ours.at([int(ours.lines.starts[number]) for number in chosen]) == [names[number] for number in chosen]


@given(st.lists(TEXTS, unique=True), TEXTS)
def test_names_under_a_prefix(names, prefix):
    """Names under a prefix are those that begin with it, sorted."""
    assert list(Names(names).under(prefix)) == sorted(name for name in names if name.startswith(prefix))


def test_names_that_are_no_unicode():
    """A node may choose any name: what is no Unicode is found by the rest of it."""
    names = Names(["a\ud800b", "c"])
    assert list(names.containing("a", 5)) == ["a\ud800b"]
    assert names.at(names.lines.starts.tolist()) == ["a\ud800b", "c"]


def test_levels():
    """A name is on the level of all that stands before its last dot; without a dot, on that of its node."""
    (names,) = targets_of(n=["a.b.c", "x", "a.b.a", "a.d"]).blocks
    assert names.levels == {"n::": ["n::x"], "n::a.": ["n::a.d"], "n::a.b.": ["n::a.b.a", "n::a.b.c"]}


def test_neighbours():
    """The nearest in order are given, as many as asked for as long as there are so many."""
    names = Names(["e", "a", "d", "b", "c"])
    assert names.neighbours("c", 2) == ["b", "c"]
    assert names.neighbours("z", 2) == ["d", "e"]
    assert names.neighbours("", 9) == ["a", "b", "c", "d", "e"]


def test_targets_are_looked_up():
    """Targets are a mapping of all nodes' fields, by node and then by field."""
    targets = targets_of(a=["x", "y::z"], b=["x"])
    assert list(targets) == ["a::x", "a::y::z", "b::x"]
    assert dict(targets)["a::y::z"] == SeriesWanted("a", "y::z")
    assert len(targets) == 3
    assert "b::y" not in targets
    assert targets.get("c::x") is None


@pytest.mark.parametrize("name", ["", "a", "a:", "a::", "::x", None, 5])
def test_what_is_no_target(name):
    """What names no field of a node is not among the targets."""
    assert name not in targets_of(a=["x"])


def test_what_was_made_of_names_is_kept():
    """When something else changes, the names of a node are the very same; a new name makes new ones."""
    before = Snapshot.of(nodes_of(a=["x", "y"], b=["x"]))
    same = Snapshot.of(nodes_of(a=["x", "y"], b=["x"]), "no router", before)
    assert same.targets.has_names_of(before.targets)
    more = Snapshot.of(nodes_of(a=["x", "y"], b=["x", "z"]), None, same)
    assert not more.targets.has_names_of(before.targets)
    assert more.targets.names_of["a"] is before.targets.names_of["a"]
    assert more.targets.names_of["b"] is not before.targets.names_of["b"]
    assert not Snapshot.of(nodes_of(a=["x", "y"]), None, same).targets.has_names_of(same.targets)


def aliased(**fields):
    catalogues = {
        node: FieldCatalogue.of([Field(name, "t", aliases=aliases) for name, aliases in some.items()], {})
        for node, some in fields.items()
    }
    return Targets({node: SimpleNamespace(name=node, catalogue=one) for node, one in catalogues.items()})


def test_aliases_are_looked_up_and_not_listed():
    """An alias is a target for who asks for it, under that name, and in no list."""
    targets = aliased(a={"Ch.T": ("ch_t",), "Ch.R": ()}, b={"x": ()})
    assert targets["a::ch_t"] == SeriesWanted("a", "ch_t")
    assert "b::ch_t" not in targets
    assert list(targets) == ["a::Ch.T", "a::Ch.R", "b::x"]
    assert len(targets) == 3
    assert [list(one) for one in targets.aliases] == [["a::ch_t"]]
    assert targets.name_of("a::ch_t") == "a::Ch.T"


def test_an_alias_means_one_field():
    """An alias of two fields means none of them, and one that is a field's name means that field."""
    targets = aliased(a={"X": ("x", "y"), "Y": ("y",), "x": ()})
    assert "a::y" not in targets
    assert targets.aliases == ()
    assert targets["a::x"] == SeriesWanted("a", "x")
