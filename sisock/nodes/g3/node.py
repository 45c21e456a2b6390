"""Housekeeping archives that OCS writes: ``.g3`` files, found through an index in an SQL database."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from sisock.core.column.series import ReducibleSeries
from sisock.core.errors import ConfigurationError, NodeUnavailable
from sisock.core.model import DataBlock, FieldCatalogue, TimelineBlock
from sisock.core.reduce.reducers import reduce_block
from sisock.nodes.archive.segment_loader import SegmentLoader, reading_with
from sisock.nodes.archive.segments import SegmentCache
from sisock.nodes.archive.series_archive import SeriesArchive
from sisock.nodes.archive.served_field import ServedField
from sisock.nodes.g3.fields import read_fields
from sisock.nodes.g3.frames import FrameReader
from sisock.nodes.g3.index import G3Index
from sisock.nodes.g3.reader import check_installed, read_frames
from sisock.nodes.g3.scan import G3Scanner
from sisock.nodes.g3.store import SCANNER_VERSION, G3Store
from sisock.nodes.g3.tables import DATABASE_FILE, database_url, open_database, parse_url
from sisock.settings import Settings

logger = logging.getLogger(__name__)

IDLE_S = 3600.0
# A scan takes at most about a tenth of the time: on slow disks, one would follow the other without a rest.
REST = 10.0


class G3Node:
    """Serves the fields of the housekeeping files in a folder and the folders in it, as ``<provider>.<field>``.

    Fields can also be asked for by the names that the original gave them: lower case, with underscores.

    Parameters
    ----------
    folder
        Where the files are.
    name, description
        What the hub lists.
    index
        Where the index is: an SQLite file, or the URL of a database; unset, a file in the cache folder.
    archive
        The archive's name in the index; unset, the folder's path. Give one to both the node and ``sisock scan-g3``
        where they see the folder under different paths.
    scan_interval_s
        Seconds between looks for files that appeared or grew; None when only ``sisock scan-g3`` writes the index.
    units
        Units of fields by patterns of their names in the feed, such as ``{"*_T": "K"}``.
    max_points
        Most samples of a field that are read at once, as far apart as that takes; 0 for all. What is drawn with a
        reducer, and stays exact, is not bound by it.
    cache
        Folder where what was read of the files is kept; None to keep it in memory only.
    frames
        Reads the frames of a file; unset, so3g does.
    clock
        Seconds, never stepping; for the rest after a scan.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str = "g3_reader",
        description: str = "Housekeeping archive",
        index: str | None = None,
        archive: str | None = None,
        scan_interval_s: float | None = 2.0,
        units: Mapping[str, str] | None = None,
        max_points: int = 0,
        cache: Path | str | None = None,
        frames: FrameReader | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.description = description
        self.poll_interval_s = scan_interval_s or IDLE_S
        self._max_points = max_points
        self._scans = scan_interval_s is not None
        # At the start, and not when the first file is read.
        if frames is None:
            check_installed()
        frames = frames or read_frames
        engine = open_database(_database(index, cache))
        archive = archive or str(Path(folder).resolve())
        self._scanner = G3Scanner(Path(folder), G3Store(engine, archive), frames)
        self._index = G3Index(engine, archive, units)
        read = reading_with(Path(folder), partial(read_fields, frames))
        segments = SegmentCache(Path(cache), "g3", SCANNER_VERSION) if cache else None
        self._archive = _G3Archive(self._index, SegmentLoader(Path(folder), read, segments))
        self._clock = clock
        self._rest_until = -math.inf
        self._is_stuck = False

    def poll(self, now: float) -> None:
        """Index what is new; after a scan that took long, only after a rest that is longer."""
        began = self._clock()
        if self._scans and began >= self._rest_until:
            self._scan()
            self._rest_until = began + REST * (self._clock() - began)

    def _scan(self) -> None:
        """Index what is new; that it cannot be done is logged once, until it can."""
        try:
            self._scanner.scan()
        except NodeUnavailable as error:
            if not self._is_stuck:
                logger.warning("%s; it is tried again", error)
            self._is_stuck = True
        else:
            self._is_stuck = False

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        catalogue = self._archive.catalogue(start, end)
        doubtful = self._index.doubtful(start, end)
        if not doubtful:
            return catalogue
        # The index knows only where files begin and end: where a span lies between, samples are looked for.
        columns = self._archive.columns(list(doubtful))
        absent = {
            name
            for witness, names in doubtful.items()
            for name in names
            if witness in columns and not len(columns[witness].newest(start, end)[0])
        }
        kept = [field for field in catalogue.fields.values() if field.name not in absent]
        return FieldCatalogue.of(kept, {one.name: one.interval_s for one in catalogue.timelines.values()})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the fields inside [start, end), UNIX seconds; views, not to be written to."""
        asked = self._names(fields)
        block = _renamed(self._archive.read(list({*asked.values()}), start, end), asked)
        return _bounded(block, self._max_points) if self._max_points else block

    def columns(self, fields: Sequence[str]) -> Mapping[str, ReducibleSeries]:
        """Return the samples of the known ones of the fields."""
        asked = self._names(fields)
        columns = self._archive.columns(list({*asked.values()}))
        return {one: columns[name] for one, name in asked.items() if name in columns}

    def _names(self, fields: Sequence[str]) -> dict[str, str]:
        """Return for each field that is asked for, by its name or its alias, the name."""
        return {one: self._index.name_of(one) or one for one in dict.fromkeys(fields)}


def g3_options(settings: Settings) -> dict[str, Any]:
    """Return the options that the environment gives: ``DATA_DIRECTORY``, where the index is, and ``MAX_POINTS``."""
    options: dict[str, Any] = {"folder": settings.data_directory} if settings.data_directory else {}
    if settings.g3_index or settings.sql_host:
        # The node gets it as text, as from a site file, and needs the password.
        options["index"] = database_url(settings).render_as_string(hide_password=False)
    return options | ({"max_points": int(settings.max_points)} if settings.max_points else {})


def _database(index: str | None, cache: Path | str | None) -> URL:
    if index:
        return parse_url(index)
    if cache is None:
        raise ConfigurationError("g3: say where the index is, as in: --option index=/data/g3-index.sqlite")
    return parse_url(str(Path(cache) / DATABASE_FILE))


def _renamed(block: DataBlock, asked: Mapping[str, str]) -> DataBlock:
    """Return a block with the fields under the names that they were asked for by."""
    timelines = {
        timeline: replace(one, values={name: one.values[own] for name, own in asked.items() if own in one.values})
        for timeline, one in block.timelines.items()
    }
    return DataBlock(timelines)


def _bounded(block: DataBlock, most: int) -> DataBlock:
    """Return a block with at most so many samples of a field; the lowest and the highest of each while are kept."""
    timelines: dict[str, TimelineBlock] = {}
    for timeline, one in block.timelines.items():
        if len(one.times) <= most:
            timelines[timeline] = one
        else:
            # Two samples for each two strides; and the buckets that the span cuts at its ends, and the newest sample.
            # These are what the four are for.
            stride = float(one.times[-1] - one.times[0]) / max(most - 4, 1)
            timelines |= reduce_block(DataBlock({timeline: one}), "minmax", stride).timelines
    return DataBlock(timelines)


class _G3Archive(SeriesArchive):
    """An archive whose index decides on timelines, which depend on all files."""

    def _timeline(self, name: str, served: ServedField) -> str:
        assert isinstance(self._index, G3Index)
        return self._index.timeline(name) or super()._timeline(name, served)
