"""Samples as they travel: the reply of ``get_data``."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from sisock.core.errors import BadReply
from sisock.core.model import DataBlock, DataRequest, Field, FieldCatalogue, Statement, TimelineBlock
from sisock.core.wire.values import as_text, as_times, as_values, describe

PACKED_DTYPES = {"<f8", "<i8", "|b1"}
TIMELINE_SHAPE = '{"t": times, "finalized_until": time or None}'
KEY_OF_TIMES = ", under the key 't' of the timeline"
DATA_SHAPE = '{"data": {field: values}, "timeline": {name: {"t": times, "finalized_until": time or None}}}'


def encode_data(block: DataBlock, request: DataRequest) -> dict[str, Any]:
    """Return the reply of ``get_data`` for a block that is already cut, downsampled and paged as was asked."""
    data: dict[str, Any] = {name: [] for name in request.fields}
    timelines: dict[str, Any] = {}
    for timeline_name, timeline in block.timelines.items():
        # The original API has no timelines without samples; our consumers want what such a one states.
        if not (timeline.times.size or request.extended):
            continue
        data.update((name, _encode_array(values, request.packed)) for name, values in timeline.values.items())
        timelines[timeline_name] = _encode_timeline(timeline, request)
    return {"data": data, "timeline": timelines}


def _encode_timeline(timeline: TimelineBlock, request: DataRequest) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "t": _encode_array(timeline.times, request.packed),
        "finalized_until": _encode_finality(timeline.finalized_until, request.end),
    }
    if request.extended:
        oldest = timeline.available_from
        entry["available_from"] = oldest if math.isfinite(oldest) else None
        entry["generation"] = timeline.generation
        entry["field"] = list(timeline.values)
    return entry


def _encode_finality(finalized_until: float, end: float) -> float | None:
    """None says that all that was asked for is final; a promise of nothing is a time before all samples."""
    if finalized_until >= end:
        return None
    return max(finalized_until, 0.0)


def _encode_array(array: Any, packed: bool) -> Any:  # noqa: FBT001 - a flag of the request, handed on
    if packed and array.dtype.kind in "fib":
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        return {"dtype": little_endian.dtype.str, "data": little_endian.tobytes()}
    return array.tolist()


def decode_data(
    reply: Any, fields: Iterable[str], catalogue: FieldCatalogue | None = None
) -> tuple[DataBlock, list[str]]:
    """Read a reply of ``get_data``; return its samples, sorted by time, and what was wrong with it in words.

    A field whose list is not as long as its timeline is left out: padding or cutting would move values in time.

    Parameters
    ----------
    reply
        As it came over the wire, or from a server's own method: lists, NumPy arrays and scalars, packed arrays.
    fields
        The fields that were asked for; others are ignored.
    catalogue
        Tells which timeline a field is on, and its type, where the reply itself does not.

    Raises
    ------
    BadReply
        When nothing of the reply can be used.
    """
    if not _is_reply(reply):
        raise BadReply(f"the answer to 'get_data' must be {DATA_SHAPE}, but is {describe(reply)}")
    reader = _ReplyReader(reply["data"], reply["timeline"], catalogue or FieldCatalogue())
    for name in fields:
        reader.read(name)
    return reader.block(), reader.problems


class _ReplyReader:
    """Collects the fields of one reply by timeline."""

    def __init__(self, data: Mapping[str, Any], timelines: Mapping[str, Any], catalogue: FieldCatalogue) -> None:
        self.problems: list[str] = []
        self._data = data
        self._timelines = {as_text(name): entry for name, entry in timelines.items() if isinstance(entry, Mapping)}
        self._odd = [(as_text(name), one) for name, one in timelines.items() if not isinstance(one, Mapping)]
        self._catalogue = catalogue
        self._of_field = {field: name for name, entry in self._timelines.items() for field in _listed_fields(entry)}
        self._times: dict[str, Any] = {}
        self._values: dict[str, dict[str, Any]] = {name: {} for name in self._timelines}
        self._stated: dict[str, Statement] = {}

    def read(self, name: str) -> None:
        try:
            given = _unpack(self._data.get(name), "its values")
        except ValueError as error:
            self.problems.append(f"field '{name}' is left out: {error}")
            return
        timeline = self._timeline_of(name)
        if timeline is None or not (len(given) or name in self._of_field):
            # Without values its timeline need not be in the reply; with some it must.
            if timeline is not None and self._is_empty(name, given, timeline):
                self._stated[name] = self._statement_of(timeline)
            if len(given):
                self.problems.append(f"field '{name}' is left out: {self._why_nowhere()}")
            return
        try:
            times = self._times_of(timeline)
            known = self._catalogue.find(name)
            values = as_values(given, known.type if known else None)
        except ValueError as error:
            self.problems.append(f"field '{name}' is left out: {error}")
            return
        if len(values) != len(times):
            self.problems.append(
                f"field '{name}' is left out: it has {len(values)} values, but its timeline '{timeline}' has "
                f"{len(times)} times; give as many values as times{'' if len(times) else KEY_OF_TIMES}"
            )
            return
        self._values[timeline][name] = values

    def block(self) -> DataBlock:
        blocks = {name: self._timeline_block(name, values) for name, values in self._values.items() if values}
        return DataBlock(blocks, self._stated)

    def _is_empty(self, field: str, given: Any, timeline: str) -> bool:
        """Tell whether the reply says of a field that is on one of its timelines that it has nothing in this span."""
        known = self._catalogue.find(field)
        is_listed = self._data.get(field) is not None and not len(given)
        return is_listed and known is not None and known.timeline == timeline

    def _why_nowhere(self) -> str:
        """Return in words why values have no timeline."""
        if not self._odd:
            return "the reply does not say which timeline it is on"
        name, entry = self._odd[0]
        return f"the reply's timeline '{name}' is of the type {type(entry).__name__}, but must be {TIMELINE_SHAPE}"

    def _timeline_of(self, field: str) -> str | None:
        """Trust the reply, then the catalogue, then that there is only one timeline."""
        known = self._catalogue.find(field)
        candidates = [self._of_field.get(field), known.timeline if known else None]
        timeline = next((name for name in candidates if name in self._timelines), None)
        if timeline is None and len(self._timelines) == 1 and not self._is_elsewhere(known):
            return next(iter(self._timelines))
        return timeline

    def _is_elsewhere(self, known: Field | None) -> bool:
        """Tell whether the catalogue has the one timeline of the reply, but not for this field."""
        (timeline,) = self._timelines
        return known is not None and timeline in self._catalogue.timelines

    def _times_of(self, timeline: str) -> Any:
        # Fields share a timeline, which is converted once.
        if timeline not in self._times:
            self._times[timeline] = as_times(_unpack(self._timelines[timeline].get("t"), "the times of its timeline"))
        return self._times[timeline]

    def _timeline_block(self, timeline: str, values: dict[str, Any]) -> TimelineBlock:
        block = TimelineBlock(self._times[timeline], values, statement=self._statement_of(timeline))
        # Most come in order, and to find that out is much quicker than to sort.
        if np.all(block.times[1:] >= block.times[:-1]):
            return block
        # Stable, because among samples of one time the server's order is all that tells which is the last.
        return block.take(np.argsort(block.times, kind="stable"))

    def _statement_of(self, timeline: str) -> Statement:
        entry = self._timelines[timeline]
        oldest = entry.get("available_from")
        generation = entry.get("generation")
        return Statement(
            finalized_until=_decode_finality(entry.get("finalized_until", -math.inf)),
            available_from=float(oldest) if isinstance(oldest, int | float) else -math.inf,
            generation=None if generation is None else str(generation),
        )


def decode_after(reply: Any) -> Any:
    """Return where the next page of a reply begins; None where nothing follows."""
    return reply.get("after")


def _decode_finality(finalized_until: Any) -> float:
    """None says that everything is final; what cannot be read promises nothing."""
    if finalized_until is None:
        return math.inf
    try:
        value = float(finalized_until)
    except (TypeError, ValueError, OverflowError):
        return -math.inf
    return -math.inf if math.isnan(value) else value


def _listed_fields(entry: Mapping[str, Any]) -> list[str]:
    """Return the fields that a timeline of a reply lists; so3g's reader says ``fields`` for ``field``."""
    listed = entry.get("field", entry.get("fields", ()))
    listed = [listed] if isinstance(listed, str) else listed
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list | tuple) else []


def _unpack(given: Any, what: str) -> Any:
    """Return a list or an array; nothing for None; ValueError in words for anything else."""
    if given is None:
        return ()
    if isinstance(given, Mapping) and "dtype" in given:
        dtype, data = given.get("dtype"), given.get("data")
        # These types only: what the dtype is comes from somebody else.
        whole = dtype in PACKED_DTYPES and isinstance(data, bytes) and len(data) % np.dtype(dtype).itemsize == 0
        if not whole:
            raise ValueError(f"{what} are packed wrongly")
        return np.frombuffer(data, dtype=dtype)  # type: ignore[arg-type]  # bytes, as was checked
    is_list = hasattr(given, "__len__") and not isinstance(given, str | bytes | Mapping | AbstractSet)
    if not is_list or getattr(given, "ndim", 1) == 0:
        raise ValueError(f"{what} are of the type {type(given).__name__}, but must be a list or an array")
    return given


def copy_reply(reply: Any) -> Any:
    """Return a reply of ``get_data`` whose lists and arrays nobody else holds; anything else as it is."""
    if not _is_reply(reply):
        return reply
    data = {name: _copied(values) for name, values in reply["data"].items()}
    timelines = {
        name: {**entry, "t": _copied(entry.get("t", ()))} if isinstance(entry, Mapping) else entry
        for name, entry in reply["timeline"].items()
    }
    return {"data": data, "timeline": timelines}


def _copied(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values.copy()
    # Deques too: servers keep their last samples in one, and go on filling it.
    return list(values) if isinstance(values, list | tuple | deque) else values


def _is_reply(reply: Any) -> bool:
    return isinstance(reply, Mapping) and all(isinstance(reply.get(key), Mapping) for key in ("data", "timeline"))
