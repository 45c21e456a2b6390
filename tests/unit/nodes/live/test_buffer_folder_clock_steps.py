"""What live nodes do when the wall clock of their machine is set."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.times import bucket_number
from sisock.core.window.spans import reduce_spans
from sisock.core.wire.replies import answer_spans
from sisock.core.wire.requests import parse_request
from sisock.gateway.drawing.planner import Drawing, SeriesWanted, choose_resolution
from sisock.gateway.gateway import Gateway
from sisock.nodes.host.node import HostNode
from sisock.nodes.host.readings import Reading
from sisock.nodes.live.buffer_folder import ASIDE_S
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0
FAR = 3.7e8  # as a clock without a battery may be ahead
ALL_TIME = (1e-3, 4e9)


class Machine:
    """A host that is polled once a second, by both of its clocks; what it reads are the seconds since the start."""

    def __init__(self, folder=None, keep_s=600.0) -> None:
        self.clock = ManualClock(NOW)
        self.folder, self.keep_s = folder, keep_s
        self.start()

    def start(self) -> None:
        """Start the node, as a process begins."""
        self.node = HostNode(
            keep_s=self.keep_s, sample=lambda now: {"passed": self.reading()}, folder=self.folder, clock=self.seconds
        )

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return self.clock.seconds() - NOW

    def reading(self) -> Reading:
        """Return what is measured now."""
        return Reading(self.seconds(), "s", "since the start")

    def run(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.node.poll(self.clock())
            self.clock.advance(1.0)

    @property
    def block(self):
        """All that is served."""
        return self.node.read(["passed"], *ALL_TIME).find("passed")

    def samples(self) -> list[tuple[float, float]]:
        """Return all samples, their times since NOW."""
        return list(zip((self.block.times - NOW).tolist(), self.block.values["passed"].tolist(), strict=True))


def every_second(first, last, ahead_s=0):
    """Return the samples of the seconds from one up to another, on a clock that is ahead."""
    return [(second + ahead_s, second) for second in range(first, last)]


@pytest.mark.parametrize("step_s", [-1.5, -2, -5, -20, -500])
def test_samples_after_a_step_back_are_where_their_stamps_say(step_s):
    """Each sample after a step back is taken, with its own stamp, and the generation says that the past is another."""
    machine = Machine()
    machine.run(550)
    before = machine.block.generation
    machine.clock.step(step_s)
    machine.run(30)
    after = [(time, value) for time, value in machine.samples() if value >= 550]
    assert after == every_second(550, 580, step_s)
    assert (np.diff(machine.block.times) >= 0).all()
    assert machine.block.generation != before


def test_what_was_measured_ahead_is_dropped_after_a_step_back():
    """Samples of the time that is yet to come go: those that come then would be mixed with them."""
    machine = Machine()
    machine.run(100)
    machine.clock.step(-20)
    machine.run(50)
    assert machine.samples() == every_second(0, 81) + every_second(100, 150, -20)


@pytest.mark.parametrize("step_s", [FAR, -FAR])
def test_a_far_step_that_is_set_right_costs_nothing_of_the_past(step_s, tmp_path):
    """When the clock was set far away and is set right within the hour, what was there before is there again."""
    machine = Machine(str(tmp_path))
    machine.run(100)
    before = machine.block.generation
    machine.clock.step(step_s)
    machine.run(30)
    assert machine.samples() == every_second(100, 130, step_s)
    machine.clock.step(-step_s)
    machine.run(30)
    assert machine.samples() == every_second(0, 100) + every_second(130, 160)
    assert machine.block.generation == before
    assert len(list(tmp_path.glob("*.samples"))) == 1


def test_a_wrong_clock_at_the_start_costs_nothing_of_the_past(tmp_path):
    """A machine that boots with a clock from another year has the past of before again once its clock is set right."""
    machine = Machine(str(tmp_path))
    machine.run(100)
    machine.node._folder._ending()
    machine.clock.advance(10.0)
    machine.clock.step(-FAR)
    machine.start()
    machine.run(20)
    machine.clock.step(FAR)
    machine.run(20)
    assert machine.samples() == every_second(0, 100) + every_second(130, 150)


def test_a_clock_that_is_set_from_one_wrong_time_to_another(tmp_path):
    """The past of the first clock is the one that is waited for."""
    machine = Machine(str(tmp_path))
    machine.run(100)
    for step_s in (FAR, -2 * FAR, FAR):
        machine.clock.step(step_s)
        machine.run(10)
    assert machine.samples() == every_second(0, 100) + every_second(120, 130)
    assert len(list(tmp_path.glob("*.samples"))) == 1


def test_a_far_step_is_believed_in_the_end(tmp_path):
    """What was put aside is gone after an hour, from memory and disk, even if the clock is set back then."""
    machine = Machine(str(tmp_path), keep_s=2 * ASIDE_S)
    machine.run(100)
    machine.clock.step(FAR)
    machine.run(10)
    assert len(list(tmp_path.glob("*.samples"))) == 2
    machine.clock.advance(ASIDE_S)
    machine.run(10)
    assert len(list(tmp_path.glob("*.samples"))) == 1
    machine.clock.step(-FAR)
    machine.run(10)
    assert {value for _, value in machine.samples()} == {ASIDE_S + second for second in range(120, 130)}


def test_a_buffer_takes_what_comes_behind_what_is_final():
    """A sample older than the newest is put in its place, and the generation changes where that was final."""
    buffer = RollingBuffer({"x": "number"}, 100.0, "g", late_s=5.0)
    buffer.extend([10.0, 20.0, 30.0], {"x": [1, 2, 3]})
    buffer.append(26.0, {"x": 4})
    assert buffer.block("x", *ALL_TIME).generation == "g~5"
    buffer.append(15.0, {"x": 5})
    block = buffer.block("x", *ALL_TIME)
    assert block.times.tolist() == [10, 15, 20, 26, 30]
    assert block.values["x"].tolist() == [1, 5, 2, 4, 3]
    assert (block.generation, block.finalized_until) == ("g~5+1", 25.0)


class HostOnTheNetwork(FakeNode):
    """The host as gateways ask it."""

    def __init__(self, host) -> None:
        super().__init__("host", {"passed": ([1.0], [1.0])})
        self.host = host

    def _get_data(self, now, field, start, end, min_stride=None, **extensions):
        request = parse_request(field, start, end, min_stride, now, **extensions)
        columns = self.host.columns(request.fields)
        return answer_spans(reduce_spans(columns, request), request)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_and_what_is_not_draw_the_same_over_steps(seed):
    """Over steps of any size, back and ahead, a gateway that keeps answers draws what one draws that keeps nothing."""
    chance = random.Random(seed)
    machine = Machine(keep_s=chance.choice([60.0, 600.0]))
    hub = FakeHub([HostOnTheNetwork(machine.node)])
    gateways = [Gateway(None, machine.clock, 2.0, cache_bytes, machine.clock) for cache_bytes in (2**24, 0)]
    for gateway in gateways:
        result_of(gateway.connected(FakeRouter(hub, machine.clock)))
    drawn = 0
    for _ in range(60):
        machine.run(chance.choice([2, 3, 5, 30]))  # an answer serves others for a second
        if chance.random() < 0.2:
            machine.clock.step(chance.choice([-1.5, -20.0, 20.0, -3600.0, 3600.0, FAR, -FAR]))
            machine.run(2)
        end = machine.clock() - chance.choice([0.0, 0.0, 10.0])
        start, points = end - chance.choice([30.0, 300.0]), chance.choice([20, 1000])
        answers = [
            result_of(one.query([SeriesWanted("host", "passed")], start, end, points, Drawing(breaks=False)))
            for one in gateways
        ]
        kept, true = (answer.series[0] for answer in answers)
        assert (kept.problem, true.problem) == (None, None)
        # What the node no longer keeps may be drawn from what is kept: whole buckets after it are compared.
        width, gone = choose_resolution(start, end, points).buckets("number").width_s, machine.block.available_from
        low = (bucket_number(gone, width) + 1) * width if gone > start else start
        left, right = (samples_from(series, low) for series in (kept, true))
        assert left == right
        drawn += len(right)
    assert drawn > 500


def samples_from(series, low):
    return [one for one in zip(series.times.tolist(), series.values.tolist(), strict=True) if one[0] >= low]
