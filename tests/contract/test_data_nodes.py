"""What every data node promises to those who serve it."""

from __future__ import annotations

import itertools
import math
import threading
import time

import numpy as np
import pytest

from sisock.core.column.series import ReducibleSeries
from sisock.core.model import FIELD_TYPES, DataBlock, DataRequest, TimelineBlock
from sisock.core.reduce.reducers import REDUCERS, reduce_block
from sisock.core.window.spans import reduce_window
from sisock.nodes import KINDS
from sisock.nodes.contract import DataNode, Summarizes

import twins
from contract.nodes_under_test import EPOCH, NODES

ALL_TIME = (1e-3, 4e9)
DTYPES = {"number": {"float64", "int64"}, "bool": {"bool"}, "string": {"object"}}


@pytest.fixture(params=sorted(NODES))
def made(request, tmp_path):
    return NODES[request.param](tmp_path)


def test_every_kind_is_held_to_the_contract():
    """A kind of node that comes with sisock is among those that this suite makes, under its name."""
    assert {name.split()[0] for name in NODES} >= KINDS.keys()


@pytest.fixture
def node(made) -> DataNode:
    return made.node


def read_all(node: DataNode) -> DataBlock:
    return node.read(list(node.catalogue(*ALL_TIME).fields), *ALL_TIME)


def copied(block: DataBlock) -> dict[str, TimelineBlock]:
    """The block with arrays of its own."""
    return {name: one.take(np.arange(len(one.times))) for name, one in block.timelines.items()}


def assert_same(block: TimelineBlock, other: TimelineBlock) -> None:
    np.testing.assert_array_equal(block.times, other.times)
    assert block.values.keys() == other.values.keys()
    for name, array in block.values.items():
        np.testing.assert_array_equal(array, other.values[name])


def test_a_node_is_a_data_node_with_a_name_and_a_description(node):
    """A node has what the contract asks for, a name of one URI component, and a description."""
    assert isinstance(node, DataNode)
    assert node.name
    assert set(node.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert node.description


def test_a_sample_at_the_start_is_in(node):
    """A sample exactly at the start of the span is in the answer."""
    for block in read_all(node).timelines.values():
        for name in block.values:
            for at in np.unique(block.times):
                answer = node.read([name], at, np.nextafter(at, np.inf)).find(name)
                assert answer.times.tolist() == block.times[block.times == at].tolist()


def test_a_sample_at_the_end_is_out(node):
    """A sample exactly at the end of the span is not in the answer, and all before it are."""
    for block in read_all(node).timelines.values():
        for name in block.values:
            for at in np.unique(block.times):
                answer = node.read([name], ALL_TIME[0], at).find(name)
                assert answer.times.tolist() == block.times[block.times < at].tolist()


def test_neighbouring_spans_hold_each_sample_once(node):
    """Two spans that touch together hold just what their union holds."""
    for block in read_all(node).timelines.values():
        middle = float(block.times[len(block.times) // 2])
        for name in block.values:
            left, right = node.read([name], ALL_TIME[0], middle), node.read([name], middle, ALL_TIME[1])
            joined = [*left.find(name).times, *right.find(name).times]
            assert joined == block.times.tolist()


def test_every_value_has_its_time(node):
    """Value arrays are as long as the times of their timeline, and one-dimensional."""
    for block in read_all(node).timelines.values():
        assert block.times.shape == (len(block.times),)
        assert all(array.shape == block.times.shape for array in block.values.values())


def test_times_ascend_and_are_finite(node):
    """Times are finite float64 and never go backwards."""
    for block in read_all(node).timelines.values():
        assert block.times.dtype == np.float64
        assert np.isfinite(block.times).all()
        assert (np.diff(block.times) >= 0).all()


def test_arrays_have_the_dtype_of_their_type(node):
    """Numbers are float64 or int64, bools bool, and strings objects that are all str."""
    fields = node.catalogue(*ALL_TIME).fields
    for block in read_all(node).timelines.values():
        for name, array in block.values.items():
            assert str(array.dtype) in DTYPES[fields[name].type]
            if fields[name].type == "string":
                assert all(type(value) is str for value in array)


def test_unknown_fields_are_left_out(node):
    """An unknown field is passed over, whatever its name looks like, and the known ones come."""
    known = next(iter(node.catalogue(*ALL_TIME).fields))
    block = node.read(["no such field", "../secret", "", known, "*"], *ALL_TIME)
    assert [list(one.values) for one in block.timelines.values()] == [[known]]
    assert node.read(["no such field"], *ALL_TIME).timelines == {}


def test_a_field_asked_for_twice_comes_once(node):
    """Naming a field twice gives the same answer as naming it once."""
    known = next(iter(node.catalogue(*ALL_TIME).fields))
    assert_same(node.read([known, known], *ALL_TIME).find(known), node.read([known], *ALL_TIME).find(known))


def test_no_fields_no_answer(node):
    """Asking for no fields gives an empty block."""
    assert node.read([], *ALL_TIME).timelines == {}


@pytest.mark.parametrize(
    "span",
    [(1.0, 2.0), (3e9, 4e9), (EPOCH, EPOCH), (4e9, 1.0)],
    ids=["before all", "after all", "of no length", "reversed"],
)
def test_an_empty_span_is_empty_but_states_finality(node, span):
    """Where there are no samples the timeline is in the answer all the same, with what it says of finality."""
    whole = read_all(node)
    for name, field in node.catalogue(*ALL_TIME).fields.items():
        answer = node.read([name], *span)
        assert list(answer.timelines) == [field.timeline]
        block = answer.timelines[field.timeline]
        assert (len(block.times), len(block.values[name])) == (0, 0)
        assert block.finalized_until == whole.timelines[field.timeline].finalized_until
        assert block.generation == whole.timelines[field.timeline].generation


def test_the_catalogue_has_each_field_with_samples_and_no_other(node):
    """Over all time each listed field has samples."""
    catalogue = node.catalogue(*ALL_TIME)
    assert catalogue.fields
    block = node.read(list(catalogue.fields), *ALL_TIME)
    assert all(len(block.find(name).times) for name in catalogue.fields)


def test_the_catalogue_of_a_span_agrees_with_the_samples_in_it(node):
    """A field is in the catalogue of a span just when reading that span gives samples of it."""
    names = list(node.catalogue(*ALL_TIME).fields)
    times = np.unique(np.concatenate([block.times for block in read_all(node).timelines.values()]))
    edges = [times[0] - 1, *times, times[-1] + 1]
    for start, end in itertools.pairwise(edges):
        block = node.read(names, start, end)
        assert set(node.catalogue(start, end).fields) == {name for name in names if len(block.find(name).times)}


@pytest.mark.parametrize("span", [(1.0, 2.0), (3e9, 4e9), (4e9, 1.0)], ids=["before", "after", "reversed"])
def test_the_catalogue_of_a_span_without_samples_is_empty(node, span):
    """Where nothing was measured no field and no timeline is listed."""
    catalogue = node.catalogue(*span)
    assert (dict(catalogue.fields), dict(catalogue.timelines)) == ({}, {})


def test_fields_and_timelines_agree(node):
    """Each field is on a listed timeline that names it, and on no other; the same in what is read."""
    catalogue = node.catalogue(*ALL_TIME)
    members = {name: timeline.name for timeline in catalogue.timelines.values() for name in timeline.fields}
    assert members == {field.name: field.timeline for field in catalogue.fields.values()}
    assert sum(len(timeline.fields) for timeline in catalogue.timelines.values()) == len(members)
    block = read_all(node)
    assert {name: timeline for timeline, one in block.timelines.items() for name in one.values} == members


def test_intervals_are_positive_seconds_or_none(node):
    """An interval is a finite, positive number of seconds, the mean spacing, or None."""
    for timeline in node.catalogue(*ALL_TIME).timelines.values():
        if timeline.interval_s is not None:
            assert 0 < timeline.interval_s < math.inf
            times = node.read(timeline.fields[:1], *ALL_TIME).timelines[timeline.name].times
            assert timeline.interval_s == pytest.approx((times[-1] - times[0]) / (len(times) - 1))


def test_what_describes_a_field_is_text(node):
    """Names are printable, the keys they stand under, and of a known type; units and descriptions are text or None."""
    catalogue = node.catalogue(*ALL_TIME)
    for key, field in catalogue.fields.items():
        assert key == field.name
        assert field.name.isprintable()
        assert field.name.strip() == field.name != ""
        assert field.type in FIELD_TYPES
        assert field.units is None or (isinstance(field.units, str) and field.units)
        assert field.description is None or isinstance(field.description, str)
    assert all(key == timeline.name for key, timeline in catalogue.timelines.items())


def test_what_is_final_does_not_change(made):
    """No sample before finalized_until changes or is added later, for as long as the generation stays."""
    for _ in range(4):
        before = copied(read_all(made.node))
        made.advance()
        after = read_all(made.node)
        for name, block in before.items():
            assert after.timelines[name].generation == block.generation
            now = after.timelines[name].within(ALL_TIME[0], block.finalized_until)
            assert_same(now, block.within(ALL_TIME[0], block.finalized_until))


def test_the_newest_sample_comes_with_the_next_read(made):
    """What was taken is served at once, and the end of what is final moves on."""
    before = read_all(made.node)
    made.advance()
    after = read_all(made.node)
    for name, block in before.timelines.items():
        assert len(after.timelines[name].times) == len(block.times) + 1
        assert after.timelines[name].finalized_until > block.finalized_until


def test_arrays_that_were_handed_out_do_not_change(made):
    """What a reader holds stays as it was while the node takes more."""
    held = read_all(made.node)
    expected = copied(held)
    for _ in range(600):
        made.advance()
    read_all(made.node)
    for name, block in held.timelines.items():
        assert_same(block, expected[name])


def test_reads_beside_polls_are_whole(made):
    """Reading while another thread takes samples always gives a whole, ordered answer."""
    stop = threading.Event()
    failures = []

    def read_on():
        while not stop.is_set():
            try:
                for block in read_all(made.node).timelines.values():
                    assert (np.diff(block.times) >= 0).all()
                    assert all(len(array) == len(block.times) for array in block.values.values())
            except BaseException as failure:  # noqa: BLE001 - it is handed to the test
                failures.append(failure)
                return

    readers = [threading.Thread(target=read_on) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(100):
        made.advance()
    stop.set()
    for reader in readers:
        reader.join(timeout=10)
    assert not failures
    assert not any(reader.is_alive() for reader in readers)


@pytest.fixture
def summarizing(made):
    """A node, each of which keeps its samples with summaries."""
    assert isinstance(made.node, Summarizes)
    return made.node


def assert_same_field(column: ReducibleSeries, block: TimelineBlock, name: str, span: tuple[float, float]) -> None:
    for found, expected in zip(column.within(*span), (block.times, block.values[name]), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_columns_are_those_of_known_fields(summarizing):
    """Unknown fields are passed over, one asked for twice comes once, and what has no samples is known."""
    names = list(summarizing.catalogue(*ALL_TIME).fields)
    assert list(summarizing.columns([*names, "no such field", "../secret", *names])) == names
    assert summarizing.columns([]) == {}


def test_columns_hold_what_is_read(summarizing):
    """A column has the same samples as a read of any span, and promises the same of them."""
    whole = read_all(summarizing)
    columns = summarizing.columns(list(summarizing.catalogue(*ALL_TIME).fields))
    assert columns
    for name, column in columns.items():
        times = whole.find(name).times
        inner = (float(times[len(times) // 3]), float(times[-1]))
        for span in (ALL_TIME, inner, (1.0, 2.0), (3e9, 4e9), (4e9, 1.0)):
            block = summarizing.read([name], *span).find(name)
            assert_same_field(column, block, name, span)
            assert column.statement == block.statement


@pytest.mark.parametrize("reducer", REDUCERS)
def test_columns_reduce_as_what_is_read(summarizing, reducer):
    """A column reduced, with its newest sample, is what is read and then reduced, for every width of buckets."""
    for name, column in summarizing.columns(list(summarizing.catalogue(*ALL_TIME).fields)).items():
        times = summarizing.read([name], *ALL_TIME).find(name).times
        for span in (ALL_TIME, (float(times[1]), float(times[-1])), (float(times[0]) + 0.5, float(times[-1]) + 1)):
            for stride in (0.7, 60.0, 333.0, 1e5, 1e8):
                read = summarizing.read([name], *span)
                block = reduce_block(read, reducer, stride).find(name)
                request = DataRequest((name,), *span, stride, reducer)
                found = reduce_window({name: column}, request).find(name)
                np.testing.assert_array_equal(found.times, block.times)
                if reducer in twins.ADDED_UP and block.values[name].dtype == np.float64:  # in another order
                    values = read.find(name).values[name]
                    magnitude = np.abs(values[np.isfinite(values)]).max(initial=0.0)
                    np.testing.assert_allclose(found.values[name], block.values[name], 1e-12, magnitude * 1e-14)
                else:
                    np.testing.assert_array_equal(found.values[name], block.values[name])
                assert found.values[name].dtype == block.values[name].dtype


def test_columns_that_were_handed_out_do_not_change(made, summarizing):
    """What a reader holds of a column stays as it was while the node takes more."""
    names = list(summarizing.catalogue(*ALL_TIME).fields)
    held = summarizing.columns(names)
    expected = {name: [array.copy() for array in column.within(*ALL_TIME)] for name, column in held.items()}
    for _ in range(50):
        made.advance()
        summarizing.columns(names)
    for name, column in held.items():
        for found, kept in zip(column.within(*ALL_TIME), expected[name], strict=True):
            np.testing.assert_array_equal(found, kept)


def test_nan_is_a_value(node):
    """A number that is NaN has its time and comes as NaN."""
    arrays = [array for block in read_all(node).timelines.values() for array in block.values.values()]
    assert any(np.isnan(array).any() for array in arrays if array.dtype == np.float64)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the platform cannot change the time zone of a process")
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_the_time_zone_of_the_machine_does_not_matter(made, monkeypatch, zone):
    """Answers are the same whatever TZ is."""
    expected = copied(read_all(made.node))
    try:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        for name, block in read_all(made.node).timelines.items():
            assert_same(block, expected[name])
    finally:
        monkeypatch.undo()
        time.tzset()
