"""What the author of a server does wrong is told once in the log, and on the panel for as long as it is true."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.types import ComponentConfig
from logs import Log
from twisted.internet import defer

from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.gateway import Gateway
from sisock.log import FaultLog
from sisock.testing import Behaviour, FakeHub, FakeRouter, ManualClock, result_of
from sisock.wamp import data_node_server
from sisock.wamp.data_node_server import DataNodeServer

NOW = 1_700_000_000.0


class Server(DataNodeServer):
    """A server of one field at 1 Hz, spoiled by a test."""

    name = "roof"

    def __init__(self, log):
        ApplicationSession.__init__(self, ComponentConfig("realm", {}))
        self.log = log

    def get_fields(self, start, end):
        fields = {name: {"description": None, "timeline": "t", "type": "number", "units": None} for name in "ab"}
        return fields, {"t": {"interval": 1.0, "field": ["a", "b"]}}

    def get_data(self, field, start, end, min_stride=None):
        times = np.arange(np.ceil(start), np.ceil(end))
        data = {name: np.sin(times) for name in field}
        return self.spoil({"data": data, "timeline": {"t": {"t": times, "finalized_until": end}}})

    def spoil(self, reply):
        return reply


class ServerNode:
    """A server as a node of a fake hub; one of the original library knows no extensions, and tells nothing."""

    def __init__(self, server, *, original):
        self.name, self.behaviour = "roof", Behaviour()
        self._server, self._original = server, original

    def entry(self):
        return {"name": self.name, "description": ""}

    def answer(self, name, now, *arguments, **keywords):
        if not self._original:
            serve = {"get_fields": "_serve_fields", "get_data": "_serve_data", "info": "_serve_info"}[name]
            return getattr(self._server, serve)(*arguments, **keywords)
        if name == "info":
            raise data_node_server.ApplicationError(data_node_server.ApplicationError.NO_SUCH_PROCEDURE, "no callee")
        return _plain(getattr(self._server, name)(*arguments, **keywords))


def _plain(value):
    """Return a reply as the original's servers gave it, of lists."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.fixture
def clock(monkeypatch):
    """A clock, for all that tells the time."""
    clock = ManualClock(NOW)
    monkeypatch.setattr(data_node_server, "FAULTS", FaultLog(clock))
    monkeypatch.setattr(data_node_server.threads, "deferToThread", defer.maybeDeferred)
    return clock


@pytest.fixture(params=["ours", "original"])
def library(request):
    """The library that a node runs on."""
    return request.param


def panel(clock, spoil, library, refreshes=6, kind=Server):
    """Draw a panel of two fields again and again; return its series each time, and the node's log."""
    server = kind(Log())
    server.spoil = spoil
    gateway = Gateway(None, clock, 2.0)
    router = FakeRouter(FakeHub([ServerNode(server, original=library == "original")]), clock)
    result_of(gateway.connected(router))
    wanted = [SeriesWanted("roof", "a"), SeriesWanted("roof", "b")]
    drawn = []
    for _ in range(refreshes):
        drawn.append(result_of(gateway.query(wanted, clock() - 300.0, clock(), 1000)).series)
        clock.advance(5.0)
    return drawn, server.log.lines


def said(series):
    return [*series.notices, *([series.problem] if series.problem else [])]


def scaled(factor):
    def spoil(reply):
        entry = reply["timeline"]["t"]
        entry["t"], entry["finalized_until"] = entry["t"] * factor, entry["finalized_until"] * factor
        return reply

    return spoil


def changed(name, change):
    def spoil(reply):
        reply["data"] = {key: change(value) if key == name else value for key, value in reply["data"].items()}
        return reply

    return spoil


def timed(change):
    def spoil(reply):
        reply["timeline"]["t"]["t"] = change(reply["timeline"]["t"]["t"])
        return reply

    return spoil


SPOILED = {
    "milliseconds": (scaled(1e3), "a", "these look like milliseconds: divide by 1000"),
    "microseconds": (scaled(1e6), "a", "these look like microseconds: divide by 1e6"),
    "nanoseconds": (scaled(1e9), "a", "these look like nanoseconds: divide by 1e9"),
    "the local time": (timed(lambda times: times + 7200.0), "a", "is this the local time?"),
    "texts as times": (timed(lambda times: [str(t) + "Z" for t in times]), "a", "UNIX seconds are expected"),
    "texts among numbers": (changed("a", lambda values: ["n/a"] * len(values)), "a", "one is 'n/a'; declare its type"),
    "lists of unequal length": (changed("a", lambda values: values[:-1]), "a", "give as many values as times"),
    "nested values": (changed("a", lambda values: np.stack([values, values], 1)), "a", "a field of its own"),
    "a number for a list": (changed("a", lambda _: 5.0), "a", "must be a list or an array"),
}


@pytest.mark.parametrize(("spoil", "name", "told"), SPOILED.values(), ids=SPOILED.keys())
def test_a_panel_tells_what_is_wrong_with_a_field_once_and_as_long_as_it_is_so(clock, library, spoil, name, told):
    """Each refresh has one word on the field that is wrong, with either library, and the log one line in all."""
    drawn, log = panel(clock, spoil, library)
    for series, _ in drawn:
        assert series.times.size == 0
        assert len([text for text in said(series) if told in text]) == 1, said(series)
        assert f"field '{name}' is" in " ".join(said(series))
    assert len(log) == (library == "ours"), log
    assert all(told in line for line in log)


def test_a_field_beside_a_wrong_one_is_drawn_without_a_word(clock, library):
    """What is wrong with one field is told on that one alone."""
    drawn, _ = panel(clock, changed("a", lambda values: values[:-1]), library)
    for _, other in drawn:
        assert other.times.size > 200
        assert not any("left out" in text for text in said(other))


@pytest.mark.parametrize(
    "times",
    [
        lambda times: np.array([np.datetime64(int(t), "s") for t in times]),
        lambda times: [datetime.fromtimestamp(t, UTC) for t in times],
    ],
    ids=["datetime64", "datetime"],
)
def test_dates_are_refused_with_what_to_do(clock, times):
    """Times that are dates are refused, never guessed at; a node with the original library could not send them."""
    drawn, log = panel(clock, timed(times), "ours")
    assert all("UNIX seconds are expected, such as t." in " ".join(said(series)) for series, _ in drawn)
    assert len(log) == 1
    assert "(and 1 more)" in log[0]


def test_descending_times_are_sorted_silently(clock, library):
    """The order of samples is nobody's fault."""

    def spoil(reply):
        reply["data"] = {name: values[::-1] for name, values in reply["data"].items()}
        reply["timeline"]["t"]["t"] = reply["timeline"]["t"]["t"][::-1]
        return reply

    drawn, log = panel(clock, spoil, library)
    for series, _ in drawn:
        np.testing.assert_array_equal(series.values, np.sin(series.times))
        assert series.times.size > 200
    assert log == []


def test_a_server_that_always_gives_all_it_has_is_cut_silently(clock, library):
    """More than was asked for is no mistake, also at refreshes, which ask for little."""
    every = np.arange(NOW - 600.0, NOW + 600.0)

    def spoil(reply):
        times = every[every < clock()]
        reply["data"] = {name: np.sin(times) for name in reply["data"]}
        reply["timeline"]["t"]["t"] = times
        return reply

    drawn, log = panel(clock, spoil, library)
    assert all(
        series.times.size > 200 and not any("lie outside" in text for text in said(series)) for series, _ in drawn
    )
    assert log == []


def test_a_panel_that_was_mended_says_nothing_any_more(clock, library):
    """Once the server is right, the word is gone with the next answer, and the field is drawn whole."""
    state = {"spoil": scaled(1e3)}

    def spoil(reply):
        if clock() > NOW + 12.0:
            state["spoil"] = lambda one: one
        return state["spoil"](reply)

    drawn, _ = panel(clock, spoil, library)
    assert any("milliseconds" in text for text in said(drawn[0][0]))
    assert drawn[-1][0].times.size > 200
    assert not any("milliseconds" in text for text in said(drawn[-1][0]))


@pytest.mark.parametrize("reply", [None, [1.0], {"a": [1.0]}])
def test_a_reply_of_another_shape_is_told(clock, library, reply):
    """A panel says what get_data should have answered, and what it did."""
    drawn, log = panel(clock, lambda _: reply, library)
    for series, _ in drawn:
        assert len([text for text in said(series) if "the answer to 'get_data' must be" in text]) == 1
    assert len(log) == (library == "ours")


def test_an_exception_is_told_on_the_panel_and_logged_once(clock):
    """What a server raises is an error on each panel, and one trace in the log."""

    def spoil(reply):
        raise RuntimeError(f"no sensor at {clock()}")

    drawn, log = panel(clock, spoil, "ours")
    assert all("failed in get_data: RuntimeError: no sensor" in series.problem for series, _ in drawn)
    assert len(log) == 1


class WithoutFields(Server):
    get_fields = DataNodeServer.get_fields


class WithoutData(Server):
    get_data = DataNodeServer.get_data


class OtherFields(Server):
    def get_fields(self, start, end):
        return {"a": {"type": "number"}}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            WithoutFields,
            "has neither get_fields nor _get_fields_blocking: give its class one of them, def get_fields(self",
        ),
        (WithoutData, "has neither get_data nor _get_data_blocking: give its class one of them, def get_data(self"),
        (
            OtherFields,
            "the answer to 'get_fields' must be two dictionaries: fields and timelines, but is a dictionary",
        ),
    ],
)
def test_what_a_server_lacks_is_told_on_the_panel(clock, kind, told):
    """A panel of a server that lacks a method, or answers it in another shape, says what to write."""
    drawn, _ = panel(clock, None, "ours", kind=kind)
    for series, _ in drawn:
        assert told in series.problem
