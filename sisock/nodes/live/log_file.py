"""The files of a journal: what a buffer took, in the order in which it did.

A journal is a folder of segments, ``00000001.journal`` and so on. All numbers are little-endian. A segment begins
with the one part that is written again, 32 bytes::

    magic    8 bytes   "sisockJ1"
    length   uint64    how many bytes count: set after each record is written, before any reader sees the samples
    written  uint64    when that was, in nanoseconds of UNIX time: a file that was changed later may be an old copy
    state    uint32    0 in use, 1 followed by another segment, 2 closed: flushed to the disk as the process ended
    header   uint32    the length of the header

The header is JSON in UTF-8: the segment's number, the number of the oldest segment that is still needed, the run of
the machine that it was written in, the generation, name and type of each field, the mark at which the buffer stood (a
time that lacks is null), and what the owner of the buffer has to say of it. A CRC follows, then records::

    length   uint32    of the whole record
    count    uint32    how many samples; 0 for a mark
    times    float64   UNIX seconds, one for each sample, ascending
    values   for each field, in the order of the header: number float64, bool uint8, string uint32 for the length of
             each in bytes and then all of them in UTF-8
    crc      uint32

A mark in place of samples says that all samples newer than its newest were dropped: stop uint64, newest float64, floor
float64, revision uint32, dropped uint8. Each CRC is the CRC-32 of all that comes before it, from the header's first
byte on, so that the last of them vouches for the whole file.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sisock.core.buffer.rolling import Position
from sisock.core.model import FieldType, Times, Values

MAGIC = b"sisockJ1"
IN_USE, FOLLOWED, CLOSED = range(3)
LENGTH_OFFSET, STATE_OFFSET = 8, 24
PREAMBLE = struct.Struct("<8sQQII")
PROGRESS, NUMBER32 = struct.Struct("<QQ"), struct.Struct("<I")
_RECORD = struct.Struct("<II")
_MARK = struct.Struct("<QddI?")
_LEAST_RECORD_BYTES = _RECORD.size + NUMBER32.size
_FIXED: Mapping[FieldType, str] = {"number": "<f8", "bool": "?"}
_FEW, _MORE = 8, 8


class LogDamaged(Exception):
    """A file does not begin as a segment does."""


@dataclass(frozen=True)
class Header:
    """What a segment says of itself; see the module for what it is."""

    number: int
    oldest: int
    boot: str
    generation: str
    fields: Mapping[str, FieldType]
    mark: Position
    about: Mapping[str, Any]

    def encoded(self) -> bytes:
        """Return the JSON."""
        mark = {name: _without_infinity(value) for name, value in self.mark._asdict().items()}
        return json.dumps({**self.__dict__, "fields": list(self.fields.items()), "mark": mark}).encode()

    @classmethod
    def decoded(cls, text: bytes) -> Header:
        """Return the header that some JSON tells of; raise SegmentDamaged when it is of another kind."""
        try:
            told = json.loads(text)
            known: dict[str, Any] = {name: -math.inf if one is None else one for name, one in told["mark"].items()}
            mark = Position(**known)
            return cls(**{**told, "fields": dict(told["fields"]), "mark": mark})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise LogDamaged(f"the header is none: {error}") from None


class RecordBatch(NamedTuple):
    """The samples of records that follow one another; ``counts`` says how many were in each."""

    times: Times
    values: Sequence[Values]
    counts: NDArray[np.intp]

    def batches(self, newest: float) -> Iterator[tuple[Times, list[Values]]]:
        """Yield them in as few batches as give the same buffer as the records did one by one.

        Those that lie behind all before them are taken together.

        Parameters
        ----------
        newest
            The time of the newest sample before them, UNIX seconds.
        """
        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        before = np.maximum.accumulate(np.concatenate([[newest], self.times[ends - 1]]))[:-1]
        alone = np.flatnonzero(self.times[starts] < before)
        cuts = np.unique(np.concatenate([[0], starts[alone], ends[alone], ends[-1:]]))
        for low, high in pairwise(cuts.tolist()):
            yield self.times[low:high], [array[low:high] for array in self.values]


@dataclass(frozen=True)
class LogFile:
    """What was read of a file.

    Parameters
    ----------
    steps
        What was taken, and marks where something was dropped.
    length
        How many bytes are whole records.
    is_whole
        Whether these are all that counted when it was last written to.
    written_ns
        When it was last written to, in nanoseconds of UNIX time.
    state
        Whether it was in use, followed or closed.
    """

    header: Header
    steps: Sequence[RecordBatch | Position]
    length: int
    is_whole: bool
    written_ns: int
    state: int


def encode_opening(header: Header, written_ns: int) -> bytes:
    """Return the beginning of a segment without records."""
    text = header.encoded()
    length = PREAMBLE.size + len(text) + NUMBER32.size
    return PREAMBLE.pack(MAGIC, length, written_ns, IN_USE, len(text)) + text + NUMBER32.pack(zlib.crc32(text))


def encode_batch(times: Times, values: Sequence[Values], crc: int) -> bytes:
    """Return the record of a batch that follows after bytes with a CRC."""
    parts = [times.astype("<f8", copy=False).tobytes(), *(_encode_column(array) for array in values)]
    return _record(len(times), b"".join(parts), crc)


def encode_mark(mark: Position, crc: int) -> bytes:
    """Return the record of a mark that follows after bytes with a CRC."""
    return _record(0, _MARK.pack(mark.stop, mark.newest, mark.floor, mark.revision, mark.dropped), crc)


def decode_log_file(data: bytes) -> LogFile:
    """Return what is in a file: all records up to the first that is cut off or damaged.

    Raises
    ------
    SegmentDamaged
        When not even the header is whole.
    """
    if len(data) < PREAMBLE.size:
        raise LogDamaged("it is too short")
    magic, length, written_ns, state, text_bytes = PREAMBLE.unpack_from(data)
    start = PREAMBLE.size + text_bytes + NUMBER32.size
    if magic != MAGIC or len(data) < start or not _crc_is_right(data, start):
        raise LogDamaged("the header is not whole")
    header = Header.decoded(data[PREAMBLE.size : start - NUMBER32.size])
    runs = list(_runs(data, start))
    if runs and not _crc_is_right(data, runs[-1].end):
        runs = list(_sound(data, runs))
    end = runs[-1].end if runs else start
    try:
        steps = list(_steps(data, runs, list(header.fields.values())))
    except ValueError as error:
        raise LogDamaged(f"a record is none: {error}") from None
    return LogFile(header, steps, end, end >= length, written_ns, state)


class _Run(NamedTuple):
    """Records of the same length and count that follow one another."""

    offset: int
    length: int
    samples: int
    repeats: int

    @property
    def end(self) -> int:
        return self.offset + self.length * self.repeats

    def each(self) -> Iterator[_Run]:
        for offset in range(self.offset, self.end, self.length):
            yield self._replace(offset=offset, repeats=1)


def _runs(data: bytes, at: int) -> Iterator[_Run]:
    """Yield the records that are there to their ends, whatever is in them."""
    window = _FEW
    while at + _LEAST_RECORD_BYTES <= len(data):
        length, count = _RECORD.unpack_from(data, at)
        most = (len(data) - at) // max(length, _LEAST_RECORD_BYTES)
        if length < _LEAST_RECORD_BYTES or not most:
            return
        shape = (min(most, window),)
        heads: NDArray[np.uint64] = np.ndarray(shape, dtype="<u8", buffer=data, offset=at, strides=(length,))
        differ = heads != heads[0]
        repeats = int(differ.argmax()) if differ.any() else len(heads)
        window = window * _MORE if repeats == window else _FEW
        yield _Run(at, length, count, repeats)
        at += length * repeats


def _sound(data: bytes, runs: Sequence[_Run]) -> Iterator[_Run]:
    """Yield the records, one by one, before the first that is damaged."""
    start = PREAMBLE.size
    crc = 0
    for run in runs:
        for one in run.each():
            crc = zlib.crc32(memoryview(data)[start : one.end - NUMBER32.size], crc)
            if crc != NUMBER32.unpack_from(data, one.end - NUMBER32.size)[0]:
                return
            start = one.end - NUMBER32.size
            yield one


def _crc_is_right(data: bytes, end: int) -> bool:
    """Tell whether the four bytes before ``end`` are the CRC of all before them."""
    at = end - NUMBER32.size
    return bool(zlib.crc32(memoryview(data)[PREAMBLE.size : at]) == NUMBER32.unpack_from(data, at)[0])


def _steps(data: bytes, runs: Sequence[_Run], types: Sequence[FieldType]) -> Iterator[RecordBatch | Position]:
    """Yield what the records say, those with samples put together up to a mark."""
    lots: list[RecordBatch] = []
    for run in runs:
        if run.samples:
            lots += _decode_run(data, run, types)
            continue
        if lots:
            yield _join_batches(lots)
            lots = []
        for one in run.each():
            stop, newest, floor, revision, dropped = _MARK.unpack_from(data, one.offset + _RECORD.size)
            yield Position(stop, newest, floor, dropped, revision)
    if lots:
        yield _join_batches(lots)


def _join_batches(lots: Sequence[RecordBatch]) -> RecordBatch:
    values = [np.concatenate(arrays) for arrays in zip(*(lot.values for lot in lots), strict=True)]
    return RecordBatch(
        np.concatenate([lot.times for lot in lots]), values, np.concatenate([lot.counts for lot in lots])
    )


def _decode_run(data: bytes, run: _Run, types: Sequence[FieldType]) -> Iterator[RecordBatch]:
    if "string" in types:
        yield from (_decode_record(data, one, types) for one in run.each())
        return
    shape = (run.samples,)
    columns = [(str(number), _FIXED[kind], shape) for number, kind in enumerate(types)]
    layout = np.dtype([("head", "<u8"), ("times", "<f8", shape), *columns, ("crc", "<u4")])
    if layout.itemsize != run.length:
        raise ValueError("a record is not as long as its samples")
    table = np.ndarray((run.repeats,), dtype=layout, buffer=data, offset=run.offset)
    values = [table[name].reshape(-1) for name, *_ in columns]
    yield RecordBatch(table["times"].reshape(-1), values, np.full(run.repeats, run.samples, dtype=np.intp))


def _decode_record(data: bytes, run: _Run, types: Sequence[FieldType]) -> RecordBatch:
    at = run.offset + _RECORD.size
    times = np.frombuffer(data, "<f8", run.samples, at)
    at += times.nbytes
    values: list[Values] = []
    for kind in types:
        lengths_or_values = np.frombuffer(data, _FIXED.get(kind, "<u4"), run.samples, at)
        at += lengths_or_values.nbytes
        if kind == "string":
            texts, at = _decode_texts(data, lengths_or_values, at)
            values.append(texts)
        else:
            values.append(lengths_or_values)
    return RecordBatch(times, values, np.array([run.samples], dtype=np.intp))


def _decode_texts(data: bytes, lengths: Values, at: int) -> tuple[Values, int]:
    texts = np.empty(len(lengths), dtype=object)
    for number, length in enumerate(lengths.tolist()):
        texts[number] = data[at : at + length].decode(errors="surrogatepass")
        at += length
    return texts, at


def _encode_column(array: Values) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    texts = [text.encode(errors="surrogatepass") for text in array]
    return np.array([len(text) for text in texts], dtype="<u4").tobytes() + b"".join(texts)


def _record(count: int, payload: bytes, crc: int) -> bytes:
    record = _RECORD.pack(_LEAST_RECORD_BYTES + len(payload), count) + payload
    return record + NUMBER32.pack(zlib.crc32(record, crc))


def _without_infinity(value: Any) -> Any:
    return None if value == -math.inf else value
