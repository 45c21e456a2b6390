"""What the texts of targets mean now: matched once, as long as the nodes and their fields stay; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_json.choices import Reading
from grafana_json.targets import match
from sisock.core.errors import BadRequest
from sisock.gateway.directory import Snapshot

MOST_TEXTS_IN_A_REQUEST = 1000
MOST_TEXTS_KEPT = 1000
LONGEST_TEXT_KEPT = 1000
MOST_COMPARISONS = 2_000_000  # of a text with a name, in one request: some seconds of a thread
FEWEST_TEXTS = 20


class Readings:
    """What texts meant in the newest snapshot; panels ask for the same patterns at each refresh."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._known: dict[str, Reading] = {}

    def of(self, snapshot: Snapshot) -> Mapping[str, Reading]:
        """Return what is known of a snapshot; it stays as it is."""
        return self._known if snapshot is self._snapshot else {}

    def keep(self, snapshot: Snapshot, found: Mapping[str, Reading]) -> None:
        """Keep what was found, a bounded number of short texts."""
        short = {text: reading for text, reading in found.items() if len(text) <= LONGEST_TEXT_KEPT}
        if short or snapshot is not self._snapshot:
            together = {**self.of(snapshot), **short}
            self._snapshot, self._known = snapshot, together if len(together) <= MOST_TEXTS_KEPT else short


def check_work(texts: Sequence[str], snapshot: Snapshot) -> None:
    """Raise BadRequest for so many names and patterns that comparing them with all names would take long."""
    unknown = sum(text not in snapshot.targets for text in texts)
    most = min(MOST_TEXTS_IN_A_REQUEST, max(MOST_COMPARISONS // max(len(snapshot.targets), 1), FEWEST_TEXTS))
    if unknown > most:
        raise BadRequest(f"{unknown} different targets are too many: use patterns such as node::(a|b)")


def match_texts(texts: Sequence[str], snapshot: Snapshot) -> dict[str, Reading]:
    """Return what each text means."""
    return {text: match(text, snapshot.targets) for text in texts}
