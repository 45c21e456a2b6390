"""What the base class guarantees around the answers of servers written for the original API."""

from __future__ import annotations

import asyncio
import importlib
import time
from types import SimpleNamespace

import numpy as np
import pytest
from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import ComponentConfig
from logs import Log
from twisted.internet import defer

import sisock
from sisock import base
from sisock.base import (
    BASE_URI,
    OCS_PORT,
    REALM,
    SISOCK_HOST,
    SISOCK_PORT,
    WAMP_SECRET,
    WAMP_URI,
    WAMP_USER,
    sisock_to_unix_time,
    uri,
)
from sisock.log import FaultLog
from sisock.testing import ManualClock
from sisock.wamp import data_node_server
from sisock.wamp.data_node_server import DataNodeServer

CATALOGUE = (
    {
        "a": {"description": None, "timeline": "t", "type": "number", "units": None},
        "s": {"description": None, "timeline": "t", "type": "string", "units": None},
    },
    {"t": {"interval": 1.0, "field": ["a", "s"]}},
)


@pytest.fixture(autouse=True)
def in_this_thread(monkeypatch):
    """Run what would run in a thread at once, so that no reactor is needed."""
    monkeypatch.setattr(data_node_server.threads, "deferToThread", defer.maybeDeferred)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """Let each test begin with an author who was told nothing, on a clock of its own."""
    clock = ManualClock(5.0)
    monkeypatch.setattr(data_node_server, "FAULTS", FaultLog(clock))
    return clock


class Server(DataNodeServer):
    """Answers with what it was given, and keeps what it was asked."""

    name = "server"
    reply = None
    fields = CATALOGUE

    def __init__(self, reply=None, **attributes):
        ApplicationSession.__init__(self, ComponentConfig("realm", {}))  # as the original's servers did
        self.reply = reply
        self.asked = []
        self.__dict__.update(attributes)

    def get_fields(self, start, end):
        return self.fields

    def get_data(self, field, start, end, min_stride=None):
        self.asked.append((field, start, end, min_stride))
        return self.reply


def reply_of(times, **values):
    return {"data": values, "timeline": {"t": {"t": times, "finalized_until": None}}}


def result(deferred):
    """Return the result of a Deferred that has fired; raise its failure."""
    outcome = []
    deferred.addBoth(outcome.append)
    assert outcome, "the Deferred has not fired"
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


def ask(server, field=("a",), start=1.0, end=100.0, *arguments, **keywords):
    return result(server._serve_data(list(field), start, end, *arguments, **keywords))


def test_importing_the_package_makes_its_base_reachable():
    """``import sisock`` is enough to write ``sisock.base``, as the original's programs do."""
    module = importlib.reload(sisock)
    assert module.base is base
    with pytest.raises(AttributeError, match="nosuch"):
        _ = module.nosuch


def test_constants_and_functions_have_their_original_names():
    """Every name of the original API is there, with its meaning."""
    assert uri("consumer.x") == "org.simonsobservatory.consumer.x"
    assert BASE_URI == "org.simonsobservatory"
    assert WAMP_URI.startswith("wss://")
    assert {type(value) for value in (WAMP_USER, WAMP_SECRET, SISOCK_HOST, REALM)} == {str}
    assert {type(value) for value in (SISOCK_PORT, OCS_PORT)} == {int}
    assert sisock_to_unix_time(5.5) == 5.5
    assert sisock_to_unix_time(-60) == pytest.approx(time.time() - 60, abs=5)
    assert sisock_to_unix_time(0) == pytest.approx(time.time(), abs=5)


def test_samples_outside_the_span_are_cut_off():
    """Callers get [start, end), whatever the server returns."""
    reply = ask(Server(reply_of([5.0, 10.0, 19.9, 20.0, 30.0], a=[1, 2, 3, 4, 5])), start=10.0, end=20.0)
    assert reply["timeline"]["t"]["t"] == [10.0, 19.9]
    assert reply["data"]["a"] == [2, 3]


def test_unsorted_samples_come_in_order():
    """Times ascend, and values stay with their times."""
    reply = ask(Server(reply_of([3.0, 1.0, 2.0], a=[30, 10, 20])))
    assert (reply["timeline"]["t"]["t"], reply["data"]["a"]) == ([1.0, 2.0, 3.0], [10, 20, 30])


def test_numpy_becomes_plain():
    """Arrays and scalars of NumPy never reach a serializer."""
    times, values = np.array([1.0, 2.0], np.float32), [np.int16(1), np.float64(2)]
    reply = ask(Server(reply_of(times, a=values)))
    assert {type(value) for value in reply["data"]["a"] + reply["timeline"]["t"]["t"]} == {float}


def test_field_of_another_length_is_empty_and_its_neighbour_is_served():
    """A list that is not as long as its timeline is refused: nothing moves in time."""
    reply = ask(Server(reply_of([1.0, 2.0], a=[1, 2, 3], s=["x", "y"])), field=("a", "s"))
    assert reply["data"] == {"a": [], "s": ["x", "y"]}


def test_samples_are_thinned_when_the_server_does_not():
    """A server that says nothing is asked without min_stride, and its samples are thinned here."""
    server = Server(reply_of([float(n) for n in range(1, 11)], a=list(range(10))))
    reply = ask(server, min_stride=3.0)
    assert reply["timeline"]["t"]["t"] == [1.0, 4.0, 7.0, 10.0]
    assert server.asked == [(["a"], 1.0, 100.0, None)]


def test_server_that_downsamples_is_asked_to():
    """A server that says that it downsamples gets min_stride, and its choice stands."""
    server = Server(reply_of([1.0, 1.5], a=[1, 2]), downsamples=True)
    assert ask(server, min_stride=3.0)["data"]["a"] == [1, 2]
    assert server.asked[0][3] == 3.0


def test_reducers_work_on_any_server():
    """A reducer is applied to whatever the server returns, also to one that downsamples by itself."""
    values = [0.0] * 1000
    values[777] = 5.0
    server = Server(reply_of([float(n) for n in range(1, 1001)], a=values), downsamples=True)
    reply = ask(server, end=2000.0, min_stride=100.0, reduce="minmax")
    assert max(reply["data"]["a"]) == 5.0
    assert len(reply["data"]["a"]) < 25
    assert server.asked[0][3] is None


def test_too_much_for_a_plain_caller_is_false():
    """300,000 samples as lists are over the allowance: False, in the original API's words."""
    times = np.arange(1.0, 300_001.0) / 7
    server = Server(reply_of(times, a=times))
    assert ask(server, end=1e9) is False
    assert len(ask(server, end=1e9, min_stride=100.0)["data"]["a"]) > 400


def test_too_much_for_a_caller_with_extensions_is_an_error_that_names_the_limit():
    """Over the allowance, callers that know extensions get an error with numbers and a way out."""
    times = np.arange(1.0, 1_000_001.0)
    server = Server(reply_of(times, a=times))
    with pytest.raises(ApplicationError, match="over the allowance of 12582912") as error:
        ask(server, end=1e9, packed=True)
    assert error.value.error == "org.simonsobservatory.error.over_allowance"
    assert len(ask(server, end=1e9, packed=True, limit=1000)["data"]["a"]["data"]) == 8000


def test_server_that_says_false_is_believed():
    """A server's own False reaches a plain caller as it is, and others as an error."""
    assert ask(Server(False)) is False
    with pytest.raises(ApplicationError, match="more than it can give"):
        ask(Server(False), packed=True)


def test_server_that_gives_short_spans_only_is_read_in_many():
    """A server may refuse whatever is longer than it likes, so that a long span takes hundreds of calls."""
    times = np.arange(86_400.0)[1:]
    server = Server()
    server.get_data = lambda field, start, end, min_stride=None: end - start <= 600 and reply_of(times, a=times)
    reply = ask(
        server, start=1.0, end=86_400.0, reduce="minmax", min_stride=600.0, spans=[[1.0, 86_400.0]], packed=True
    )
    edges = np.frombuffer(reply["series"][0][3], "<f8")[[0, -1]]
    assert edges.tolist() == [1.0, 86_399.0]
    assert len(ask(server, start=1.0, end=86_400.0, packed=True)["data"]["a"]["data"]) == 8 * times.size


def test_server_that_gives_next_to_nothing_is_not_read_for_ever():
    """A span that takes more than a thousand calls is an error that says so."""
    server = Server()
    server.get_data = lambda field, start, end, min_stride=None: end - start <= 1 and {"data": {}, "timeline": {}}
    with pytest.raises(ApplicationError, match="over 1000 calls"):
        ask(server, start=1.0, end=86_400.0, packed=True)


@pytest.mark.parametrize("reply", [None, "nonsense", 5, [], {"data": {}}, {"data": {"a": 1}, "timeline": "x"}])
def test_nonsense_in_place_of_data_is_an_error_in_words(reply):
    """A reply that is none is an error for the caller; the session goes on."""
    with pytest.raises(ApplicationError, match="get_data"):
        ask(Server(reply))


@pytest.mark.parametrize("fields", [None, 5, ({},), [1, 2], "ab"])
def test_nonsense_in_place_of_fields_is_an_error_in_words(fields):
    """A catalogue that is none is an error for the caller; the session goes on."""
    with pytest.raises(ApplicationError, match="get_fields"):
        result(Server(fields=fields)._serve_fields(1, 0))


def test_half_wrong_fields_cost_only_themselves():
    """Fields that cannot be understood are left out, the others are served in the right form."""
    server = Server(fields=({"a": {"timeline": "t"}, 7: {}, "b": 3}, {"t": {"interval": 1.5e9, "field": "a"}}))
    assert result(server._serve_fields(1, 0)) == [
        {"a": {"description": None, "timeline": "t", "type": "number", "units": None}},
        {"t": {"interval": None, "field": ["a"]}},
    ]


def test_exception_in_a_server_is_an_error_in_words(monkeypatch):
    """What a server raises is told to the caller and logged with its trace."""
    server = Server()
    monkeypatch.setattr(server, "get_data", lambda *_: 1 / 0)
    logged = []
    monkeypatch.setattr(server, "log", SimpleNamespace(failure=lambda *_, **keywords: logged.append(keywords)))
    with pytest.raises(ApplicationError, match="'server' failed in get_data: ZeroDivisionError"):
        ask(server)
    assert logged == [{"name": "server", "what": "get_data"}]


def test_author_is_told_once(nothing_told):
    """What is wrong with each reply is one line in the log, again after an hour; other figures make it no other."""
    server = Server(reply_of([1.0, 2.0], a=[1, 2, 3], s=["x", "y"]), log=Log())
    for length in range(3, 6):
        server.reply["data"]["a"] = [1] * length
        ask(server, field=("a", "s"))
    expected = "data node 'server': field 'a' is left out: it has 3 values, but its timeline 't' has 2 times"
    assert server.log.lines == [f"{expected}; give as many values as times"]
    nothing_told.advance(3601.0)
    ask(server, field=("a", "s"))
    assert len(server.log.lines) == 2


def test_a_server_that_comes_back_tells_nothing_anew():
    """A server that reconnects is another object, but its author knows already."""
    log = Log()
    for _ in range(2):
        ask(Server(reply_of([1.0, 2.0], a=["x", "y"]), log=log))
    assert len(log.lines) == 1
    assert "one is 'x'; declare its type as string" in log.lines[0]


def test_the_same_of_many_fields_is_one_line():
    """A thousand fields that are refused for one reason are one line that counts them."""
    names = [f"a{number}" for number in range(1000)]
    fields = ({name: {"timeline": "t"} for name in names}, {})
    server = Server(reply_of([1.0], **{name: ["x"] for name in names}), fields=fields, log=Log())
    ask(server, field=names)
    assert len(server.log.lines) == 1
    assert "field 'a0' (and 999 more) is left out" in server.log.lines[0]


@pytest.mark.parametrize("reply", [None, "nonsense", {"a": [1.0]}])
def test_a_reply_of_another_shape_is_told_in_the_log(reply):
    """Of a reply that is none, the log says once what it should be; no trace, for the server raised nothing."""
    server = Server(reply, log=Log())
    for _ in range(3):
        with pytest.raises(ApplicationError):
            ask(server)
    assert len(server.log.lines) == 1
    assert "the answer to 'get_data' must be {" in server.log.lines[0]


def test_the_same_exception_is_logged_once(monkeypatch):
    """Each line of a server that raises is logged once with its trace, whatever the figures in its message."""
    server = Server(log=Log())
    calls = []

    def failing(*_):
        calls.append(None)
        if len(calls) < 4:
            raise RuntimeError(f"the sensor failed {len(calls)} times")
        return {}["missing"]

    monkeypatch.setattr(server, "get_data", failing)
    for _ in range(6):
        with pytest.raises(ApplicationError, match=r"failed in get_data: (RuntimeError: the sensor|KeyError)"):
            ask(server)
    assert server.log.lines == ["data node 'server': get_data failed"] * 2


def test_server_without_methods_is_told_as_it_starts():
    """What a class lacks is in the log before anybody asks, with the method to write; methods of instances count."""

    class Half(DataNodeServer):
        name = "half"

        def _get_data_blocking(self, field, start, end, min_stride=None):
            return None

    half = Half(ComponentConfig("realm", {}))
    assert len(half._lacking()) == 1
    assert "it has neither get_fields nor _get_fields_blocking: give its class one" in half._lacking()[0]
    half.get_fields = lambda start, end: CATALOGUE
    assert half._lacking() == []
    assert len(DataNodeServer(ComponentConfig("realm", {}))._lacking()) == 2


def test_call_that_its_caller_cancels_is_no_failure():
    """A caller that has given up is answered quietly: nothing is logged as an error of the server."""
    server = Server(fields=defer.Deferred())
    asked = server._serve_fields(1, 0)
    asked.cancel()
    with pytest.raises(ApplicationError, match="canceled"):
        result(asked)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((["a"], "x", 5), {}),
        ((["a"], 1, float("nan")), {}),
        (([3], 1, 5), {}),
        ((["a"], 1, 5, -1), {}),
        ((["a"], 1, 5, "often"), {}),
        ((["a"], 1, 5), {"reduce": "minmax"}),
        ((["a"], 1, 5, 1.0), {"reduce": "nosuch"}),
        ((["a"], 1, 5), {"limit": 0}),
        ((["a"], 1, 5), {"limit": 1.5}),
        ((["a"], 1, 5), {"after": "x"}),
    ],
)
def test_wrong_arguments_are_the_callers_fault(arguments, keywords):
    """A call that cannot be understood is refused with what to change, and the server is not asked."""
    server = Server(reply_of([1.0], a=[1]))
    with pytest.raises(ApplicationError) as error:
        result(server._serve_data(*arguments, **keywords))
    assert error.value.error == "org.simonsobservatory.error.bad_request"
    assert not server.asked


def test_relative_times_are_resolved_before_the_server_is_asked():
    """A server gets UNIX times, so that the span it uses is the span that is cut."""
    server = Server(reply_of([], a=[]))
    ask(server, start=-60, end=0)
    _, start, end, _ = server.asked[0]
    assert end == pytest.approx(time.time(), abs=5)
    assert end - start == pytest.approx(60)


def test_all_of_time_may_be_asked_for():
    """(1, 0) asks for everything until now."""
    server = Server(reply_of([1.5, 2e9], a=[1, 2]))
    assert ask(server, start=1, end=0)["data"]["a"][0] == 1


@pytest.mark.parametrize("kind", ["value", "deferred", "coroutine", "blocking"])
def test_methods_may_return_at_once_later_or_block(kind):
    """Values, Deferreds, coroutines and the blocking methods all serve."""
    reply = reply_of([1.5], a=[1])

    class Later(DataNodeServer):
        name = "later"

    async def coroutine(*_):
        return reply

    if kind == "blocking":
        Later._get_fields_blocking = lambda *_: CATALOGUE
        Later._get_data_blocking = lambda *_: reply
    else:
        Later.get_fields = lambda *_: defer.succeed(CATALOGUE)
        Later.get_data = {
            "value": lambda *_: reply,
            "deferred": lambda *_: defer.succeed(reply),
            "coroutine": coroutine,
        }[kind]
    assert ask(Later(ComponentConfig("realm", {})))["data"]["a"] == [1]
    assert not asyncio.iscoroutine(reply)


def test_timeline_is_found_by_the_servers_own_fields():
    """With several timelines in a reply, a field is on the one that get_fields says."""
    fields = ({"a": {"timeline": "x"}, "b": {"timeline": "y"}}, {})
    reply = {"data": {"a": [1], "b": [2]}, "timeline": {"x": {"t": [1.5]}, "y": {"t": [2.5]}}}
    answer = ask(Server(reply, fields=fields), field=("a", "b"))
    assert {name: one["t"] for name, one in answer["timeline"].items()} == {"x": [1.5], "y": [2.5]}


def test_fields_can_be_had_in_pages():
    """With a limit, get_fields gives the first names; with after, those that follow."""
    server = Server()
    assert list(result(server._serve_fields(1, 0, limit=1))[0]) == ["a"]
    assert list(result(server._serve_fields(1, 0, limit=1, after="a"))[0]) == ["s"]


def test_pages_are_of_one_catalogue(monkeypatch):
    """A server is asked for its fields once for all pages, unless the next one comes late or is of another span."""
    server = Server()
    asked = []
    monkeypatch.setattr(server, "_fields_in", lambda *span: asked.append(span) or Server._fields_in(server, *span))
    now = [1000.0]
    monkeypatch.setattr(data_node_server, "time", SimpleNamespace(time=time.time, monotonic=lambda: now[0]))
    result(server._serve_fields(1, 0, limit=1))
    assert list(result(server._serve_fields(1, 0, limit=1, after="a"))[0]) == ["s"]
    assert len(asked) == 1
    result(server._serve_fields(1, 0, limit=1))
    assert len(asked) == 2
    result(server._serve_fields(-500, 0, limit=1, after="a"))
    assert len(asked) == 3
    now[0] = 1100.0
    result(server._serve_fields(-500, 0, limit=1, after="a"))
    assert len(asked) == 4


def test_info_says_what_a_node_can_do():
    """Consumers learn the version, the extensions and the allowance."""
    info = Server()._serve_info()
    assert info["version"] == sisock.__version__
    assert set(info["capabilities"]) == {"aggregates", "ahead", "edge", "packed", "paging", "reduce", "spans"}
    assert info["allowance"] > 2**20


def test_server_without_methods_says_what_it_lacks():
    """A subclass that overrides nothing answers with what to write."""

    class Empty(DataNodeServer):
        name = "empty"

    with pytest.raises(ApplicationError, match="neither get_fields nor _get_fields_blocking"):
        result(Empty(ComponentConfig("realm", {}))._serve_fields(1, 0))


def test_lists_that_the_server_goes_on_filling_are_answered_as_they_were(monkeypatch):
    """Between the server's return and the reading in a thread its buffers may roll on: no value moves in time."""
    times, values = [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]
    server = Server(reply_of(times, a=values))

    def later(function, *arguments, **keywords):
        for rolling in (times, values):
            rolling.append(rolling[-1] + 1)
            del rolling[0]
        return defer.maybeDeferred(function, *arguments, **keywords)

    monkeypatch.setattr(data_node_server.threads, "deferToThread", later)
    reply = ask(server)
    assert reply["timeline"]["t"]["t"] == reply["data"]["a"] == [1.0, 2.0, 3.0]


def test_another_callers_span_does_not_matter():
    """A catalogue of a span without fields makes no field of another span's data unknown."""
    fields = ({"a": {"timeline": "x"}, "s": {"timeline": "y"}}, {})
    server = Server({"data": {"a": [1], "s": [2]}, "timeline": {"x": {"t": [1.5]}, "y": {"t": [2.5]}}}, fields=fields)
    ask(server, field=("a", "s"))
    server.fields = ({}, {})
    result(server._serve_fields(1, 0))
    assert ask(server, field=("a", "s"))["data"] == {"a": [1], "s": [2]}


def test_data_are_served_where_fields_are_not():
    """A server whose get_fields fails still serves a reply that needs no catalogue."""
    assert ask(Server(reply_of([1.5], a=[1]), fields=None))["data"]["a"] == [1]


def test_more_fields_than_a_message_holds_are_an_error_that_says_so():
    """get_fields keeps to the allowance as well; pages get all."""
    fields = {f"field number {n:06}": {"timeline": "t"} for n in range(20_000)}
    server = Server(fields=(fields, {}))
    with pytest.raises(ApplicationError, match="over the allowance"):
        result(server._serve_fields(1, 0))
    assert len(result(server._serve_fields(1, 0, limit=5000))[0]) == 5000
    with pytest.raises(ApplicationError, match="'after'"):
        result(server._serve_fields(1, 0, limit=5, after=7))


def test_looking_back_costs_a_server_little(monkeypatch):
    """What was before a window is looked for ever farther back, but no farther than can be read soon."""
    clock = ManualClock(1_700_000_000.0)
    monkeypatch.setattr(data_node_server, "time", SimpleNamespace(time=time.time, monotonic=clock))

    class Refused(Server):
        def get_data(self, field, start, end, min_stride=None):
            self.asked.append(end - start)
            clock.advance((end - start) * 1e-6)  # a second for a million of seconds
            return reply_of([start], a=["no number"])

    server = Refused(log=Log())
    extensions = {"reduce": "minmax", "spans": [], "edge": 1.0, "before": True}
    ask(server, ("a",), clock() - 60.0, clock(), 1.0, **extensions)
    assert 10_000 < sum(server.asked) < 500_000
