"""A rolling buffer: the last seconds, hours or days of live samples of one timeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple, Protocol

from numpy.typing import ArrayLike

from sisock.core.buffer.batch import DTYPES, checked_batch, exact_row
from sisock.core.buffer.chunks import Budget, Chunk, Chunks
from sisock.core.buffer.summaries import BufferSummaries
from sisock.core.column.column import Column
from sisock.core.model import FieldType, Statement, TimelineBlock, Times, Values
from sisock.core.times import mean_spacing


class Position(NamedTuple):
    """The position of a buffer: how far it has come.

    Parameters
    ----------
    stop
        How many samples it has taken: the absolute index of the next.
    newest
        The time of the newest sample, UNIX seconds; -inf when there is none.
    floor
        What is older is not taken any more, UNIX seconds.
    dropped
        Whether any sample was dropped for its age.
    revision
        How often what was final has changed.
    """

    stop: int = 0
    newest: float = -math.inf
    floor: float = -math.inf
    dropped: bool = False
    revision: int = 0


class WriteAheadLog(Protocol):
    """A log of all that a buffer takes, written before any reader can see it; it raises nothing.

    ``generation`` is the identity of what is kept. When something cannot be kept, it has changed by the time that
    the call returns: what the buffer holds is other data from there on.
    """

    generation: str

    def extended(self, before: Position, times: Times, values: Sequence[Values]) -> None:
        """Keep a batch in ascending order, with the values of each field, that the buffer takes at a position."""

    def resumed(self, position: Position) -> None:
        """Keep that the samples newer than a position's newest were dropped."""


class _State(NamedTuple):
    """The samples from the absolute index ``first`` up to that of the position, and what is said of them."""

    chunks: Chunks
    first: int
    position: Position
    generation: str

    def index_of(self, instant: float, *, after_equal: bool = False) -> int:
        return self.chunks.index_of(instant, self.first, self.position.stop, after_equal=after_equal)

    def span(self, start: float, end: float) -> tuple[int, int]:
        """Return the absolute indices of what lies inside [start, end)."""
        low = self.index_of(start)
        return low, max(low, self.index_of(end))

    @property
    def oldest(self) -> float | None:
        return self.chunks.time_at(self.first) if self.first < self.position.stop else None

    def statement(self, late_s: float) -> Statement:
        """Return what holds for any part of it: until when it is final, from when on there is something, and whose."""
        oldest, position = self.oldest, self.position
        finalized_until = -math.inf if oldest is None else position.newest - late_s
        available_from = (
            max(position.floor, -math.inf if oldest is None else oldest) if position.dropped else -math.inf
        )
        generation = f"{self.generation}+{position.revision}" if position.revision else self.generation
        return Statement(finalized_until=finalized_until, available_from=available_from, generation=generation)


class RollingBuffer:
    """Samples of one timeline, not older than a duration before the newest of them.

    Parameters
    ----------
    fields
        The type of each field. Every row must have a value for each of them, and for no other.
    duration_s
        Samples are dropped when they are older than this before the newest. The clock is never read.
    generation
        Identity of the data, of the caller's making: it should differ after a restart that loses them. It is
        handed on with a suffix once a late sample has changed what was final.
    max_bytes
        The oldest samples are dropped, too, when all take more memory than this; about an eighth of it goes at
        once. A few samples are kept whatever it is.
    late_s
        Samples may come so late, in seconds before the newest: only what is older than that is final.
    """

    def __init__(
        self,
        fields: Mapping[str, FieldType],
        duration_s: float,
        generation: str,
        max_bytes: float = math.inf,
        late_s: float = 0.0,
    ) -> None:
        if not duration_s > 0:
            raise ValueError(f"a buffer of {duration_s} s keeps nothing: give a duration above zero")
        if not 0 <= late_s < math.inf:
            raise ValueError(f"samples cannot be {late_s} s late: give a number of seconds, or 0")
        self._fields = dict(fields)
        self._numbers = {name: number for number, name in enumerate(self._fields)}
        self._dtypes = [DTYPES[kind] for kind in self._fields.values()]
        self._budget = Budget(self._dtypes, max_bytes)
        self._max_bytes = max_bytes
        self._duration_s = duration_s
        self._late_s = late_s
        self._generation = generation
        self._log: WriteAheadLog | None = None
        # Guards the summaries, which all states share. Readers of blocks need no lock: a state never changes, and what
        # one thread at a time adds to the arrays lies behind the position that readers look up to.
        self._guard = Lock()
        self._state = self._empty(Position())

    def __len__(self) -> int:
        """Return the number of samples kept."""
        state = self._state
        return state.position.stop - state.first

    @property
    def newest(self) -> float | None:
        """The time of the newest sample, None when there is none."""
        state = self._state
        return None if state.oldest is None else state.position.newest

    @property
    def oldest(self) -> float | None:
        """The time of the oldest sample kept, None when there is none."""
        return self._state.oldest

    @property
    def interval_s(self) -> float | None:
        """The mean spacing of the samples kept, in seconds; None when there is none."""
        state = self._state
        return mean_spacing(state.oldest, state.position.newest, state.position.stop - state.first)

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """The type of each field."""
        return self._fields

    @property
    def max_bytes(self) -> float:
        """The memory that the samples may take."""
        return self._max_bytes

    @property
    def bytes(self) -> int:
        """The memory that the samples take, those that there is room for included."""
        return self._budget.used(self._state.chunks)

    @property
    def position(self) -> Position:
        """The position that it has reached."""
        return self._state.position

    def keep_in(self, log: WriteAheadLog) -> None:
        """Write all that is taken from now on to a log first; its generation is the buffer's."""
        self._log = log
        self._state = self._state._replace(generation=self._identity())

    def limit(self, max_bytes: float) -> None:
        """Allow another number of bytes from now on; the oldest samples go at once where they are over it."""
        # To let go of samples changes the summaries, which readers may ask for at the same time.
        with self._guard:
            self._max_bytes = self._budget.most_bytes = max_bytes
            self._show(self._state, self._state.position)

    def append(self, time: float, values: Mapping[str, Any]) -> None:
        """Take one sample of each field; rules and errors as for :meth:`extend`."""
        # A log takes batches only.
        row = None if self._log else exact_row(self._fields, time, values)
        if row is None or not self._take_row(time, row):
            self.extend([time], {name: [value] for name, value in values.items()})

    def extend(self, times: ArrayLike, values: Mapping[str, Any]) -> None:
        """Take some samples of each field.

        A sample as old as another comes after it. A late one, older than the newest kept, is put in its place, and
        the generation changes if it was final there; one too old to be kept is passed over. Nothing is taken when an
        error is raised.

        Parameters
        ----------
        times
            Shape (n,), UNIX seconds, in any order.
        values
            For each field n values: numbers (None is NaN), bools or texts.

        Raises
        ------
        ValueError
            When a field lacks or is unknown, lengths differ, a time is not finite, or a value is of another type.
        """
        batch_times, batch = checked_batch(self._fields, times, values)
        if len(batch_times):
            if self._log:
                # Before a reader can see the samples: the log's generation changes when it could not write them.
                self._log.extended(self._state.position, batch_times, batch)
            self._take(batch_times, batch)

    def forget_after(self, time: float) -> None:
        """Drop the samples newer than ``time``, UNIX seconds: their clock was ahead and has been set back."""
        state, position = self._state, self._state.position
        stop = state.index_of(time, after_equal=True)
        if stop < position.stop:
            newest = state.chunks.time_at(stop - 1) if stop > state.first else -math.inf
            position = Position(stop, newest, min(position.floor, time), position.dropped, position.revision + 1)
            if self._log:
                self._log.resumed(position)
            # By the same method as after a restart, so that what is read from the log is the same buffer.
            self.resume(position)

    def forget_before(self, time: float) -> None:
        """Drop the samples before ``time``, UNIX seconds, and take no more of them: some of them are not known."""
        with self._guard:
            position = self._state.position
            self._show(self._state, position._replace(floor=max(position.floor, time), dropped=True))

    def resume(self, position: Position) -> bool:
        """Take up a position that a log has of the buffer: samples newer than the position's newest are dropped.

        Returns
        -------
        bool
            Whether what is kept goes on without a gap. Otherwise it is dropped, too, and the buffer begins anew.
        """
        with self._guard:
            state = self._state
            stop = state.index_of(position.newest, after_equal=True)
            if stop != position.stop:
                self._state = self._empty(position)
                return False
            self._show(self._until(state, stop) if stop < state.position.stop else state, position)
            return True

    def count(self, start: float, end: float) -> int:
        """Return the number of samples inside [start, end), UNIX seconds."""
        low, high = self._state.span(start, end)
        return high - low

    def block(self, names: Iterable[str], start: float, end: float) -> TimelineBlock:
        """Return the samples of some fields inside [start, end), UNIX seconds.

        The arrays are read-only, and stay as they are while the buffer goes on. Unknown fields are left out. All
        that is older than the newest sample by what samples may be late is final.
        """
        state = self._state
        low, high = state.span(start, end)
        values = {
            name: state.chunks.values(self._numbers[name]).slice(low, high) for name in names if name in self._numbers
        }
        return TimelineBlock(state.chunks.times.slice(low, high), values, statement=state.statement(self._late_s))

    def column(self, name: str) -> Column:
        """Return a field's samples with what makes reducing them quick; raise KeyError when it is unknown."""
        return self.columns([name])[name]

    def columns(self, names: Iterable[str]) -> dict[str, Column]:
        """Return the same for several fields, as they are at one moment; unknown ones are left out."""
        numbers = {name: self._numbers[name] for name in names if name in self._numbers}
        with self._guard:
            state = self._state
            steps, summaries = self._summaries.read(
                state.chunks, state.first, state.position.stop, [*numbers.values()]
            )
        statement = state.statement(self._late_s)
        return {
            name: Column(
                times=state.chunks.times,
                values=state.chunks.values(number),
                stop=state.position.stop,
                first=state.first,
                steps=steps,
                summary=summary,
                statement=statement,
            )
            for (name, number), summary in zip(numbers.items(), summaries, strict=True)
        }

    def _empty(self, position: Position) -> _State:
        """Return a state that stands at a position without any samples."""
        self._summaries = BufferSummaries(self._dtypes, position.stop)
        self._budget = Budget(self._dtypes, self._max_bytes)
        chunk = Chunk.with_room(position.stop, self._budget.room_after(0), self._dtypes)
        return _State(Chunks((chunk,)), position.stop, position, self._identity())

    def _identity(self) -> str:
        generation = self._log.generation if self._log else self._generation
        # What was final under another margin may not be under this one: after a restart that changed it, it is new.
        return f"{generation}~{self._late_s:g}" if self._late_s else generation

    def _take_row(self, time: float, row: Sequence[Any]) -> bool:
        """Take a row if it is of the simplest kind: in time, and in the room that is left; the quick way."""
        state, (stop, newest, floor, dropped, revision) = self._state, self._state.position
        chunk = state.chunks.tail
        place = stop - chunk.start
        if not newest <= time >= floor or place == chunk.room or self._budget.weighs_texts:
            return False
        try:
            for array, value in zip(chunk.values, row, strict=True):
                array[place] = value
        except OverflowError:
            # A whole number beyond float64. What was written lies behind the position, and nobody reads it.
            return False
        chunk.times[place] = time
        with self._guard:
            self._show(state, Position(stop + 1, time, max(floor, time - self._duration_s), dropped, revision))
        return True

    def _take(self, times: Times, batch: Sequence[Values]) -> None:
        """Take a batch in ascending order."""
        before = self._state.position
        newest = max(before.newest, float(times[-1]))
        floor = max(before.floor, newest - self._duration_s)
        with self._guard:
            state, dropped = self._state, before.dropped
            # In this order: what is too old, what goes between samples that are there, what goes behind them.
            if times[0] < floor:
                state, dropped = self._without_old(state, times, floor), True
                times, batch = _from(int(times.searchsorted(floor)), times, batch)
            late = int(times.searchsorted(before.newest)) if len(times) and times[0] < before.newest else 0
            changed = late > 0 and float(times[0]) < before.newest - self._late_s
            if late:
                state = self._with_late(state, times[:late], [array[:late] for array in batch])
                times, batch = _from(late, times, batch)
            state = self._appended(state, times, batch)
            self._show(state, Position(state.position.stop, newest, floor, dropped, before.revision + changed))

    def _without_old(self, state: _State, times: Times, floor: float) -> _State:
        """Pass over those of a batch that are too old; those in time before the batch itself made them old count."""
        too_old = times[: times.searchsorted(floor)]
        counted = len(too_old) - int(too_old.searchsorted(state.position.newest))
        return self._empty(state.position._replace(stop=state.position.stop + counted)) if counted else state

    def _appended(self, state: _State, times: Times, batch: Sequence[Values]) -> _State:
        """Put samples behind those kept, in the room left and then in new chunks."""
        chunks, stop, done = state.chunks, state.position.stop, 0
        self._budget.take(batch)
        while done < len(times):
            tail = chunks.tail
            count = min(len(times) - done, tail.start + tail.room - stop)
            if count:
                window = slice(done, done + count)
                tail.put(stop, times[window], [array[window] for array in batch])
                stop, done = stop + count, done + count
            else:
                room = self._budget.room_after(stop - state.first, len(times) - done)
                chunks = chunks.followed_by(Chunk.with_room(stop, room, self._dtypes))
        return _State(chunks, state.first, state.position._replace(stop=stop), state.generation)

    def _with_late(self, state: _State, times: Times, batch: Sequence[Values]) -> _State:
        """Put late samples in their places."""
        stop = state.position.stop
        if stop == state.first:
            return self._appended(state, times, batch)
        self._budget.take(batch)
        self._summaries.cut(state.index_of(float(times[0]), after_equal=True))
        chunks = state.chunks.with_late(stop, times, batch)
        return state._replace(chunks=chunks, position=state.position._replace(stop=stop + len(times)))

    def _until(self, state: _State, stop: int) -> _State:
        """Drop the samples from an absolute index on."""
        self._summaries.cut(stop)
        self._budget.let_go(state.chunks, stop, state.position.stop)
        return state._replace(chunks=state.chunks.until(stop))

    def _show(self, state: _State, position: Position) -> None:
        """Let go of what is too old or too much, and let readers see the rest."""
        chunks, first = state.chunks, state.first
        if first < position.stop and chunks.time_at(first) < position.floor:
            first = chunks.index_of(position.floor, first, position.stop)
            chunks, position = self._from_index(chunks, first), position._replace(dropped=True)
        while self._budget.is_exceeded(chunks):
            first = chunks.chunks[1].start
            # A late sample no newer than the last that goes is too old from now on.
            floor = math.nextafter(chunks.time_at(first - 1), math.inf)
            chunks, position = self._from_index(chunks, first), position._replace(floor=floor, dropped=True)
        if self._summaries.lags(position.stop):
            self._summaries.update(chunks, first, position.stop)
        self._state = _State(chunks, first, position, self._identity())

    def _from_index(self, chunks: Chunks, index: int) -> Chunks:
        """Let go of the chunks before an absolute index."""
        rest = chunks.from_index(index)
        self._budget.let_go(chunks, chunks.chunks[0].start, rest.chunks[0].start)
        return rest


def _from(index: int, times: Times, batch: Sequence[Values]) -> tuple[Times, Sequence[Values]]:
    return times[index:], [array[index:] for array in batch]
