"""What the frames of a housekeeping file say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.nodes.g3.frames import FileSummary, FrameLog, Place, blocks_in, converted, summarize, unified_kind

from g3_fakes import append, data, read_frames, session, status, write

T = [1000.0, 1001.0, 1002.0]
X = {"x": [1, 2, 3]}
BEGINNING = (session(), status("a.feeds.b"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "one.g3"


def summary(path: Path, *frames: dict) -> FileSummary:
    return summarize(read_frames(write(path, *frames)))


def shapes(found: FileSummary) -> list[tuple]:
    return [(one.provider, one.name, dict(one.fields), one.count, one.first, one.last) for one in found.blocks]


def test_a_summary_says_what_a_file_holds(path):
    """Of each block: its provider, its fields with their kinds, how many samples, and from when to when."""
    values = {"x": [1.5, 2.0, 3.0], "n": [1, 2, 3], "on": [True, False, True], "text": ["a", "b", "c"]}
    found = summary(
        path, *BEGINNING, data(0, T, values), data(0, [1003.0], {key: one[:1] for key, one in values.items()})
    )
    kinds = {"n": "int", "on": "bool", "text": "string", "x": "float"}
    assert shapes(found) == [("a.feeds.b", "temps", kinds, 4, 1000.0, 1003.0)]
    assert found.problem is None
    assert found.place.end == path.stat().st_size


def test_a_block_with_other_fields_is_told_apart(path):
    """When the fields of a block change, or their kinds, each set of them is summed up by itself."""
    found = summary(
        path,
        *BEGINNING,
        data(0, T[:1], {"x": [1]}),
        data(0, T[1:2], {"x": [1.5]}),
        data(0, T[2:], {"x": [1], "y": [1]}),
    )
    assert [(fields, count) for _, _, fields, count, _, _ in shapes(found)] == [
        ({"x": "int"}, 1),
        ({"x": "float"}, 1),
        ({"x": "int", "y": "int"}, 1),
    ]


def test_providers_have_the_names_of_the_last_status(path):
    """A number means who the status before says, also when it is another than before."""
    found = summary(path, *BEGINNING, data(0, T, X), status("c", "a.feeds.b"), data(0, T, X))
    assert [one.provider for one in found.blocks] == ["a.feeds.b", "c"]


def test_a_new_session_forgets_the_providers(path):
    """Numbers begin anew with an aggregator; the same session named again changes nothing."""
    found = summary(path, *BEGINNING, session(), data(0, T, X), session(2), data(0, T, {"y": [1, 2, 3]}))
    assert [one.provider for one in found.blocks] == ["a.feeds.b"]
    assert found.problem == "nothing says who provider 0 is"


def test_a_frame_may_say_itself_whose_it_is(path):
    """Where no status names a provider, its frames' address does, so that nothing gets lost."""
    found = summary(path, session(), data(3, T, X, address="a.feeds.b"))
    assert [one.provider for one in found.blocks] == ["a.feeds.b"]
    assert found.problem is None


def test_what_is_damaged_is_left_out_and_told(path):
    """The frames around a damaged one count, and the first problem is told."""
    write(path, *BEGINNING, data(0, T, X))
    with path.open("a") as file:
        file.write("garbage\n")
    append(path, data(0, T, {"x": [4, 5, 6]}), data(0, T, {"x": [7, 8, 9]}, broken="no block"), {"other": 1})
    found = summarize(read_frames(path))
    assert [one.count for one in found.blocks] == [6]
    assert "is damaged" in found.problem
    assert found.place.end == path.stat().st_size


def test_a_frame_that_is_being_written_is_left_for_later(path):
    """Of a file that is being written the whole frames count, and nothing is wrong with it."""
    write(path, *BEGINNING, data(0, T, X))
    size = path.stat().st_size
    with path.open("a") as file:
        file.write('{"provider": 0, "blo')
    found = summarize(read_frames(path))
    assert ([one.count for one in found.blocks], found.problem, found.place.end) == ([3], None, size)


@pytest.mark.parametrize("name", ["new\nline", "x ", "\u202e"])
def test_a_name_that_cannot_be_shown_is_left_out(path, name):
    """Fields whose names lists could not show are left out, with the others of the block kept."""
    found = summary(path, *BEGINNING, data(0, T, {name: [1, 2, 3], "y": [1, 2, 3]}))
    assert [fields for _, _, fields, *_ in shapes(found)] == [{"y": "int"}]
    assert "cannot be printed" in found.problem


def test_times_before_1970_are_left_out(path):
    """No question could name them; the samples at other times are served, with their own values."""
    write(path, *BEGINNING, data(0, [-5.0, 1000.0, 0.0], X))
    log = FrameLog()
    (block,) = blocks_in(read_frames(path), log)
    assert (block.times.tolist(), block.vectors["x"].load().tolist()) == ([1000.0], [2])
    assert "before 1970" in log.problem or "go back" in log.problem


def test_a_block_without_samples_is_none(path):
    """What has no samples, or no fields, is not in the summary."""
    found = summary(path, *BEGINNING, data(0, [], {"x": []}), data(0, T, {}))
    assert found.blocks == ()


def test_times_that_go_back_are_told(path):
    """They are served in order, and it is said that they were not."""
    found = summary(path, *BEGINNING, data(0, [1002.0, 1000.0, 1001.0], X))
    assert shapes(found)[0][3:] == (3, 1000.0, 1002.0)
    assert found.problem == "times of 'a.feeds.b' go back, and are sorted"


def test_only_wanted_providers_are_decoded(path):
    """Blocks of others stay as they are on the disk."""
    write(
        path,
        session(),
        status("a", "b"),
        data(0, T, X, broken="not to be decoded"),
        data(1, T, X),
    )
    log = FrameLog()
    assert [one.provider for one in blocks_in(read_frames(path), log, lambda provider: provider == "b")] == ["b"]
    assert log.problem is None


def test_a_file_that_grew_continues(path):
    """A file continues an earlier reading if all that was there then is still the same."""
    frames = [*BEGINNING, data(0, T, X)]
    before = summary(path, *frames).place
    append(path, data(0, [time + 100 for time in T], {"x": [4, 5, 6]}))
    assert summarize(read_frames(path), before).continues
    assert summarize(read_frames(write(path, *frames)), before).continues
    assert not summarize(read_frames(write(path, *frames[:2])), before).continues
    changed = [*frames[:2], data(0, T, {"x": [1, 2, 4]}), data(0, T, X)]
    assert not summarize(read_frames(write(path, *changed)), before).continues


@pytest.mark.parametrize(
    ("times", "block", "field", "continues"),
    [
        ([1011.0, 1012.0], "temps", "x", True),
        ([1010.0, 1011.0], "temps", "x", True),
        ([1011.0, 1005.0], "temps", "x", False),
        ([1005.0, 1011.0], "other block", "x", False),
        ([1005.0, 1011.0], "other block", "y", True),
    ],
)
def test_what_comes_before_samples_that_were_there_is_no_growth(path, times, block, field, continues):
    """Samples that were told to be final have got others between them."""
    before = summary(path, *BEGINNING, data(0, [1001.0, 1010.0], {"x": [1.0, 2.0]})).place
    append(path, data(0, times, {field: [3.0, 4.0]}, block=block))
    assert summarize(read_frames(path), before).continues is continues


def test_a_reading_of_nothing_is_continued_by_anything(path):
    """What was empty has only grown."""
    assert summarize(read_frames(write(path, *BEGINNING)), Place(0)).continues


kinds = st.sampled_from(["float", "int", "bool", "string"])


@given(st.lists(kinds, min_size=1, max_size=4))
def test_values_of_several_kinds_become_one(several):
    """Whatever comes together, no value gets lost: texts hold all, numbers hold truths, fractions hold whole ones."""
    kind = unified_kind(several)
    samples = {"float": np.array([1.5]), "int": np.array([2]), "bool": np.array([True])}
    samples["string"] = np.array(["on"], dtype=object)
    expected = {"float": 1.5, "int": 2, "bool": True, "string": "on"}
    for one in several:
        (value,) = converted(samples[one], kind).tolist()
        assert value == (str(expected[one]) if kind == "string" else expected[one])
