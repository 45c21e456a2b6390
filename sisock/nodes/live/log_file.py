"""The format of the log files of a write-ahead log: what a buffer took, in the order in which it did.

A write-ahead log is a folder of log files, ``00000001.journal`` and so on. All numbers are little-endian. A file
begins with its preamble, the one part that is written again, 32 bytes::

    magic    8 bytes   "sisockJ1"
    length   uint64    how many bytes count: set after each record is written, before any reader sees the samples
    written  uint64    when that was, in nanoseconds of UNIX time: a file that was changed later may be an old copy
    state    uint32    0 in use, 1 followed by another file, 2 closed: flushed to the disk as the process ended
    header   uint32    the length of the header

The header is JSON in UTF-8: the file's number, the number of the oldest file that is still needed, the run of the
machine that it was written in, the generation, name and type of each field, the position of the buffer before the
first record (under the key ``mark``; a time that lacks is null), and what the owner of the buffer has to say of it. A
CRC follows, then records::

    length   uint32    of the whole record
    count    uint32    how many samples; 0 for a position
    times    float64   UNIX seconds, one for each sample, ascending
    values   for each field, in the order of the header: number float64, bool uint8, string uint32 for the length of
             each in bytes and then all of them in UTF-8
    crc      uint32

A position in place of samples says that all samples newer than its newest were dropped: stop uint64, newest float64,
floor float64, revision uint32, dropped uint8. Each CRC is the CRC-32 of all that comes before it, from the header's
first byte on, so that the last of them vouches for the whole file.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
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
_POSITION = struct.Struct("<QddI?")
_LEAST_RECORD_BYTES = _RECORD.size + NUMBER32.size
_FIXED: Mapping[FieldType, str] = {"number": "<f8", "bool": "?"}
# How many records are compared at a time to find a run: a few at first, and more as long as all are alike.
_FEW, _MORE = 8, 8


class LogDamaged(Exception):
    """A file does not begin as a log file does."""


@dataclass(frozen=True)
class Header:
    """The header of a log file; the docstring of the module says what is in it."""

    number: int
    oldest: int
    boot: str
    generation: str
    fields: Mapping[str, FieldType]
    position: Position
    about: Mapping[str, Any]

    def encoded(self) -> bytes:
        """Return the JSON."""
        # The keys, and their order, are those of files that are on disks already.
        return json.dumps(
            {
                "number": self.number,
                "oldest": self.oldest,
                "boot": self.boot,
                "generation": self.generation,
                "fields": list(self.fields.items()),
                "mark": {name: _without_infinity(value) for name, value in self.position._asdict().items()},
                "about": self.about,
            }
        ).encode()

    @classmethod
    def decoded(cls, text: bytes) -> Header:
        """Return the header of some JSON; raise LogDamaged when it is of another kind."""
        try:
            kept = json.loads(text)
            mark: dict[str, Any] = {name: -math.inf if one is None else one for name, one in kept.pop("mark").items()}
            return cls(**{**kept, "fields": dict(kept["fields"]), "position": Position(**mark)})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise LogDamaged(f"the header is none: {error}") from None


class RecordBatch(NamedTuple):
    """The samples of consecutive records; ``counts`` says how many were in each."""

    times: Times
    values: Sequence[Values]
    counts: NDArray[np.intp]

    def batches(self, newest: float) -> Iterator[tuple[Times, list[Values]]]:
        """Yield them in as few batches as give the same buffer as the records did one by one.

        Records whose samples lie behind all before them share a batch.

        Parameters
        ----------
        newest
            The time of the newest sample before them, UNIX seconds.
        """
        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        before = np.maximum.accumulate(np.concatenate([[newest], self.times[ends - 1]]))[:-1]
        # A record with late samples is a batch alone: what is too late depends on how far the buffer had come by then.
        alone = np.flatnonzero(self.times[starts] < before)
        cuts = np.unique(np.concatenate([[0], starts[alone], ends[alone], ends[-1:]]))
        for low, high in pairwise(cuts.tolist()):
            yield self.times[low:high], [array[low:high] for array in self.values]


@dataclass(frozen=True)
class LogFile:
    """The content of a log file.

    Parameters
    ----------
    steps
        Samples that the buffer took, and positions to which it went back when it dropped some.
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
    """Return the preamble, the header and its CRC: a log file without records."""
    text = header.encoded()
    length = PREAMBLE.size + len(text) + NUMBER32.size
    return PREAMBLE.pack(MAGIC, length, written_ns, IN_USE, len(text)) + text + NUMBER32.pack(zlib.crc32(text))


def encode_batch(times: Times, values: Sequence[Values], crc: int) -> bytes:
    """Return the record of a batch that follows after bytes with a CRC."""
    parts = [times.astype("<f8", copy=False).tobytes(), *(_encode_column(array) for array in values)]
    return _record(len(times), b"".join(parts), crc)


def encode_position(position: Position, crc: int) -> bytes:
    """Return the record of a position that follows after bytes with a CRC."""
    stop, newest, floor, dropped, revision = position
    return _record(0, _POSITION.pack(stop, newest, floor, revision, dropped), crc)


def crc_of_opening(opening: bytes) -> int:
    """Return the CRC that the first record of a file follows after; the preamble is written again, and not in it."""
    return zlib.crc32(opening[PREAMBLE.size :])


def crc_after(record: bytes) -> int:
    """Return the CRC that the next record of a file follows after: that of all bytes up to the end of this one."""
    # The record ends with the CRC of all before its own last bytes: to go on from there spares reading these again.
    crc_bytes = record[-NUMBER32.size :]
    return zlib.crc32(crc_bytes, NUMBER32.unpack(crc_bytes)[0])


def decode_log_file(data: bytes) -> LogFile:
    """Return what is in a file: all records up to the first that is cut off or damaged.

    Raises
    ------
    LogDamaged
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
    # The last CRC vouches for the whole file; only where it is wrong is each record's own checked, which takes longer.
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
    """Yield the records of which all bytes are there, whatever is in them."""
    window = _FEW
    while at + _LEAST_RECORD_BYTES <= len(data):
        length, count = _RECORD.unpack_from(data, at)
        most = (len(data) - at) // max(length, _LEAST_RECORD_BYTES)
        if length < _LEAST_RECORD_BYTES or not most:
            return
        shape = (min(most, window),)
        # Length and count of each record as one number, if all are as long as the first; what differs ends the run.
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
    """Yield what is in the records; all samples up to the next position are one batch."""
    for is_sampled, group in groupby(runs, key=lambda run: run.samples > 0):
        if is_sampled:
            yield _join_batches([batch for run in group for batch in _decode_run(data, run, types)])
        else:
            yield from (_decode_position(data, one) for run in group for one in run.each())


def _join_batches(batches: Sequence[RecordBatch]) -> RecordBatch:
    times, values, counts = zip(*batches, strict=True)
    columns = [np.concatenate(arrays) for arrays in zip(*values, strict=True)]
    return RecordBatch(np.concatenate(times), columns, np.concatenate(counts))


def _decode_position(data: bytes, run: _Run) -> Position:
    stop, newest, floor, revision, dropped = _POSITION.unpack_from(data, run.offset + _RECORD.size)
    return Position(stop, newest, floor, dropped, revision)


def _decode_run(data: bytes, run: _Run, types: Sequence[FieldType]) -> Iterator[RecordBatch]:
    # Texts are of different lengths, so that the same columns are at other places in each record.
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
    """Decode a single record column by column; of a text, the lengths of all come first."""
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
