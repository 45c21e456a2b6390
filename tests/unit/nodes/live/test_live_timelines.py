"""The timelines of a live node answer for it, whatever takes its samples."""

from __future__ import annotations

import math

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import Field
from sisock.nodes.contract import DataNode, Polls, Summarizes
from sisock.nodes.live.live_timelines import LiveNode, LiveTimelines, unused_name

ALL_TIME = (-math.inf, math.inf)


def buffer_of(*names, times=(1.0, 2.0)):
    buffer = RollingBuffer(dict.fromkeys(names, "number"), 100.0, "g")
    buffer.extend(times, {name: [number + 10.0 * time for time in times] for number, name in enumerate(names)})
    return buffer


def served():
    """Two timelines; ``far.x`` is called ``x`` in its buffer, and also goes by the name ``old``."""
    fields = [Field("a", "near", "number"), Field("far.x", "far", "number"), Field("b", "near", "number")]
    return LiveTimelines(
        fields={one.name: one for one in fields},
        buffers={"near": buffer_of("a", "b"), "far": buffer_of("x", times=(50.0,))},
        columns_of={"far.x": "x"},
        aliases={"old": "far.x", "a": "far.x"},
    )


def test_fields_with_samples_in_the_span_are_in_the_catalogue():
    """A field is listed while its timeline has a sample in the span, with the interval of that timeline."""
    catalogue = served().catalogue(0.0, 10.0)
    assert set(catalogue.fields) == {"a", "b"}
    assert catalogue.timelines["near"].interval_s == 1.0
    assert set(served().catalogue(*ALL_TIME).fields) == {"a", "far.x", "b"}
    assert served().catalogue(3.0, 4.0).fields == {}


def test_samples_come_under_the_names_that_were_asked_for():
    """A field may be asked for by several names at once; what is unknown is left out, and so is its timeline."""
    data = served().read(["old", "far.x", "nothing"], *ALL_TIME)
    assert set(data.timelines) == {"far"}
    assert {name: list(values) for name, values in data.timelines["far"].values.items()} == {
        "old": [500.0],
        "far.x": [500.0],
    }


def test_the_name_of_a_field_is_stronger_than_an_alias():
    """An alias that is a field's own name means that field."""
    assert set(served().read(["a"], *ALL_TIME).timelines) == {"near"}


def test_columns_come_in_the_order_asked_for():
    """Whatever timelines they are on, each once."""
    columns = served().columns(["b", "old", "nothing", "a", "b"])
    assert list(columns) == ["b", "old", "a"]
    assert columns["old"].within(*ALL_TIME)[1].tolist() == [500.0]


def test_a_live_node_needs_little_else_than_a_poll():
    """What takes samples is all that a node adds."""

    class Clock(LiveNode):
        poll_interval_s = 1.0

        def __init__(self):
            super().__init__("clock", "What time it is")
            self._buffer = RollingBuffer({"now": "number"}, 100.0, "g")
            self.served = LiveTimelines({"now": Field("now", "clock", "number")}, {"clock": self._buffer})

        def poll(self, now):
            self._buffer.append(now, {"now": now})

    node = Clock()
    assert isinstance(node, DataNode)
    assert isinstance(node, Polls)
    assert isinstance(node, Summarizes)
    assert node.catalogue(*ALL_TIME).fields == {}
    node.poll(5.0)
    assert set(node.catalogue(*ALL_TIME).fields) == {"now"}
    assert node.read(["now"], *ALL_TIME).find("now").times.tolist() == [5.0]
    assert node.columns(["now"])["now"].stop == 1


def test_a_name_that_is_taken_gets_a_number():
    """The first number is two."""
    assert unused_name("a", {}) == "a"
    assert unused_name("a", {"a"}) == "a-2"
    assert unused_name("a", {"a", "a-2", "a-4"}) == "a-3"
