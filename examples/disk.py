"""A live data node that knows nothing of WAMP: the space on a disk, taken every few seconds, kept for an hour."""

import shutil
import uuid
from collections.abc import Sequence

from sisock.core.buffer import RollingBuffer
from sisock.core.model import DataBlock, Field, FieldCatalogue

FIELDS = [
    Field("free", "space", "number", units="B", description="Free space"),
    Field("nearly_full", "space", "bool", description="Less than a tenth is free"),
]


class Disk:
    """The options of the node are the arguments of its class: ``sisock node disk.py --option path=/home``."""

    def __init__(self, path: str = "/", poll_interval_s: float = 5.0) -> None:
        self.name = "disk"
        self.description = f"Space on {path}"
        self.poll_interval_s = poll_interval_s
        self._path = path
        self._samples = RollingBuffer({one.name: one.type for one in FIELDS}, 3600.0, uuid.uuid4().hex)

    def poll(self, now: float) -> None:
        usage = shutil.disk_usage(self._path)
        self._samples.append(now, {"free": usage.free, "nearly_full": usage.free < usage.total / 10})

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        has_samples = len(self._samples.block((), start, end).times) > 0
        return FieldCatalogue.of(FIELDS if has_samples else [], {"space": self.poll_interval_s})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        names = [one.name for one in FIELDS if one.name in fields]
        return DataBlock({"space": self._samples.block(names, start, end)} if names else {})
