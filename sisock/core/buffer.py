"""A rolling buffer: the last seconds, hours or days of live samples of one timeline.

One writer and any number of readers may use it side by side. The writer puts samples behind those that readers
see and then replaces the whole state by one assignment; what readers hold is never written to again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sisock.core.model import FieldType, TimelineBlock, Times, Values

_DTYPES: Mapping[FieldType, Any] = {"number": np.float64, "bool": np.bool_, "string": np.object_}
_LEAST_CAPACITY = 256


@dataclass(frozen=True)
class _State:
    """Arrays with room to spare, of which the samples from ``start`` up to ``stop`` are kept."""

    times: Times
    values: Mapping[str, Values]
    start: int = 0
    stop: int = 0
    revision: int = 0
    dropped: bool = False

    def kept(self) -> tuple[Times, dict[str, Values]]:
        window = slice(self.start, self.stop)
        return self.times[window], {name: array[window] for name, array in self.values.items()}


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
    """

    def __init__(self, fields: Mapping[str, FieldType], duration_s: float, generation: str) -> None:
        if not duration_s > 0:
            raise ValueError(f"a buffer of {duration_s} s keeps nothing: give a duration above zero")
        self._fields = dict(fields)
        self._duration_s = duration_s
        self._generation = generation
        self._state = self._allocate(0)

    def __len__(self) -> int:
        """Return the number of samples kept."""
        state = self._state
        return state.stop - state.start

    @property
    def newest(self) -> float | None:
        """The time of the newest sample, None when there is none."""
        times, _ = self._state.kept()
        return float(times[-1]) if len(times) else None

    @property
    def oldest(self) -> float | None:
        """The time of the oldest sample kept, None when there is none."""
        times, _ = self._state.kept()
        return float(times[0]) if len(times) else None

    def append(self, time: float, values: Mapping[str, Any]) -> None:
        """Take one sample of each field; rules and errors as for :meth:`extend`."""
        self.extend([time], {name: [value] for name, value in values.items()})

    def extend(self, times: ArrayLike, values: Mapping[str, Any]) -> None:
        """Take some samples of each field.

        A sample as old as another comes after it. A late one, older than the newest kept, is put in its place and
        the generation changes; one too old to be kept is passed over. Nothing is taken when an error is raised.

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
        batch_times, batch = self._checked(times, values)
        if not len(batch_times):
            return
        order = np.argsort(batch_times, kind="stable")
        batch_times, batch = batch_times[order], {name: array[order] for name, array in batch.items()}
        newest = -math.inf if self.newest is None else self.newest
        cutoff = max(newest, batch_times[-1]) - self._duration_s
        timely = batch_times >= cutoff
        late = bool((timely & (batch_times < newest)).any())
        put = self._merged if late else self._appended
        state = put(batch_times[timely], _each(batch, timely))
        self._state = _expired(replace(state, dropped=state.dropped or not timely.all()), cutoff)

    def forget_after(self, time: float) -> None:
        """Drop the samples newer than ``time``, UNIX seconds: their clock was ahead and has been set back."""
        kept_times, kept = self._state.kept()
        true = kept_times <= time
        if not true.all():
            state = self._state
            smaller = self._filled(kept_times[true], _each(kept, true))
            self._state = replace(smaller, revision=state.revision + 1, dropped=state.dropped)

    def block(self, names: Iterable[str], start: float, end: float) -> TimelineBlock:
        """Return the samples of some fields inside [start, end), UNIX seconds.

        The arrays are read-only views that stay as they are while the buffer goes on. Unknown fields are left
        out. All before the newest sample is final.
        """
        state = self._state
        times, values = state.kept()
        for array in (times, *values.values()):
            array.flags.writeable = False
        available_from = times[0] if state.dropped and len(times) else -math.inf
        generation = f"{self._generation}+{state.revision}" if state.revision else self._generation
        whole = TimelineBlock(
            times,
            {name: values[name] for name in names if name in values},
            finalized_until=float(times[-1]) if len(times) else -math.inf,
            available_from=float(available_from),
            generation=generation,
        )
        return whole.within(start, end)

    def _checked(self, times: ArrayLike, values: Mapping[str, Any]) -> tuple[Times, dict[str, Values]]:
        """Return a batch as arrays of the right types, or raise ValueError."""
        if values.keys() != self._fields.keys():
            wrong = sorted(values.keys() ^ self._fields.keys())
            raise ValueError(f"a row must have a value for each field and no other; look at {', '.join(wrong)}")
        checked_times = np.asarray(times, dtype=np.float64)
        if checked_times.ndim != 1 or not np.isfinite(checked_times).all():
            raise ValueError("times must be a list of finite UNIX seconds")
        checked = {name: _as_array(name, values[name], self._fields[name]) for name in self._fields}
        for name, array in checked.items():
            if array.shape != checked_times.shape:
                raise ValueError(f"field '{name}' has {array.shape} values for {checked_times.shape} times")
        return checked_times, checked

    def _allocate(self, count: int) -> _State:
        """Return an empty state with room for as many samples again as it is to hold."""
        capacity = max(_LEAST_CAPACITY, 2 * count)
        values = {name: np.empty(capacity, dtype=_DTYPES[kind]) for name, kind in self._fields.items()}
        return _State(np.empty(capacity, dtype=np.float64), values)

    def _filled(self, times: Times, values: Mapping[str, Values]) -> _State:
        """Return a state in arrays of its own that holds some samples."""
        state = self._allocate(len(times))
        state.times[: len(times)] = times
        for name, array in state.values.items():
            array[: len(times)] = values[name]
        return replace(state, stop=len(times))

    def _appended(self, times: Times, values: Mapping[str, Values]) -> _State:
        """Put samples behind those kept: in the room left, or in new arrays, for readers hold views of the old."""
        state = self._state
        stop = state.stop + len(times)
        if stop > len(state.times):
            return self._joined(times, values)
        state.times[state.stop : stop] = times
        for name, array in state.values.items():
            array[state.stop : stop] = values[name]
        return replace(state, stop=stop)

    def _joined(self, times: Times, values: Mapping[str, Values]) -> _State:
        """Return those kept with some more behind them, in new arrays."""
        state = self._state
        kept_times, kept = state.kept()
        whole = {name: np.concatenate([kept[name], values[name]]) for name in kept}
        joined = self._filled(np.concatenate([kept_times, times]), whole)
        return replace(joined, revision=state.revision, dropped=state.dropped)

    def _merged(self, times: Times, values: Mapping[str, Values]) -> _State:
        """Return those kept with late ones in their places, under a new generation."""
        joined = self._joined(times, values)
        every_time, every = joined.kept()
        order = np.argsort(every_time, kind="stable")
        merged = self._filled(every_time[order], _each(every, order))
        return replace(merged, revision=joined.revision + 1, dropped=joined.dropped)


def _expired(state: _State, cutoff: float) -> _State:
    """Return the state without the samples before ``cutoff``, UNIX seconds."""
    times, _ = state.kept()
    start = state.start + int(np.searchsorted(times, cutoff))
    return replace(state, start=start, dropped=state.dropped or start > state.start)


def _each(values: Mapping[str, Values], selection: NDArray[Any]) -> dict[str, Values]:
    """Return the selected entries of each array."""
    return {name: array[selection] for name, array in values.items()}


def _as_array(name: str, values: Sequence[Any], kind: FieldType) -> Values:
    """Return the values of a field as an array, or raise ValueError when they are of another type."""
    if kind == "number":
        return _as_numbers(name, values)
    wanted = (bool, np.bool_) if kind == "bool" else (str,)
    if not all(isinstance(value, wanted) for value in values):
        raise ValueError(f"field '{name}' holds {kind}s only, but was given something else")
    array = np.empty(len(values), dtype=_DTYPES[kind])
    array[:] = values
    return array


def _as_numbers(name: str, values: Sequence[Any]) -> Values:
    """Return numbers as float64, None as NaN; text is refused even where it could be read as a number."""
    try:
        given = np.asarray(values)
        if given.dtype.kind in "biufO":
            return given.astype(np.float64)
    except (TypeError, ValueError):
        pass  # nested or foreign objects: the same advice holds
    raise ValueError(f"field '{name}' holds numbers only, but was given something else")
