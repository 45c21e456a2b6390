"""What the texts of targets mean now: matched once, as long as the nodes and their fields stay; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_json.choices import Reading
from grafana_json.targets import match
from sisock.core.errors import BadRequest
from sisock.gateway.names import Targets

MOST_TEXTS_IN_A_REQUEST = 1000
MOST_TEXTS_KEPT = 1000
LONGEST_TEXT_KEPT = 1000
MOST_COMPARISONS = 2_000_000  # of a text with a name, in one request: some seconds of a thread
FEWEST_TEXTS = 20


class Readings:
    """What texts meant among the newest names; panels ask for the same patterns at each refresh."""

    def __init__(self) -> None:
        self._targets = Targets({})
        self._known: dict[str, Reading] = {}

    def of(self, targets: Targets) -> Mapping[str, Reading]:
        """Return what is known among some targets; it stays as it is."""
        return self._known if targets.has_names_of(self._targets) else {}

    def keep(self, targets: Targets, found: Mapping[str, Reading]) -> None:
        """Keep what was found, a bounded number of short texts."""
        short = {text: reading for text, reading in found.items() if len(text) <= LONGEST_TEXT_KEPT}
        if short or not targets.has_names_of(self._targets):
            together = {**self.of(targets), **short}
            self._targets, self._known = targets, together if len(together) <= MOST_TEXTS_KEPT else short


def check_work(texts: Sequence[str], targets: Targets) -> None:
    """Raise BadRequest for so many names and patterns that comparing them with all names would take long."""
    unknown = sum(text not in targets for text in texts)
    most = min(MOST_TEXTS_IN_A_REQUEST, max(MOST_COMPARISONS // max(len(targets), 1), FEWEST_TEXTS))
    if unknown > most:
        raise BadRequest(f"{unknown} different targets are too many: use patterns such as node::(a|b)")


def match_texts(texts: Sequence[str], targets: Targets) -> dict[str, Reading]:
    """Return what each text means."""
    return {text: match(text, targets) for text in texts}
