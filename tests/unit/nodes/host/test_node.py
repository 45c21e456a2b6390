"""The host's live samples: which timelines they are on, what comes and goes, what is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sisock.nodes.contract import Polls
from sisock.nodes.host.node import HostNode
from sisock.nodes.host.readings import Reading

NOW = 1.8e9
ALL_TIME = (1e-3, 4e9)


class Machine:
    """A host whose readings the test sets."""

    def __init__(self, keep_s: float = 100.0) -> None:
        self.values: dict[str, object] = {}
        self.node = HostNode(keep_s=keep_s, sample=lambda now: {n: Reading(v) for n, v in self.values.items()})

    def poll(self, now: float, **values) -> None:
        """Poll with readings whose names have a double underscore for the dot."""
        self.values = {name.replace("__", "."): value for name, value in values.items()}
        self.node.poll(now)

    def samples(self, name: str) -> list[tuple[float, object]]:
        block = self.node.read([name], *ALL_TIME).find(name)
        return [] if block is None else list(zip(block.times.tolist(), block.values[name].tolist(), strict=True))

    def names(self) -> set[str]:
        return set(self.node.catalogue(*ALL_TIME).fields)


@pytest.fixture
def machine():
    return Machine()


def test_a_host_polls():
    """The node says how often it wants to be polled."""
    assert isinstance(HostNode(), Polls)
    assert HostNode(poll_interval_s=5.0).poll_interval_s == 5.0


def test_before_the_first_poll_there_is_nothing():
    """A node that was never polled has an empty catalogue."""
    node = HostNode()
    assert dict(node.catalogue(*ALL_TIME).fields) == {}
    assert node.read(["cpu.percent"], *ALL_TIME).timelines == {}


def test_numbers_of_one_thing_share_a_timeline_and_states_stand_alone(machine):
    """Numbers named alike up to the last dot are one timeline; each string and bool is one of its own."""
    machine.poll(NOW, net__lo__sent=1.0, net__lo__received=2, cpu__percent=3, cpu__level="idle", net__lo__up=True, n=4)
    fields = machine.node.catalogue(*ALL_TIME).fields
    assert {name: (field.timeline, field.type) for name, field in fields.items()} == {
        "net.lo.sent": ("net.lo", "number"), "net.lo.received": ("net.lo", "number"), "cpu.percent": ("cpu", "number"),
        "cpu.level": ("cpu.level", "string"), "net.lo.up": ("net.lo.up", "bool"), "n": ("n", "number"),
    }  # fmt: skip


def test_a_timeline_name_is_used_once(machine):
    """A number below a state's name does not end up on the state's timeline."""
    machine.poll(NOW, power=True, power__watts=5.0)
    fields = machine.node.catalogue(*ALL_TIME).fields
    assert fields["power"].timeline != fields["power.watts"].timeline


def test_the_interval_is_measured(machine):
    """The interval is the mean spacing of the samples kept; one sample has none."""
    machine.poll(NOW, a=1.0)
    assert machine.node.catalogue(*ALL_TIME).timelines["a"].interval_s is None
    machine.poll(NOW + 1, a=1.0)
    machine.poll(NOW + 4, a=1.0)
    assert machine.node.catalogue(*ALL_TIME).timelines["a"].interval_s == 2.0


def test_a_missing_number_is_nan_beside_others(machine):
    """When one number of a timeline is not read, it is NaN at that time; None is as good as missing."""
    machine.poll(NOW, x__a=1.0, x__b=2.0)
    machine.poll(NOW + 1, x__a=3.0)
    machine.poll(NOW + 2, x__a=None, x__b=4.0)
    np.testing.assert_array_equal(machine.samples("x.a"), [(NOW, 1), (NOW + 1, 3), (NOW + 2, math.nan)])
    np.testing.assert_array_equal(machine.samples("x.b"), [(NOW, 2), (NOW + 1, math.nan), (NOW + 2, 4)])


def test_when_all_of_a_timeline_is_missing_there_is_no_sample(machine):
    """What vanished has no more samples, and those that it had are still served; when it is back it goes on."""
    machine.poll(NOW, x__a=1.0, s="on")
    machine.poll(NOW + 1)
    assert machine.samples("x.a") == [(NOW, 1.0)]
    machine.poll(NOW + 2, x__a=3.0, s="off")
    assert machine.samples("x.a") == [(NOW, 1.0), (NOW + 2, 3.0)]
    assert machine.samples("s") == [(NOW, "on"), (NOW + 2, "off")]


def test_a_number_that_appears_later_has_no_past(machine):
    """A field that was not there from the start begins when it begins, beside an older one of its kind."""
    machine.poll(NOW, x__a=1.0)
    machine.poll(NOW + 1, x__a=2.0, x__b=5.0)
    assert machine.samples("x.a") == [(NOW, 1.0), (NOW + 1, 2.0)]
    assert machine.samples("x.b") == [(NOW + 1, 5.0)]


def test_a_field_keeps_its_type(machine):
    """A reading of another type than the field's is as good as missing, and harms no other."""
    machine.poll(NOW, x__a=1.0, s="on", b=True)
    machine.poll(NOW + 1, x__a="hot", s=5, b=1)
    machine.poll(NOW + 2, x__a=2, s="off", b=False)
    assert machine.samples("x.a") == [(NOW, 1.0), (NOW + 2, 2.0)]
    assert machine.samples("s") == [(NOW, "on"), (NOW + 2, "off")]
    assert machine.samples("b") == [(NOW, True), (NOW + 2, False)]


def test_only_so_much_is_kept(machine):
    """Samples older than keep_s are dropped, and the reply says from when on there are some."""
    for second in range(0, 300, 10):
        machine.poll(NOW + second, a=float(second))
    block = machine.node.read(["a"], *ALL_TIME).timelines["a"]
    assert (block.times[0], block.times[-1]) == (NOW + 190, NOW + 290)
    assert (block.available_from, block.finalized_until) == (NOW + 190, NOW + 290)


def test_what_vanished_long_ago_is_forgotten(machine):
    """A field that was gone for longer than is kept is unknown, so that nothing piles up."""
    machine.poll(NOW, old=1.0, a=1.0)
    machine.poll(NOW + 100, a=2.0)
    assert machine.names() == {"old", "a"}
    machine.poll(NOW + 101, a=3.0)
    assert machine.names() == {"a"}
    assert machine.node.read(["old"], *ALL_TIME).timelines == {}
    assert len(machine.node.served.buffers) == 1


def test_what_came_back_after_being_forgotten_is_other_data(machine):
    """A field that was forgotten and appears again has another generation: its past is lost."""
    machine.poll(NOW, a=1.0)
    before = machine.node.read(["a"], *ALL_TIME).timelines["a"].generation
    machine.poll(NOW + 200)
    machine.poll(NOW + 300, a=1.0)
    assert machine.node.read(["a"], *ALL_TIME).timelines["a"].generation != before


def test_generations_differ_between_runs_and_timelines():
    """What is kept in memory is lost at the end, so each run and each timeline has an identity of its own."""
    generations = set()
    for _ in range(2):
        machine = Machine()
        machine.poll(NOW, a=1.0, s="on")
        block = machine.node.read(["a", "s"], *ALL_TIME)
        generations |= {one.generation for one in block.timelines.values()}
    assert len(generations) == 4


def test_a_step_back_of_the_clock_drops_the_samples_of_the_future(machine):
    """Samples of a clock that was ahead would make later ones late: they go, and the generation says so."""
    for now in (NOW, NOW + 10):
        machine.poll(now, a=now)
    before = machine.node.read(["a"], *ALL_TIME).timelines["a"].generation
    machine.poll(NOW + 5, a=5.0)
    assert machine.samples("a") == [(NOW, NOW), (NOW + 5, 5.0)]
    timeline = machine.node.read(["a"], *ALL_TIME).timelines["a"]
    assert timeline.generation != before
    assert timeline.finalized_until == NOW + 5


def test_a_large_step_back_of_the_clock_starts_afresh(machine):
    """When the clock was far ahead, the samples of then do not keep those of now out for ever."""
    machine.poll(NOW + 1e8, a=1.0)
    before = machine.node.read(["a"], *ALL_TIME).timelines["a"].generation
    machine.poll(NOW, a=2.0)
    machine.poll(NOW + 1, a=3.0)
    assert machine.samples("a") == [(NOW, 2.0), (NOW + 1, 3.0)]
    assert machine.node.read(["a"], *ALL_TIME).timelines["a"].generation != before


def test_units_and_descriptions_are_those_of_the_first_reading():
    """Units and descriptions of the readings are in the catalogue."""
    node = HostNode(sample=lambda now: {"a": Reading(1.0, "B/s", "Traffic")})
    node.poll(NOW)
    field = node.catalogue(*ALL_TIME).fields["a"]
    assert (field.units, field.description) == ("B/s", "Traffic")


class Machines:
    """Nodes one after the other on the same folder, each as after a restart of the process."""

    def __init__(self, folder) -> None:
        self._folder = str(folder)
        self._node = None

    def next(self, keep_s=100.0):
        """End the node there is, and return a machine with another."""
        if self._node is not None:
            self._node._folder._ending()
        machine = Machine()
        machine.node = self._node = HostNode(
            keep_s=keep_s, sample=lambda now: {n: Reading(v, "K", "Warmth") for n, v in machine.values.items()},
            folder=self._folder,
        )  # fmt: skip
        return machine


@pytest.fixture
def machines(tmp_path):
    return Machines(tmp_path / "samples")


def test_samples_survive_a_restart(machines):
    """With a folder the fields of before are there at once, on the same timelines, and go on under the same names."""
    machine = machines.next()
    machine.poll(NOW, x__a=1.0, x__b=2.0, s="on", b=True)
    machine.poll(NOW + 1, x__a=3.0, s="off", c=5)
    before, fields = machine.node.read(["x.a", "s"], *ALL_TIME), machine.node.catalogue(*ALL_TIME).fields
    machine = machines.next()
    after = machine.node.read(["x.a", "s"], *ALL_TIME)
    assert {name: one.generation for name, one in after.timelines.items()} == {
        name: one.generation for name, one in before.timelines.items()
    }
    assert dict(machine.node.catalogue(*ALL_TIME).fields) == dict(fields)
    machine.poll(NOW + 5, x__a=4.0, x__b=2.5, s="on", d=1.0)
    assert machine.samples("x.a") == [(NOW, 1.0), (NOW + 1, 3.0), (NOW + 5, 4.0)]
    assert machine.samples("s") == [(NOW, "on"), (NOW + 1, "off"), (NOW + 5, "on")]
    assert machine.node.catalogue(*ALL_TIME).fields["x.b"].timeline == "x"
    assert machine.names() == {"x.a", "x.b", "s", "b", "c", "d"}


def test_what_vanished_long_ago_leaves_the_folder(machines, tmp_path):
    """A timeline that is no longer kept is removed from the disk, also when it expired while no process ran."""
    machine = machines.next()
    machine.poll(NOW, a=1.0, old=1.0)
    machine.poll(NOW + 90, a=1.0)
    machine = machines.next()
    machine.poll(NOW + 101, a=2.0)
    assert machine.names() == {"a"}
    assert len(list(tmp_path.glob("samples/*.samples"))) == 1


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, machine):
    """By default samples are in memory only."""
    monkeypatch.chdir(tmp_path)
    machine.poll(NOW, a=1.0)
    assert list(tmp_path.iterdir()) == []


def test_of_a_timeline_that_is_there_twice_the_newest_is_served(machines, tmp_path):
    """When a timeline was begun anew and the old one not yet removed, the old one goes."""
    machine = machines.next()
    machine.poll(NOW, x__a=1.0)
    machine.node.served = type(machine.node.served)()
    machine.poll(NOW + 1, x__a=2.0, x__b=1.0)
    machine = machines.next()
    assert machine.samples("x.a") == [(NOW + 1, 2.0)]
    assert len(list(tmp_path.glob("samples/*.samples"))) == 1


def test_a_folder_in_use_is_no_end(machines, tmp_path, caplog):
    """A second process with the same folder says so and serves what it polls."""
    machines.next().poll(NOW, a=1.0)
    second = Machine()
    second.node = HostNode(sample=lambda now: {"a": Reading(2.0)}, folder=str(tmp_path / "samples"))
    second.poll(NOW)
    assert second.samples("a") == [(NOW, 2.0)]
    assert "another process uses it" in caplog.text


def test_columns_have_the_samples_that_are_read(machine):
    """A column of each known field has its samples and says of them what a read says."""
    for second in range(5):
        machine.poll(NOW + second, x__a=float(second), x__b=-float(second), s="on")
    columns = machine.node.columns(["s", "x.b", "nothing", "x.b"])
    assert set(columns) == {"s", "x.b"}
    for name, column in columns.items():
        block = machine.node.read([name], NOW + 1, NOW + 3).find(name)
        times, values = column.within(NOW + 1, NOW + 3)
        assert times.tolist() == block.times.tolist()
        assert values.tolist() == block.values[name].tolist()
        said = column.finalized_until, column.available_from, column.generation
        assert said == (block.finalized_until, block.available_from, block.generation)
