"""The node that serves feeds of OCS agents."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.errors import ConfigurationError
from sisock.nodes import make_node, options_from_settings
from sisock.nodes.contract import Polls, Subscribes, SubscribesElsewhere, Summarizes
from sisock.nodes.ocs import node as node_module
from sisock.nodes.ocs import timelines
from sisock.nodes.ocs.node import OcsFeedNode, feed_options
from sisock.settings import Settings
from sisock.testing import ManualClock

MESSAGES = json.loads((Path(__file__).parents[3] / "data" / "ocs" / "messages.json").read_text())
NOW = 1_700_000_000.0
FEED = "observatory.LSA.feeds.temperatures"
ALL_TIME = (1e-3, 4e9)


def make(**options):
    clock = options.pop("clock", None) or ManualClock(NOW)
    return OcsFeedNode(clock=clock, steady=clock.seconds, **options)


def send(node, topic=FEED, agent_class="FakeDataAgent", **blocks):
    """Publish blocks, each a pair of times after NOW and values by field."""
    message = {name: {"timestamps": [NOW + t for t in times], "data": data} for name, (times, data) in blocks.items()}
    node.receive(topic, [message, {"record": True, "agent_class": agent_class, "session_id": "1"}])


def samples(node, name, span=ALL_TIME):
    """Return what is served of a field as pairs of seconds after NOW and value."""
    block = node.read([name], *span).find(name)
    return list(zip((block.times - NOW).tolist(), block.values[name].tolist(), strict=True))


def names(node):
    return set(node.catalogue(*ALL_TIME).fields)


def statement(node, name):
    return node.read([name], *ALL_TIME).find(name).statement


def test_it_is_a_node_of_each_kind():
    """It is fed by topics, keeps summaries, and lets go of what is old by itself."""
    node = make()
    assert all(isinstance(node, kind) for kind in (Subscribes, SubscribesElsewhere, Summarizes, Polls))


def test_messages_of_every_kind():
    """What agents publish for recording is served, with its types, and nothing else is."""
    node = make()
    for one in MESSAGES.values():
        node.receive(one["topic"], *one["args"])
    fields = node.catalogue(*ALL_TIME).fields
    own = {name.removeprefix(f"{FEED}."): field for name, field in fields.items() if name.startswith(FEED)}
    assert {name: (field.type, field.units) for name, field in own.items()} == {
        "Channel_01_T": ("number", "K"),
        "Channel_01_R": ("number", "ohm"),
        "Channel_02_T": ("number", "K"),
        "Channel_02_R": ("number", "ohm"),
        "mode": ("string", None),
        "autoscan": ("bool", None),
        "excitation": ("number", None),
        "glitch": ("number", None),
    }
    others = {name: field.units for name, field in fields.items() if name not in {f"{FEED}.{one}" for one in own}}
    fake = "observatory.fake1.feeds.false_temperatures"
    assert others == {f"{fake}.channel_00": None, f"{fake}.channel_01": "K"}
    np.testing.assert_array_equal(
        [value for _, value in samples(node, f"{FEED}.glitch")], [math.nan, math.inf, -math.inf, 1]
    )


def test_blocks_are_timelines():
    """Fields of a block share its times; blocks, feeds and agents never share theirs."""
    node = make()
    send(node, a=([0, 1], {"x": [1, 2], "y": [3, 4]}), b=([0.5], {"z": [5]}))
    send(node, "observatory.other.feeds.temperatures", a=([7], {"x": [8]}))
    catalogue = node.catalogue(*ALL_TIME)
    other = "observatory.other.feeds.temperatures"
    assert {one.name: (one.fields, one.interval_s) for one in catalogue.timelines.values()} == {
        f"{FEED}.a": ((f"{FEED}.x", f"{FEED}.y"), 1.0),
        f"{FEED}.b": ((f"{FEED}.z",), None),
        f"{other}.a": ((f"{other}.x",), None),
    }
    assert samples(node, f"{FEED}.y") == [(0, 3), (1, 4)]
    assert samples(node, f"{other}.x") == [(7, 8)]


def test_an_agent_that_was_restarted_goes_on():
    """Another session of the agent continues the fields."""
    node = make()
    send(node, a=([0], {"x": [1]}))
    message = {"a": {"timestamps": [NOW + 60], "data": {"x": [2]}}}
    node.receive(FEED, [message, {"record": True, "session_id": "2"}])
    assert samples(node, f"{FEED}.x") == [(0, 1), (60, 2)]
    assert names(node) == {f"{FEED}.x"}


def test_a_field_of_two_blocks_is_two_fields():
    """From when a second block has a field of the same name, both are named after their blocks."""
    node = make()
    send(node, a=([0], {"T": [1], "R": [2]}))
    assert names(node) == {f"{FEED}.T", f"{FEED}.R"}
    send(node, b=([1], {"T": [3]}))
    assert names(node) == {f"{FEED}.a.T", f"{FEED}.b.T", f"{FEED}.R"}
    assert samples(node, f"{FEED}.a.T") == [(0, 1)]
    assert samples(node, f"{FEED}.b.T") == [(1, 3)]
    assert node.read([f"{FEED}.T", "t"], *ALL_TIME).timelines == {}


def test_names_of_the_original(caplog):
    """A field is also found by the original's name, in all that is asked; what would not be clear is said once."""
    node = make()
    send(node, a=([0, 1], {"Channel 01 T": [1, 2], "r": [3, 4]}))
    name = f"{FEED}.Channel_01_T"
    assert node.catalogue(*ALL_TIME).find("channel_01_t").name == name
    assert samples(node, "channel_01_t") == samples(node, name) == [(0, 1), (1, 2)]
    block = node.read(["channel_01_t", name, "r"], *ALL_TIME).timelines[f"{FEED}.a"]
    assert list(block.values) == ["channel_01_t", name, "r"]
    columns = node.columns(["r", "channel_01_t"])
    assert list(columns) == ["r", "channel_01_t"]
    assert columns["channel_01_t"].within(*ALL_TIME)[1].tolist() == [1, 2]
    assert caplog.text == ""
    for instance in "bc":
        send(node, f"observatory.{instance}.feeds.temperatures", a=([0], {"R": [3]}))
    assert node.columns(["r"]) == {}
    assert [record.getMessage() for record in caplog.records if "such as r" in record.getMessage()] == [
        "names of the original that several fields would have mean none of them: such as r"
    ]


def test_a_field_that_changes_its_type_loses_nothing():
    """Whole numbers and fractions are one field; texts and states in it are others, beside it on its times."""
    node = make()
    send(node, a=([0, 1], {"x": [1, 2], "y": [1, 2]}))
    send(node, a=([2, 3, 4], {"x": [2.5, "off", True], "y": [3, 4, 5]}))
    send(node, a=([5], {"x": ["on"], "y": [6]}))
    send(node, a=([6], {"x": [7], "y": [7]}))
    assert samples(node, f"{FEED}.x") == [(0, 1), (1, 2), (2, 2.5), (6, 7)]
    assert samples(node, f"{FEED}.x.string") == [(3, "off"), (5, "on")]
    assert samples(node, f"{FEED}.x.bool") == [(4, True)]
    assert samples(node, f"{FEED}.y") == [(n, n + 1) for n in range(7)]


def test_fields_that_come_and_go_lose_nothing():
    """A field that is not in each message of its block has a timeline of its own; nothing is filled in."""
    node = make()
    send(node, a=([0], {"x": [1], "y": [10], "z": ["a"]}))
    send(node, a=([1], {"x": [2], "y": [20]}))
    send(node, a=([2], {"y": [30], "w": [True]}))
    send(node, a=([3], {"x": [4], "y": [40], "z": ["b"]}))
    assert samples(node, f"{FEED}.x") == [(0, 1), (1, 2), (3, 4)]
    assert samples(node, f"{FEED}.y") == [(0, 10), (1, 20), (2, 30), (3, 40)]
    assert samples(node, f"{FEED}.z") == [(0, "a"), (3, "b")]
    assert samples(node, f"{FEED}.w") == [(2, True)]


def test_what_is_wrong_is_said_once(caplog):
    """A field with too few values, messages of another shape: one line each, however often they come."""
    node = make()
    for _ in range(3):
        send(node, a=([0, 1], {"x": [1], "y": [1, 2]}))
        node.receive(FEED, "no message")
        node.receive(FEED)
    assert names(node) == {f"{FEED}.y"}
    assert [record.getMessage() for record in caplog.records] == [
        f"{FEED}: field 'x' of block 'a' is left out: it has 1 values for 2 timestamps",
        f"{FEED}: a message is left out: it is no pair of a message and its feed",
    ]


def test_samples_are_kept_for_the_buffer_time():
    """What is older than that before the newest of its block is dropped, and the statement says so."""
    node = make(buffer_time=10)
    send(node, a=([0, 5], {"x": [1, 2]}), b=([0], {"z": [1]}))
    send(node, a=([12], {"x": [3]}))
    assert samples(node, f"{FEED}.x") == [(5, 2), (12, 3)]
    assert samples(node, f"{FEED}.z") == [(0, 1)]
    assert statement(node, f"{FEED}.x").available_from == NOW + 5


def test_blocks_that_went_silent_are_forgotten():
    """When nothing was heard of a block for longer than samples are kept, its fields are gone."""
    clock = ManualClock(NOW)
    node = make(buffer_time=100, clock=clock)
    send(node, a=([0], {"x": [1]}), b=([0], {"z": [1]}))
    clock.advance(99)
    send(node, a=([99], {"x": [2]}))
    clock.advance(2)
    node.poll(clock())
    assert names(node) == {f"{FEED}.x"}
    clock.advance(1000)
    node.poll(clock())
    assert names(node) == set()
    assert node.columns([f"{FEED}.x"]) == {}


def test_samples_are_kept_in_so_many_bytes():
    """All blocks together take no more; the large ones are kept for a shorter time, the small ones whole."""
    clock = ManualClock(NOW)
    node = make(max_mib=0.5, clock=clock)
    for step in range(400):
        clock.advance(2.0)
        times = [step + n / 100 for n in range(100)]
        send(node, large=(times, {"x": times, "y": times, "word": ["abc"] * 100}), small=(times[:1], {"z": [step]}))
        assert sum(one.buffer.bytes for one in set(node._blocks.owners.values())) <= 2**19
    assert len(samples(node, f"{FEED}.z")) == 400
    assert 1000 < len(samples(node, f"{FEED}.x")) < 40_000
    assert samples(node, f"{FEED}.x")[-1][1] == 399.99
    assert statement(node, f"{FEED}.x").available_from > NOW


def test_the_number_of_fields_is_bounded(monkeypatch, caplog):
    """Names that are made up anew in each message do not fill the memory; those that are known go on."""
    monkeypatch.setattr(timelines, "MOST_FIELDS", 3)
    node = make()
    for step in range(6):
        send(node, a=([step], {f"x{step}": [1]}), b=([step], {"y": [step]}))
    assert len(names(node)) == 3
    assert len(samples(node, f"{FEED}.y")) == 6
    assert len(caplog.records) == 1


def test_naming_many_fields_leaves_time_for_the_rest(monkeypatch):
    """Where it takes long it is not done for each message; whoever asks for all fields gets those of now."""
    clock, named = ManualClock(0), []
    node = make()
    name_all = node._named
    monkeypatch.setattr(node_module, "monotonic", clock)
    monkeypatch.setattr(node, "_named", lambda: (named.append(1), clock.advance(1), name_all())[-1])
    for number in range(10):
        send(node, a=([number], {f"x{number}": [number]}))
    assert len(named) == 1
    assert len(names(node)) == 10
    assert len(named) == 2
    clock.advance(1)
    send(node, a=([10], {"x10": [10]}))
    assert samples(node, f"{FEED}.x10") == [(10, 10)]
    send(node, a=([11], {"x11": [11]}))
    node.poll(NOW)
    assert samples(node, f"{FEED}.x11") == [(11, 11)]


def test_late_samples_are_put_in_their_places():
    """Messages may come in any order; what is said to be final is of each block by itself, and holds."""
    node = make(late_s=5)
    send(node, a=([0, 10], {"x": [0, 10]}), b=([2], {"z": [2]}))
    assert statement(node, f"{FEED}.x").finalized_until == NOW + 5
    assert statement(node, f"{FEED}.z").finalized_until == NOW - 3
    before = statement(node, f"{FEED}.x")
    send(node, a=([7, 5], {"x": [7, 5]}))
    assert samples(node, f"{FEED}.x") == [(0, 0), (5, 5), (7, 7), (10, 10)]
    assert statement(node, f"{FEED}.x") == before
    send(node, a=([4], {"x": [4]}))
    assert statement(node, f"{FEED}.x").generation != before.generation


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("xyz")), min_size=1, max_size=4), max_size=12),
    st.sampled_from([0.0, 3.0, 10.0]),
)
def test_what_is_final_never_changes(messages, late_s):
    """Whatever order samples come in, and however fields come and go, what was final stays under its generation."""
    node = make(late_s=late_s)
    promised = {}
    sent = {name: [] for name in "xyz"}
    for number, message in enumerate(messages):
        for name in sorted({name for _, name in message}):
            times = [time for time, its in message if its == name]
            sent[name] += [(float(time), float(number)) for time in times]
            send(node, a=(times, {name: [number] * len(times)}))
        for name in names(node):
            block = node.read([name], *ALL_TIME).find(name)
            final = block.within(0, block.finalized_until)
            kept = promised.setdefault((name, block.generation), final)
            now = block.within(0, kept.finalized_until)
            assert now.times.tolist() == kept.within(0, kept.finalized_until).times.tolist()
            np.testing.assert_array_equal(now.values[name], kept.within(0, kept.finalized_until).values[name])
            promised[name, block.generation] = final
    for name in "xyz":
        found = samples(node, f"{FEED}.{name}") if f"{FEED}.{name}" in names(node) else []
        assert sorted(found) == sorted(sent[name])


def test_one_wild_time_does_not_empty_the_buffer(caplog):
    """A time far ahead of all others is left out, unless the next message goes on from there."""
    node = make(buffer_time=100)
    send(node, a=([0, 1], {"x": [0, 1]}))
    send(node, a=([2, 5e6], {"x": [2, 99]}))
    send(node, a=([3], {"x": [3]}))
    send(node, a=([6e6], {"x": [99]}))
    send(node, a=([4], {"x": [4]}))
    assert samples(node, f"{FEED}.x") == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
    assert len(caplog.records) == 1


def test_what_was_held_back_is_taken_once():
    """Times that jump ahead again are held back again, beside none that were believed by then."""
    node = make()
    send(node, a=([0], {"x": [0]}))
    for t in (1000, 1001, 3000, 3001):
        send(node, a=([t], {"x": [t]}))
    assert samples(node, f"{FEED}.x") == [(0, 0), (1000, 1000), (1001, 1001), (3000, 3000), (3001, 3001)]


def test_a_clock_that_jumps_within_a_message_loses_nothing():
    """The times behind a jump are taken when the next message goes on from there, as those of whole messages are."""
    node = make()
    send(node, a=([0], {"x": [0]}))
    send(node, a=([1, 1000], {"x": [1, 2]}))
    send(node, a=([1001], {"x": [3]}))
    assert samples(node, f"{FEED}.x") == [(0, 0), (1, 1), (1000, 2), (1001, 3)]


def test_a_wild_time_at_the_start_costs_itself_only():
    """What is beside a time far ahead in the first message of all is taken."""
    node = make()
    send(node, a=([0, 1, 1e9], {"x": [0, 1, 99]}))
    send(node, a=([2], {"x": [2]}))
    assert samples(node, f"{FEED}.x") == [(0, 0), (1, 1), (2, 2)]


def test_a_gap_loses_nothing():
    """After a long silence, and where this machine's clock is behind, what comes is taken from its first sample on."""
    clock = ManualClock(NOW)
    node = make(clock=clock)
    send(node, a=([0], {"x": [0]}))
    send(node, a=([3000, 3001], {"x": [1, 2]}))
    assert samples(node, f"{FEED}.x") == [(0, 0)]
    send(node, a=([3002], {"x": [3]}))
    assert samples(node, f"{FEED}.x") == [(0, 0), (3000, 1), (3001, 2), (3002, 3)]
    clock.advance(6000)
    send(node, a=([6000], {"x": [4]}))
    assert samples(node, f"{FEED}.x")[-1] == (6000, 4)


def test_a_clock_that_was_far_ahead_does_not_keep_samples_out():
    """When an agent's clock is set right, what it measured in the future is dropped, and what comes is taken."""
    node = make(buffer_time=100)
    send(node, a=([1e8], {"x": [1]}))
    send(node, a=([1e8 + 1], {"x": [2]}))
    send(node, a=([5], {"x": [3]}))
    send(node, a=([6], {"x": [4]}))
    assert samples(node, f"{FEED}.x") == [(5, 3), (6, 4)]


def test_a_clock_that_is_set_right_loses_nothing_from_then_on(tmp_path):
    """The first message after it, too, is of the moments before it came, and is taken whole; as after a restart."""
    node = make(buffer_time=100, folder=str(tmp_path))
    send(node, a=([1e8], {"x": [1]}))
    send(node, a=([-1, -0.5], {"x": [2, 3]}))
    assert samples(node, f"{FEED}.x") == [(-1, 2), (-0.5, 3)]
    before = statement(node, f"{FEED}.x")
    node._blocks._folder._ending()
    again = make(buffer_time=100, folder=str(tmp_path))
    assert (samples(again, f"{FEED}.x"), statement(again, f"{FEED}.x")) == ([(-1, 2), (-0.5, 3)], before)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0, 3.7e8])
def test_a_block_is_silent_for_as_long_as_it_is(step_s):
    """A step of this machine's clock forgets no block: how long nothing was heard is measured by another."""
    clock = ManualClock(NOW)
    node = make(buffer_time=100, clock=clock)
    send(node, a=([0], {"x": [1]}))
    clock.step(step_s)
    clock.advance(99)
    node.poll(clock())
    assert samples(node, f"{FEED}.x") == [(0, 1)]
    clock.advance(2)
    node.poll(clock())
    assert names(node) == set()


@pytest.mark.parametrize("step_s", [-20.0, -3600.0])
def test_samples_after_a_step_back_are_put_where_their_stamps_say(step_s):
    """What an agent publishes after a step back is taken, and the generation says that the past is another."""
    clock = ManualClock(NOW)
    node = make(clock=clock)
    send(node, a=(list(range(-4000, 1)), {"x": list(range(4001))}))
    before = statement(node, f"{FEED}.x").generation
    clock.step(step_s)
    send(node, a=([step_s + 0.5], {"x": [-1]}))
    assert samples(node, f"{FEED}.x")[4001 + int(step_s)] == (step_s + 0.5, -1)
    assert len(samples(node, f"{FEED}.x")) == 4002
    assert statement(node, f"{FEED}.x").generation != before


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_clock_that_was_far_ahead_costs_nothing_of_the_past(tmp_path, is_ours):
    """When an agent's clock jumps, alone or with this machine's, and is set right, what came before is there again."""
    clock = ManualClock(NOW)
    node = make(buffer_time=100, folder=str(tmp_path), clock=clock)
    send(node, a=([0, 1, 2], {"x": [1, 2, 3], "word": ["a", "b", "c"]}), b=([0], {"z": [1]}))
    before = statement(node, f"{FEED}.x").generation
    if is_ours:
        clock.step(1e8)
    for second in (3, 4, 5):
        send(node, a=([1e8 + second], {"x": [second], "word": ["d"]}))
    assert samples(node, f"{FEED}.x")[-1] == (1e8 + 5, 5)
    if is_ours:
        clock.step(-1e8)
    for second in (6, 7):
        send(node, a=([second], {"x": [second], "word": ["e"]}))
    assert samples(node, f"{FEED}.x") == [(0, 1), (1, 2), (2, 3), (6, 6), (7, 7)]
    assert [value for _, value in samples(node, f"{FEED}.word")] == ["a", "b", "c", "e", "e"]
    assert statement(node, f"{FEED}.x").generation == before
    assert samples(node, f"{FEED}.z") == [(0, 1)]
    assert len(list(tmp_path.glob("*.samples"))) == 2


def test_what_was_put_aside_is_let_go(tmp_path):
    """After an hour of a jump that lasts, the past is gone; at once where there is no memory for both."""
    clock = ManualClock(NOW)
    node = make(buffer_time=1e4, folder=str(tmp_path), clock=clock)
    send(node, a=([0], {"x": [1]}))
    for second in (1, 2):
        send(node, a=([1e8 + second], {"x": [second]}))
    node.poll(clock())
    assert len(list(tmp_path.glob("*.samples"))) == 2
    clock.advance(3601)
    node.poll(clock())
    assert len(list(tmp_path.glob("*.samples"))) == 1
    send(node, a=([3602], {"x": [3]}))
    assert samples(node, f"{FEED}.x") == [(3602, 3)]


def test_what_was_put_aside_gives_way(tmp_path):
    """Where there is no memory for what was before a jump and what comes after it, the former goes."""
    node = make(buffer_time=1e4, max_mib=0.1, folder=str(tmp_path))
    send(node, a=(list(range(5000)), {"x": list(range(5000))}))
    for second in (1, 2):
        send(node, a=(list(range(int(1e8), int(1e8) + 3000)), {"x": [second] * 3000}))
    node.poll(NOW)
    assert len(list(tmp_path.glob("*.samples"))) == 1


def test_late_samples_after_a_long_silence_take_nothing_up(tmp_path):
    """A silence longer than what is kept is no jump of a clock: what came since stays, whatever comes late."""
    clock = ManualClock(NOW)
    node = make(buffer_time=100, folder=str(tmp_path), clock=clock)
    send(node, a=([0], {"x": [1]}))
    clock.advance(150)
    send(node, a=([150], {"x": [2]}))
    send(node, a=([60], {"x": [3]}))
    assert samples(node, f"{FEED}.x") == [(60, 3), (150, 2)]


def test_after_a_restart_the_past_before_a_wrong_clock_is_served(tmp_path):
    """Of what is there twice, that is taken which is not from the future."""
    node = make(buffer_time=100, folder=str(tmp_path))
    send(node, a=([0], {"x": [1]}))
    for second in (1, 2):
        send(node, a=([1e8 + second], {"x": [second]}))
    node._blocks._folder._ending()
    again = make(buffer_time=100, folder=str(tmp_path))
    assert samples(again, f"{FEED}.x") == [(0, 1)]


def test_samples_survive_a_restart(tmp_path):
    """With a folder, another process serves the same samples under the same names and generation, and goes on."""
    node = make(folder=str(tmp_path))
    send(node, agent_class="Lakeshore372Agent", a=([0, 1], {"X_T": [1, 2], "s": ["a", "b"]}), b=([1], {"X_T": [9]}))
    send(node, a=([2], {"X_T": [3]}))
    before = {name: (samples(node, name), statement(node, name)) for name in names(node)}
    assert f"{FEED}.a.X_T" in before
    described = dict(node.catalogue(*ALL_TIME).fields)
    node._blocks._folder._ending()
    again = make(folder=str(tmp_path))
    assert {name: (samples(again, name), statement(again, name)) for name in names(again)} == before
    assert dict(again.catalogue(*ALL_TIME).fields) == described
    send(again, a=([3], {"X_T": [4], "s": ["c"]}))
    assert samples(again, f"{FEED}.a.X_T") == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert samples(again, f"{FEED}.s") == [(0, "a"), (1, "b"), (3, "c")]


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_a_process_that_ends_while_fields_part_loses_nothing(tmp_path, monkeypatch, copies):
    """However far it came with giving fields timelines of their own, the next one has each sample once."""
    node = make(folder=str(tmp_path))
    send(node, a=([0, 1], {"x": [1, 2], "y": [3, 4]}))
    begun = node._blocks._timelines._begin

    def begin(*arguments):
        nonlocal copies
        if not copies:
            raise KeyboardInterrupt
        copies -= 1
        return begun(*arguments)

    monkeypatch.setattr(node._blocks._timelines, "_begin", begin)
    monkeypatch.setattr(node._blocks._folder, "discard", lambda buffer: begin())
    with pytest.raises(KeyboardInterrupt):
        send(node, a=([2], {"x": [5]}))
    node._blocks._folder._ending()
    again = make(folder=str(tmp_path))
    assert samples(again, f"{FEED}.x") == [(0, 1), (1, 2)]
    assert samples(again, f"{FEED}.y") == [(0, 3), (1, 4)]


def test_what_is_too_old_is_not_served_after_a_restart(tmp_path):
    """After a long time without a process, blocks of which all has expired are forgotten, and their files removed."""
    node = make(folder=str(tmp_path), buffer_time=100)
    send(node, a=([0], {"x": [1]}))
    node._blocks._folder._ending()
    clock = ManualClock(NOW + 101)
    again = make(folder=str(tmp_path), buffer_time=100, clock=clock)
    again.poll(clock())
    assert names(again) == set()
    assert not list(tmp_path.rglob("*.journal"))


def test_what_was_dropped_is_known_after_fields_parted(tmp_path):
    """Fields that get timelines of their own still say from when on they are kept, also after a restart."""
    node = make(folder=str(tmp_path), buffer_time=10)
    send(node, a=([0, 5, 12], {"x": [1, 2, 3], "y": [1, 2, 3]}))
    send(node, a=([13], {"x": [4]}))
    node._blocks._folder._ending()
    for one in (node, make(folder=str(tmp_path), buffer_time=10)):
        assert samples(one, f"{FEED}.y") == [(5, 2), (12, 3)]
        assert statement(one, f"{FEED}.y").available_from == NOW + 5


@pytest.mark.parametrize(
    ("feeds", "topics"),
    [
        ("observatory.LSA.feeds.temperatures", ["observatory.LSA.feeds.temperatures"]),
        ("observatory..feeds.t", ["observatory..feeds.t"]),
        (["observatory.*.feeds.t", "observatory.a.feeds.t", "observatory..feeds.t"], ["observatory..feeds.t"]),
        (["observatory.a.feeds.*", "observatory.*.feeds.t"], ["observatory.a.feeds.", "observatory..feeds.t"]),
        (["observatory.*.feeds.*", "lab.a.feeds.t"], ["observatory..feeds.", "lab.a.feeds.t"]),
        (["observatory.a.feeds.t"] * 2, ["observatory.a.feeds.t"]),
    ],
)
def test_feeds_are_topics(feeds, topics):
    """Feeds are subscribed to by their addresses, any part by a star; what another includes is left out."""
    assert list(make(feeds=feeds).topics) == topics


@pytest.mark.parametrize(
    "options",
    [
        {"feeds": "temperatures"},
        {"feeds": "observatory.a.feeds.b.c"},
        {"feeds": ["observatory.a b.feeds.c"]},
        {"feeds": []},
        {"feeds": [5]},
        {"feeds": "..feeds.x"},
        {"buffer_time": 0},
        {"buffer_time": -5},
        {"max_mib": 0},
        {"late_s": -1},
        {"late_s": math.nan},
        {"router": "localhost:8001"},
        {"router": "wss://localhost:8001/ws"},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    """An option that cannot be meant is an error that says what to give."""
    with pytest.raises(ConfigurationError):
        make(**options)


def test_options_of_the_environment():
    """The original's variables name the feeds, the node and the time; without a feed only the time counts."""
    given = Settings.from_environment(
        {"TARGET": "LSA", "FEED": "temperatures", "NAME": "n", "DESCRIPTION": "d", "BUFFER_TIME": "60"}
    )
    expected = {"feeds": [FEED], "name": "n", "description": "d", "buffer_time": 60.0}
    assert options_from_settings("ocs_feed", given) == feed_options(given) == expected
    assert feed_options(Settings.from_environment({"NAME": "n"})) == {"buffer_time": 7200.0}
    several = feed_options(Settings.from_environment({"TARGET": "a, b", "FEED": "x"}))
    assert several["feeds"] == ["observatory.a.feeds.x", "observatory.b.feeds.x"]
    assert feed_options(Settings(feed="x"))["feeds"] == ["observatory.*.feeds.x"]
    assert make_node("ocs_feed", expected).topics == (FEED,)
    assert options_from_settings("weather", given) == {}


def test_units_may_be_given():
    """Units by patterns of names are those of the fields that match."""
    node = make(units={"pressure*": "mbar"})
    send(node, a=([0], {"pressure_1": [1], "other": [1]}))
    fields = node.catalogue(*ALL_TIME).fields
    assert [fields[f"{FEED}.{name}"].units for name in ("pressure_1", "other")] == ["mbar", None]


def test_reading_beside_changes_is_whole():
    """While fields come, part and go, each read is of one moment: as many values as times, in order."""
    node = make()
    send(node, a=([0], {"x0": [0], "x1": [0]}))
    stop, failures = threading.Event(), []

    def read_on():
        while not stop.is_set():
            try:
                for name in names(node):
                    block = node.read([name], *ALL_TIME).find(name)
                    assert block is None or len(block.values[name]) == len(block.times)
                    node.columns([name])
            except BaseException as failure:  # noqa: BLE001 - it is handed to the test
                failures.append(failure)
                return

    reader = threading.Thread(target=read_on)
    reader.start()
    for step in range(200):
        send(node, a=([step], {f"x{n}": [step] for n in range(10) if step % (n + 2) or step < 2}))
    stop.set()
    reader.join(10)
    assert not failures
