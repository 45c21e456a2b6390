"""Generations of the fields of an archive: names that stay while samples come at the end, and change otherwise."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sisock.core.model import Statement
from sisock.nodes.archive.array_cache import digest
from sisock.nodes.archive.file_spans import FileSpans, finalized_until
from sisock.nodes.archive.format import FileSpan

DIGITS = 16
PAST_DIGITS = 8
KEEP_AGAIN_S = 60.0
NOT_KEPT = ("prefix", "is_restored")


class Known(NamedTuple):
    """The memory of a file's span; it is kept as a list in this order."""

    generation: str
    oldest: float
    newest: float
    samples: int

    @classmethod
    def of(cls, span: FileSpan) -> Known:
        """Return what is to be remembered of a span; not its file's name, which may change."""
        return cls(span.generation, span.oldest, span.newest, span.count)


@dataclass(frozen=True)
class Generation:
    """The generation that a field is served under, and what of the field must not change for that to stay so.

    It is kept under the names of its fields, but for those in ``NOT_KEPT``.

    Parameters
    ----------
    generation
        What is stated to those who ask.
    dtype
        Name of the values' dtype.
    until
        What was stated to be final, UNIX seconds.
    sealed
        How many files at the beginning do not grow.
    chain
        Digest of their spans.
    others
        The spans of the files after them.
    prefix
        The sealed spans themselves, where they are at hand: what has them need not make their digest again.
    is_restored
        Whether it was read from where it is kept, and more may have been stated since it was written.
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
    def of(cls, spans: FileSpans, now: float, before: Generation | None = None) -> Generation:
        """Return the generation of what is there at ``now``, UNIX seconds, given what was there before."""
        sealed = spans.sealed(now)
        before = before or cls("", "", 0.0, 0, "", ())
        generation = before.generation if before.continues_in(spans) else before.name_for(spans)
        return cls(
            generation,
            spans.dtype.name,
            finalized_until(spans.growing(now)),
            sealed,
            before.chain_of(spans, sealed),
            tuple(map(Known.of, spans.members[sealed:])),
            spans.members[:sealed],
        )

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Generation:
        """Return the generation of which this is :meth:`to_json`."""
        others = tuple(Known(*one) for one in kept["others"])
        return cls(**{**kept, "others": others}, is_restored=True)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON has."""
        kept = {name: value for name, value in vars(self).items() if name not in NOT_KEPT}
        return {**kept, "others": [list(one) for one in self.others]}

    @property
    def statement(self) -> Statement:
        """The statement about the samples."""
        return Statement(finalized_until=self.until, generation=self.generation)

    def continues_in(self, spans: FileSpans) -> bool:
        """Tell whether a field still has all samples before ``until`` as they were, and no others there."""
        if spans.dtype.name != self.dtype or self.chain_of(spans, self.sealed) != self.chain:
            return False
        # By what they hold: a log that is renamed when it is full goes on being the same. There may be copies of one.
        others: dict[tuple[str, float], deque[Known]] = defaultdict(deque)
        for known in sorted(self.others, key=lambda one: one.samples):
            others[known.generation, known.oldest].append(known)
        until = self._latest_until(spans)
        # Of copies the shortest is compared with the shortest of before: any other pairing could see one shrink.
        for one in sorted(spans.members[self.sealed :], key=lambda one: one.count):
            same = others[one.generation, one.oldest]
            if not self._allows(same.popleft() if same else None, one, until):
                return False
        return not any(others.values())

    def _latest_until(self, spans: FileSpans) -> float:
        """Return the latest that may have been stated to be final, given what is there now."""
        if not self.is_restored or not self.others:
            return self.until
        # Mere growth is written down a minute late. Meanwhile the first that was not sealed was among what grew.
        first = self.others[0]
        ends = [
            one.newest for one in spans.members if (one.generation, one.oldest) == (first.generation, first.oldest)
        ]
        return max([self.until, *ends])

    def _allows(self, before: Known | None, one: FileSpan, until: float) -> bool:
        """Tell whether what has come with a span is not before what was stated to be final."""
        if before is None:
            return one.oldest >= until
        return one.count == before.samples or (one.count > before.samples and before.newest >= self.until)

    def chain_of(self, spans: FileSpans, count: int) -> str:
        """Return the digest of the first spans of a field, out of that of those before where it can be."""
        known = len(self.prefix)
        # Of very many files the digest takes long: only what is new is added to it.
        if 0 < known <= count and spans.members[:known] == self.prefix:
            return _join_digest(spans.members[known:count], self.chain)
        return _join_digest(spans.members[:count])

    def name_for(self, spans: FileSpans) -> str:
        """Return a generation that was not there before; what is seen for the first time is named by what it holds."""
        members = spans.members
        name = members[0].generation if len(members) == 1 else self.chain_of(spans, len(members))
        # What was before is a part of it, so that fields of one timeline that change together have one name.
        return f"{name}+{digest(self.generation)[:PAST_DIGITS]}" if self.generation else name


def _join_digest(spans: Iterable[FileSpan], chain: str = "") -> str:
    """Return a digest of spans behind others, of which ``chain`` is the digest."""
    for one in spans:
        # This very text: caches keep digests of it.
        chain = digest(f"{chain} {one.generation} {one.oldest!r} {one.count}")[:DIGITS]
    return chain


class Generations:
    """The generations that the fields of an archive are served under, also after a restart where they can be kept.

    Parameters
    ----------
    known
        Those of before a restart.
    keep
        Writes some of them down, beside those that are.
    """

    # Guarded by the lock of the archive that has them: each question sees the generation that the one before left.
    def __init__(self, known: Mapping[str, Generation], keep: Callable[[Mapping[str, Generation]], None]) -> None:
        self._known = dict(known)
        self._keep = keep
        self._fresh: dict[str, Generation] = {}
        self._keep_at = -math.inf

    def of(self, name: str, spans: FileSpans, now: float) -> Generation:
        """Return the generation of a field as it is at ``now``, UNIX seconds."""
        before = self._known.get(name)
        generation = Generation.of(spans, now, before)
        if generation != before:
            self._fresh[name] = generation
            if before is None or (generation.generation, generation.sealed) != (before.generation, before.sealed):
                self._keep_at = -math.inf
        self._known[name] = generation
        return generation

    def keep(self, now: float) -> None:
        """Write down what is new: at once, but for mere growth."""
        # A file that is written to each second would cost a file in the cache each second.
        if self._fresh and now >= self._keep_at:
            self._keep(self._fresh)
            self._fresh = {}
            self._keep_at = now + KEEP_AGAIN_S
