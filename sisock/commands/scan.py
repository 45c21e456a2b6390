"""The command ``sisock scan-g3``: scans once or again and again, and says how far it is."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from sisock.core.errors import ConfigurationError, NodeUnavailable
from sisock.log import start_plain_logging
from sisock.nodes.g3.reader import check_installed, read_frames
from sisock.nodes.g3.scan import G3Scanner, ScanResult
from sisock.nodes.g3.store import G3Store
from sisock.nodes.g3.tables import database_url, open_database, shown
from sisock.settings import Settings

logger = logging.getLogger(__name__)

FOLLOW_S = 2.0
TELL_EVERY_S = 10.0
MEGABYTE = 1e6


@dataclass
class Scan:
    """A scanner of a folder, and the place of its index as people may see it: without a password."""

    scanner: G3Scanner
    place: str

    @classmethod
    def prepared(cls, settings: Settings, folder: Path | None, archive: str | None) -> Scan:
        """Open the index; raise ConfigurationError when something is missing."""
        start_plain_logging(settings.loglevel)
        if folder is None:
            if not settings.data_directory:
                raise ConfigurationError("say which folder to scan, as in: sisock scan-g3 /data/hk")
            folder = Path(settings.data_directory)
        if not folder.is_dir():
            raise ConfigurationError(f"'{folder}' is not a folder")
        # Before the index, which would be made, and nothing could fill it.
        check_installed()
        url = database_url(settings)
        store = G3Store(open_database(url), archive or str(folder.resolve()))
        return cls(G3Scanner(folder, store, read_frames), shown(url))


def run_scan(scan: Scan, every_s: float | None) -> None:
    """Scan once, or until it is stopped."""
    # A scan can be broken off anywhere, so that both signals just raise.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _scan_and_tell(scan)
        while every_s is not None:
            time.sleep(every_s)
            _scan_again(scan)
    except KeyboardInterrupt:
        click.echo("sisock: stopped; what was read is indexed, and the next scan goes on from there")


def _scan_and_tell(scan: Scan) -> None:
    began = time.monotonic()
    with ScanProgress(is_terminal=sys.stderr.isatty()) as progress:
        result = scan.scanner.scan(progress)
    click.echo(f"sisock: {_summary(result, time.monotonic() - began)}; the index is {scan.place}")


def _scan_again(scan: Scan) -> None:
    """Scan while nobody may be looking: what fails is logged, and done the next time."""
    try:
        result = scan.scanner.scan()
    except NodeUnavailable as error:
        logger.warning("%s; trying again", error)
        return
    # With --follow it is scanned every two seconds, and mostly nothing is new.
    if result.read or result.gone:
        logger.info(_summary(result, None))


def _summary(result: ScanResult, took_s: float | None) -> str:
    parts = [f"{result.read} files indexed ({result.read_bytes / MEGABYTE:.1f} MB)"]
    parts += [f"{result.known} unchanged"] if result.known else []
    parts += [f"{result.gone} gone"] if result.gone else []
    parts += [f"{result.failed} could not be read"] if result.failed else []
    return ", ".join(parts) + ("" if took_s is None else f" in {took_s:.1f} s")


class ScanProgress:
    """Says how far a scan is: a bar on a terminal, elsewhere a line now and then.

    Parameters
    ----------
    is_terminal
        Whether standard error is one.
    clock
        Seconds, from any origin.
    """

    def __init__(self, *, is_terminal: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_terminal = is_terminal
        self._clock = clock
        self._printed_at = clock()
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            # It hid the cursor; this shows it again, also after a Ctrl-C.
            self._bar.render_finish()

    def __call__(self, done: int, total: int) -> None:
        """Take note that so many bytes of so many are done."""
        if self._is_terminal:
            self._draw(done, total)
        elif self._clock() - self._printed_at >= TELL_EVERY_S:
            self._printed_at = self._clock()
            click.echo(f"sisock: {done / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB", err=True)

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = click.progressbar(length=total, label="indexing", file=sys.stderr)
        self._bar.update(done - self._done)
        self._done = done
