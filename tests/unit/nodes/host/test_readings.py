"""What psutil says becomes readings, on any machine."""

from __future__ import annotations

import re
from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest

from sisock.nodes.host import readings as readings_module
from sisock.nodes.host.node import HostNode
from sisock.nodes.host.readings import HostReadings

NOW = 1.8e9
UNITS = {None, "%", "B", "B/s", "C", "rpm", "s"}
CpuTimes = namedtuple("CpuTimes", "user nice system idle iowait guest")  # noqa: PYI024 - as psutil's


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def readings(clock):
    return HostReadings(clock)


@pytest.fixture
def replace(monkeypatch):
    """Let a function of psutil return what the test says, or raise it."""

    def set_answer(name: str, answer) -> None:
        def function(*arguments, **options):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(psutil, name, function, raising=False)

    return set_answer


def test_this_machine_can_be_read(readings, clock, caplog):
    """On the machine that runs the tests there are numbers, a string and a bool, and nothing fails."""
    readings(NOW)
    clock.now += 1
    found = readings(NOW + 1)
    assert {"cpu.percent", "cpu.load_level", "load.1min", "memory.percent", "memory.low", "system.uptime"} <= set(
        found
    )
    assert found["cpu.load_level"].value in {"idle", "busy", "saturated"}
    assert isinstance(found["memory.low"].value, bool)
    assert not caplog.records


def test_names_and_units_are_conventional(readings, clock):
    """Names are lower-case, dotted and plain; units are those that people write; each reading is described."""
    found = readings(NOW)
    clock.now += 1
    found |= readings(NOW + 1)
    for name, reading in found.items():
        assert re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", name)
        assert reading.units in UNITS
        assert reading.description


def test_the_default_node_reads_this_machine():
    """A node made without a sample of its own serves this machine's readings, a string and a bool among them."""
    node = HostNode()
    node.poll(NOW)
    fields = node.catalogue(1, 4e9).fields.values()
    assert {field.type for field in fields} == {"number", "string", "bool"}


def test_rates_come_with_the_second_reading(readings, clock, replace):
    """A counter has no rate at first; then it is the increase a second."""
    replace("net_io_counters", {"eth0": SimpleNamespace(bytes_recv=1000, bytes_sent=0)})
    assert "network.eth0.received" not in readings(NOW)
    clock.now += 2
    replace("net_io_counters", {"eth0": SimpleNamespace(bytes_recv=1500, bytes_sent=0)})
    found = readings(NOW + 1)
    assert (found["network.eth0.received"].value, found["network.eth0.received"].units) == (250.0, "B/s")
    assert found["network.eth0.sent"].value == 0.0


def test_a_counter_that_was_reset_has_no_rate(readings, clock, replace):
    """After a counter went back its rate is left out once, instead of a huge negative one."""
    values = []
    for count in (1000, 10, 30):
        replace("disk_io_counters", SimpleNamespace(read_bytes=count, write_bytes=count))
        values.append(readings(NOW).get("disk.read"))
        clock.now += 1
    assert values[:2] == [None, None]
    assert values[2].value == 20.0


def test_two_readings_at_one_time_have_no_rate(readings, replace):
    """Without time between two readings there is no rate."""
    replace("disk_io_counters", SimpleNamespace(read_bytes=5, write_bytes=5))
    readings(NOW)
    assert "disk.read" not in readings(NOW)


def test_a_core_is_busy_when_it_is_not_idle(readings, clock, replace):
    """Waiting for disks is idle, a guest's time is not counted twice, and rounding never gives more than 100 %."""
    replace("cpu_times", [CpuTimes(10, 0, 5, 100, 3, 10), CpuTimes(0, 0, 0, 0, 0, 0)])
    assert "cpu.percent" not in readings(NOW)
    clock.now += 1
    replace("cpu_times", [CpuTimes(10.25, 0, 5.25, 100.3, 3.2, 10.25), CpuTimes(1.01, 0, 0, 0, 0, 0)])
    found = readings(NOW + 1)
    assert found["cpu.core0"].value == pytest.approx(50.0)
    assert found["cpu.core1"].value == 100.0
    assert found["cpu.percent"].value == pytest.approx(75.5)


@pytest.mark.parametrize(("load", "level"), [(0.1, "idle"), (1.0, "busy"), (4.0, "saturated")])
def test_the_load_level_is_a_word(readings, replace, load, level):
    """The load of a core in the last minute has three levels."""
    replace("getloadavg", (load, 0.0, 0.0))
    replace("cpu_count", 4)
    assert readings(NOW)["cpu.load_level"].value == level


@pytest.mark.parametrize(
    "error",
    [OSError("no /proc"), psutil.AccessDenied(), NotImplementedError(), RuntimeError("no sensor"), KeyError("x")],
    ids=lambda error: type(error).__name__,
)
def test_what_fails_is_left_out_and_reported_once(readings, replace, caplog, error):
    """A function of psutil that fails takes only its own fields with it, and is one line in the log."""
    replace("virtual_memory", error)
    for _ in range(3):
        found = readings(NOW)
    assert "memory.percent" not in found
    assert "load.1min" in found
    assert [record.message.startswith("memory of this machine") for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "name", ["sensors_temperatures", "sensors_fans", "sensors_battery", "getloadavg", "disk_io_counters"]
)
def test_what_the_platform_lacks_is_left_out(readings, monkeypatch, name):
    """A function that psutil has elsewhere only is not missed."""
    monkeypatch.delattr(psutil, name, raising=False)
    assert "system.uptime" in readings(NOW)


def test_disks_without_counters_are_left_out(readings, replace):
    """A machine without disks has no disk counters."""
    replace("disk_io_counters", None)
    assert "disk.read" not in readings(NOW)


def test_sensors_are_named_by_chip_and_label(readings, replace):
    """Temperatures and fans have plain names; sensors of the same or without a label are told apart."""
    sensors = [SimpleNamespace(label="Core 0", current=40.0), SimpleNamespace(label="Core 0", current=41.0),
               SimpleNamespace(label="", current=42.0), SimpleNamespace(label="", current=None)]  # fmt: skip
    replace("sensors_temperatures", {"k10.Temp": sensors})
    replace("sensors_fans", {"dell": [SimpleNamespace(label="CPU Fan", current=1200)]})
    found = readings(NOW)
    assert {name: (one.value, one.units) for name, one in found.items() if name.startswith(("temp", "fan"))} == {
        "temperature.k10_temp.core_0": (40.0, "C"), "temperature.k10_temp.core_0-2": (41.0, "C"),
        "temperature.k10_temp.sensor": (42.0, "C"), "fan.dell.cpu_fan": (1200, "rpm"),
    }  # fmt: skip


def test_a_battery_is_read_where_there_is_one(readings, replace):
    """Charge is a number and mains power a bool; not known is left out."""
    replace("sensors_battery", SimpleNamespace(percent=80, power_plugged=True))
    found = readings(NOW)
    assert (found["battery.percent"].value, found["battery.plugged"].value) == (80, True)
    replace("sensors_battery", SimpleNamespace(percent=80, power_plugged=None))
    assert "battery.plugged" not in HostReadings()(NOW)


def test_slow_things_are_read_every_ten_seconds(readings, clock):
    """Disk space is read with the first poll and then with every tenth of those a second apart."""
    with_space = []
    for second in range(21):
        clock.now = 100.0 + second
        if any(name.startswith("disk.") and name.endswith(".free") for name in readings(NOW + second)):
            with_space.append(second)
    assert with_space == [0, 10, 20]


def test_each_disk_is_counted_once(readings, replace, tmp_path):
    """Bind mounts of a disk, mounts of files, and image files are no disks of their own."""
    (tmp_path / "hosts").touch()
    (tmp_path / "Data A").mkdir()
    for folder in ("again", "snap"):
        (tmp_path / "Data A" / folder).mkdir()
    part = namedtuple("part", "device mountpoint fstype")  # noqa: PYI024 - as psutil's
    replace("disk_partitions", [
        part("/dev/b", str(tmp_path / "hosts"), "ext4"), part("/dev/b", str(tmp_path / "Data A" / "again"), "ext4"),
        part("/dev/b", str(tmp_path / "Data A"), "ext4"),
        part("/dev/loop0", str(tmp_path / "Data A" / "snap"), "squashfs"),
    ])  # fmt: skip
    names = [name for name in readings(NOW) if name.endswith(".free")]
    assert len(names) == 1
    assert names[0].endswith("_data_a.free")


def test_without_listed_disks_the_root_is_read(readings, replace):
    """In a container that lists no disk the root's space is served."""
    replace("disk_partitions", [])
    assert "disk.root.free" in readings(NOW)


def test_a_disk_that_cannot_be_read_leaves_the_others(readings, replace, monkeypatch, tmp_path):
    """A medium that was taken out does not hide the other disks."""
    usage = psutil.disk_usage
    gone = tmp_path / "gone"
    gone.mkdir()
    part = namedtuple("part", "device mountpoint fstype")  # noqa: PYI024 - as psutil's
    replace("disk_partitions", [part("/dev/a", "/", "ext4"), part("/dev/b", str(gone), "ext4")])

    def disk_usage(path):
        if path == str(gone):
            raise OSError("no medium")
        return usage(path)

    monkeypatch.setattr(psutil, "disk_usage", disk_usage)
    assert [name for name in readings(NOW) if name.endswith(".free")] == ["disk.root.free"]


def test_interfaces_of_containers_are_left_out(readings, replace):
    """Names that come and go with every container would fill the catalogue."""
    replace("net_if_stats", {"veth12ab": SimpleNamespace(isup=True), "eth0.100": SimpleNamespace(isup=False)})
    assert {name for name in readings(NOW) if name.endswith(".up")} == {"network.eth0_100.up"}


def test_labels_are_plain_and_differ():
    """Parts of names are lower-case and plain, and two names never share one."""
    names = ["Eth0", "eth0", "a.b/c", "日本", "eth0-2"]
    labels = [label for _, label in readings_module._labelled(names)]
    assert labels == ["eth0", "eth0-2", "a_b_c", "unnamed", "eth0-2-2"]
