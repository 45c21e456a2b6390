"""What the targets of a request mean among the nodes and fields that there are now."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_json.choices import Choice, Reading, choose
from grafana_json.protocol import Query
from grafana_json.readings import Readings, check_work, match_texts
from grafana_json.source import InThread, Source
from sisock.gateway.directory import Snapshot


class Chooser:
    """Chooses the series of targets; to be called in the reactor's thread.

    Parameters
    ----------
    source
        Knows the nodes and their fields.
    in_thread
        Calls a function in a worker thread: matching patterns may take long.
    """

    def __init__(self, source: Source, in_thread: InThread) -> None:
        self._source = source
        self._in_thread = in_thread
        self._readings = Readings()

    async def choose(self, query: Query) -> list[Choice]:
        """Return what is drawn for each target.

        Where one is unknown it may be new, so the nodes are asked again, if not just now.
        """
        texts = list(dict.fromkeys(text for target in query.targets for text in target.texts))
        snapshot = self._source.snapshot()
        readings = await self._match_all(texts, snapshot)
        if any(isinstance(reading, str) and text.strip() for text, reading in readings.items()):
            fresh: Snapshot = await self._source.freshen()
            if fresh is not snapshot:
                snapshot, readings = fresh, await self._match_all(texts, fresh)
        return [choose(target, readings, query.filters, snapshot) for target in query.targets]

    async def _match_all(self, texts: Sequence[str], snapshot: Snapshot) -> dict[str, Reading]:
        targets = snapshot.targets
        known = self._readings.of(targets)
        new = [text for text in texts if text not in known]
        if not new:
            return {text: known[text] for text in texts}
        if all(text in targets for text in new):
            found = match_texts(new, targets)
        else:
            check_work(new, targets)
            found = await self._in_thread(match_texts, new, targets)
        readings = {text: found[text] if text in found else known[text] for text in texts}
        self._readings.keep(targets, found)
        return readings
