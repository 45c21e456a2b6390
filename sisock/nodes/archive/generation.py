"""The identity of a field in several files: it stays while samples are added at the end, and changes otherwise."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sisock.nodes.archive.array_cache import digest
from sisock.nodes.archive.file_spans import FileSpans, finalized_until
from sisock.nodes.archive.format import FileSpan

DIGITS = 16
PAST_DIGITS = 8
KEEP_AGAIN_S = 60.0


class Known(NamedTuple):
    """What is remembered of a stretch."""

    identity: str
    oldest: float
    newest: float
    samples: int

    @classmethod
    def of(cls, stretch: FileSpan) -> Known:
        """Return what is to be remembered of a stretch; not its file's name, which may change."""
        return cls(stretch.identity, stretch.oldest, stretch.newest, stretch.count)


@dataclass(frozen=True)
class Generation:
    """Under which generation a field is served, and what of it must not change for that to stay so.

    Parameters
    ----------
    generation
        What is told to those who ask.
    dtype
        Name of the values' dtype.
    until
        What was told to be final, UNIX seconds.
    sealed
        How many stretches at the beginning do not grow.
    chain
        Digest of these.
    others
        The stretches after them.
    prefix
        The sealed stretches themselves, where they are at hand: what has them need not make their digest again.
    is_restored
        Whether it was read from where it is kept, and more may have been told since it was written.
    """

    generation: str
    dtype: str
    until: float
    sealed: int
    chain: str
    others: tuple[Known, ...]
    prefix: tuple[FileSpan, ...] = field(default=(), compare=False, repr=False)
    is_restored: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, lineup: FileSpans, now: float, before: Generation | None = None) -> Generation:
        """Return the identity of what is there at ``now``, UNIX seconds, given what was there before."""
        sealed = lineup.sealed(now)
        before = before or cls("", "", 0.0, 0, "", ())
        generation = before.generation if before.continues_in(lineup) else before.name_for(lineup)
        return cls(
            generation,
            lineup.dtype.name,
            finalized_until(lineup.growing(now)),
            sealed,
            before.chain_of(lineup, sealed),
            tuple(map(Known.of, lineup.stretches[sealed:])),
            lineup.stretches[:sealed],
        )

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Generation:
        """Return the identity of which this is :meth:`to_json`."""
        others = tuple(Known(*one) for one in told["others"])
        return cls(**{**told, "others": others}, is_restored=True)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON has."""
        told = {name: value for name, value in vars(self).items() if name not in ("prefix", "is_restored")}
        return {**told, "others": [list(one) for one in self.others]}

    def continues_in(self, lineup: FileSpans) -> bool:
        """Tell whether a field still has all samples before ``until`` as they were, and no others there."""
        if lineup.dtype.name != self.dtype or self.chain_of(lineup, self.sealed) != self.chain:
            return False
        # By what they hold: a log that is renamed when it is full goes on being the same. There may be copies of one.
        others: dict[tuple[str, float], deque[Known]] = defaultdict(deque)
        for known in sorted(self.others, key=lambda one: one.samples):
            others[known.identity, known.oldest].append(known)
        until = self._latest_until(lineup)
        for one in sorted(lineup.stretches[self.sealed :], key=lambda one: one.count):
            same = others[one.identity, one.oldest]
            if not self._allows(same.popleft() if same else None, one, until):
                return False
        return not any(others.values())

    def _latest_until(self, lineup: FileSpans) -> float:
        """Return the latest that may have been told to be final, given what is there now."""
        if not self.is_restored or not self.others:
            return self.until
        # Mere growth is written down a minute late. Meanwhile the first that was not sealed was among what grew.
        first = self.others[0]
        ends = [one.newest for one in lineup.stretches if (one.identity, one.oldest) == (first.identity, first.oldest)]
        return max([self.until, *ends])

    def _allows(self, before: Known | None, one: FileSpan, until: float) -> bool:
        """Tell whether what has come with a stretch is not before what was told to be final."""
        if before is None:
            return one.oldest >= until
        return one.count == before.samples or (one.count > before.samples and before.newest >= self.until)

    def chain_of(self, lineup: FileSpans, count: int) -> str:
        """Return the digest of the first stretches of a field, out of that of those before where it can be."""
        known = len(self.prefix)
        if 0 < known <= count and lineup.stretches[:known] == self.prefix:
            return _join_digest(lineup.stretches[known:count], self.chain)
        return _join_digest(lineup.stretches[:count])

    def name_for(self, lineup: FileSpans) -> str:
        """Return a generation that was not there before; what is seen for the first time is named by what it holds."""
        stretches = lineup.stretches
        name = stretches[0].identity if len(stretches) == 1 else self.chain_of(lineup, len(stretches))
        # What was before is a part of it, so that fields of one timeline that change together have one name.
        return f"{name}+{digest(self.generation)[:PAST_DIGITS]}" if self.generation else name


def _join_digest(stretches: Iterable[FileSpan], chain: str = "") -> str:
    for one in stretches:
        chain = digest(f"{chain} {one.identity} {one.oldest!r} {one.count}")[:DIGITS]
    return chain


class Generations:
    """Under which generations the fields of an archive are served, also after a restart where they can be kept.

    Parameters
    ----------
    known
        Those of before a restart.
    keep
        Writes some of them down, beside those that are.
    """

    def __init__(self, known: Mapping[str, Generation], keep: Callable[[Mapping[str, Generation]], None]) -> None:
        self._known = dict(known)
        self._keep = keep
        self._fresh: dict[str, Generation] = {}
        self._keep_at = -math.inf

    def of(self, name: str, lineup: FileSpans, now: float) -> Generation:
        """Return the identity of a field as it is at ``now``, UNIX seconds."""
        before = self._known.get(name)
        identity = Generation.of(lineup, now, before)
        if identity != before:
            self._fresh[name] = identity
            if before is None or (identity.generation, identity.sealed) != (before.generation, before.sealed):
                self._keep_at = -math.inf
        self._known[name] = identity
        return identity

    def keep(self, now: float) -> None:
        """Write down what is new: at once, but for mere growth."""
        if self._fresh and now >= self._keep_at:
            self._keep(self._fresh)
            self._fresh = {}
            self._keep_at = now + KEEP_AGAIN_S
