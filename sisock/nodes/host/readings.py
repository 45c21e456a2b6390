"""The readings that psutil takes of a machine, by the name of a field.

``PROBES`` is the table of what is asked. Each entry may fail, or be missing on a platform, without the others.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from sisock.nodes.live.live_timelines import unused_name

logger = logging.getLogger(__name__)

# Just under ten, so that a poll a second takes every tenth even when it comes a little early.
SLOW_INTERVAL_S = 9.5
LOW_MEMORY_SHARE = 0.1
LOAD_LEVELS = ((0.1, "idle"), (1.0, "busy"))
FULL_LOAD_LEVEL = "saturated"
IMAGE_FILESYSTEMS = frozenset({"squashfs", "iso9660", "erofs"})
SHORT_LIVED_INTERFACES = ("veth",)
NOT_BUSY = frozenset({"idle", "iowait", "guest", "guest_nice"})

# What psutil raises where a platform, a container or a driver does not give what is asked.
PROBE_FAILURES = (
    psutil.Error,
    OSError,
    NotImplementedError,
    AttributeError,
    LookupError,
    RuntimeError,
    ValueError,
    TypeError,
)

Value = float | int | str | bool


@dataclass(frozen=True)
class Reading:
    """One value, None when it is not known this time; units as people write them."""

    value: Value | None
    units: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Counter:
    """A count since some start; what is served is its increase a second, at most ``limit``, in ``units``."""

    count: float
    units: str
    description: str
    limit: float = math.inf


Probed = Iterator[tuple[str, Reading | Counter]]
Probe = Callable[[], Probed]


class HostReadings:
    """Asks psutil for everything in ``PROBES``; for ``SLOW_PROBES`` every ten seconds.

    Parameters
    ----------
    clock
        Seconds, never stepping; for rates.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[float, float]] = {}
        self._slow_due = -math.inf
        self._reported: set[str] = set()

    def __call__(self, now: float) -> dict[str, Reading]:
        """Return what is known now; ``now`` is UNIX seconds."""
        probes: dict[str, Probe] = {**PROBES, "uptime": partial(_uptime, now)}
        if self._clock() >= self._slow_due:
            # Set before they are asked: one that takes long is not asked more seldom than others.
            self._slow_due = self._clock() + SLOW_INTERVAL_S
            probes.update(SLOW_PROBES)
        readings: dict[str, Reading] = {}
        for name, probe in probes.items():
            readings.update(self._ask(name, probe))
        return readings

    def _ask(self, name: str, probe: Probe) -> dict[str, Reading]:
        """Return what a probe finds, or nothing if it fails, which is logged once."""
        try:
            probed = dict(probe())
        except PROBE_FAILURES as error:
            if name not in self._reported:
                self._reported.add(name)
                logger.warning("%s of this machine cannot be read (%s) and is left out", name, error)
            return {}
        readings = {key: self._rate(key, one) if isinstance(one, Counter) else one for key, one in probed.items()}
        return {key: reading for key, reading in readings.items() if reading.value is not None}

    def _rate(self, name: str, counter: Counter) -> Reading:
        """Return the increase a second; none for a counter that is new, or went back when its device was reset."""
        now = self._clock()
        then, count = self._counts.get(name, (now, counter.count))
        self._counts[name] = (now, counter.count)
        rate = None
        if now > then and counter.count >= count:
            # A core's time and the clock are not read at the same moment: it may seem to have worked for too long.
            rate = min((counter.count - count) / (now - then), counter.limit)
        return Reading(rate, counter.units, counter.description)


def _cpu() -> Probed:
    # psutil's own cpu_percent remembers the last call of each thread, and polls come from any thread.
    busy_s = [_busy_s(times) for times in psutil.cpu_times(percpu=True)]
    mean_s = sum(busy_s) / len(busy_s)
    yield "cpu.percent", Counter(100.0 * mean_s, "%", "Time that the cores were busy, mean of all", limit=100.0)
    for index, seconds in enumerate(busy_s):
        yield f"cpu.core{index}", Counter(100.0 * seconds, "%", f"Time that core {index} was busy", limit=100.0)


def _busy_s(times: Any) -> float:
    """Return the seconds that a core has worked; the time of guests is in the users' already."""
    return float(sum(s for kind, s in times._asdict().items() if kind not in NOT_BUSY))


def _load() -> Probed:
    averages = psutil.getloadavg()
    for minutes, average in zip((1, 5, 15), averages, strict=True):
        yield f"load.{minutes}min", Reading(average, None, f"Processes that ran or waited, mean of {minutes} min")
    share = averages[0] / (psutil.cpu_count() or 1)
    level = next((level for bound, level in LOAD_LEVELS if share < bound), FULL_LOAD_LEVEL)
    yield "cpu.load_level", Reading(level, None, "Load of a core in the last minute: idle, busy or saturated")


def _memory() -> Probed:
    memory = psutil.virtual_memory()
    yield "memory.percent", Reading(memory.percent, "%", "Memory that is not available")
    yield "memory.used", Reading(memory.used, "B", "Memory in use")
    yield "memory.available", Reading(memory.available, "B", "Memory that programs can still get")
    low = memory.available < LOW_MEMORY_SHARE * memory.total
    yield "memory.low", Reading(low, None, "Less than a tenth of the memory is available")


def _swap() -> Probed:
    swap = psutil.swap_memory()
    yield "swap.percent", Reading(swap.percent, "%", "Swap space in use")
    yield "swap.used", Reading(swap.used, "B", "Swap space in use")


def _disk_traffic() -> Probed:
    # None in a container that sees no disk.
    counts = psutil.disk_io_counters()
    if counts is not None:
        yield "disk.read", Counter(counts.read_bytes, "B/s", "Read from all disks")
        yield "disk.written", Counter(counts.write_bytes, "B/s", "Written to all disks")


def _network_traffic() -> Probed:
    counts = psutil.net_io_counters(pernic=True)
    for interface, label in _labelled(filter(_lasting, counts)):
        count = counts[interface]
        yield f"network.{label}.received", Counter(count.bytes_recv, "B/s", f"Received by interface {interface}")
        yield f"network.{label}.sent", Counter(count.bytes_sent, "B/s", f"Sent by interface {interface}")


def _network_state() -> Probed:
    states = psutil.net_if_stats()
    for interface, label in _labelled(filter(_lasting, states)):
        yield f"network.{label}.up", Reading(bool(states[interface].isup), None, f"Interface {interface} is up")


def _processes() -> Probed:
    yield "system.processes", Reading(len(psutil.pids()), None, "Number of processes")


def _uptime(now: float) -> Probed:
    yield "system.uptime", Reading(max(0.0, now - psutil.boot_time()), "s", "Time since the machine was started")


def _disk_space() -> Probed:
    mountpoints = _mountpoints()
    names = [mountpoint.strip("/\\") or "root" for mountpoint in mountpoints]
    for mountpoint, (_, label) in zip(mountpoints, _labelled(names), strict=True):
        try:
            usage = psutil.disk_usage(mountpoint)
        except OSError:
            # A medium was taken out, or is not ours to see.
            continue
        yield f"disk.{label}.percent", Reading(usage.percent, "%", f"Space in use on {mountpoint}")
        yield f"disk.{label}.free", Reading(usage.free, "B", f"Space left on {mountpoint}")


def _mountpoints() -> list[str]:
    """Return one mount point of each disk; a container's mounts of single files and image files do not count."""
    first: dict[str, str] = {}
    for partition in sorted(psutil.disk_partitions(all=False), key=lambda one: len(one.mountpoint)):
        if partition.fstype not in IMAGE_FILESYSTEMS and Path(partition.mountpoint).is_dir():
            first.setdefault(partition.device, partition.mountpoint)
    return list(first.values()) or [Path(Path.cwd().anchor).as_posix()]


def _temperatures() -> Probed:
    yield from _sensors("temperature", "sensors_temperatures", "C", "Temperature")


def _fans() -> Probed:
    yield from _sensors("fan", "sensors_fans", "rpm", "Speed of fan")


def _sensors(kind: str, function: str, units: str, words: str) -> Probed:
    """Read one kind of sensor, if the platform has any."""
    # The function itself lacks where psutil knows no sensors of the platform.
    chips: Mapping[str, Any] = getattr(psutil, function, dict)()
    for chip, chip_label in _labelled(chips):
        names = [sensor.label or "sensor" for sensor in chips[chip]]
        for sensor, (name, label) in zip(chips[chip], _labelled(names), strict=True):
            yield f"{kind}.{chip_label}.{label}", Reading(sensor.current, units, f"{words} {chip} {name}")


def _battery() -> Probed:
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    if battery is not None:
        yield "battery.percent", Reading(battery.percent, "%", "Charge of the battery")
        yield "battery.plugged", Reading(battery.power_plugged, None, "Mains power is connected")


def _lasting(interface: str) -> bool:
    """Leave out the ends of containers' links: they come and go under names that never return."""
    return not interface.startswith(SHORT_LIVED_INTERFACES)


def _labelled(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return each name with its part of a field's name: lower-case, of ``[a-z0-9_-]``, no two the same."""
    labels: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_") or "unnamed"
        labels[unused_name(plain, labels)] = name
    return [(name, label) for label, name in labels.items()]


PROBES: dict[str, Probe] = {
    "CPU": _cpu,
    "load": _load,
    "memory": _memory,
    "swap": _swap,
    "disk traffic": _disk_traffic,
    "network traffic": _network_traffic,
    "network state": _network_state,
    "processes": _processes,
}
SLOW_PROBES: dict[str, Probe] = {
    "disk space": _disk_space,
    "temperature": _temperatures,
    "fans": _fans,
    "battery": _battery,
}
