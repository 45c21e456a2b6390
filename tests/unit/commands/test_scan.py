"""The command that indexes housekeeping archives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from sisock.commands import scan as scan_module
from sisock.commands.cli import cli
from sisock.commands.scan import Scan, ScanProgress, run_scan
from sisock.core.errors import ConfigurationError, NodeUnavailable
from sisock.settings import Settings

from g3_fakes import append, data, read_frames, session, status, write


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    """Files that need no so3g, and the signals as they were."""
    monkeypatch.setattr(scan_module, "read_frames", read_frames)
    monkeypatch.setattr(scan_module, "check_installed", lambda: None)
    monkeypatch.setenv("SISOCK_CACHE", str(tmp_path / "cache"))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.g3", "2.g3"):
        write(tmp_path / "hk" / name, session(), status("a.b"), data(0, [1000.0], {"x": [1]}))
    return tmp_path / "hk"


def prepared(folder: Path | None) -> Scan:
    return Scan.prepared(Settings.from_environment(), folder, None)


def test_one_scan_says_what_it_did(folder):
    """How many files, how much, how long, and where the index is; then, that nothing was left to do."""
    first, second = (CliRunner().invoke(cli, ["scan-g3", str(folder)]) for _ in range(2))
    assert first.output.startswith("sisock: 2 files indexed (0.0 MB) in ")
    assert first.output.endswith("g3-index.sqlite\n")
    assert second.output.startswith("sisock: 0 files indexed (0.0 MB), 2 unchanged in ")


def test_a_scan_that_goes_on_finds_what_is_new(folder, monkeypatch, caplog):
    """Between scans it waits as long as it was told; Ctrl-C ends it, and nothing is lost."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        append(folder / "2.g3", data(0, [1000.0 + len(waits)], {"x": [2]}))
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(scan_module.time, "sleep", wait)
    caplog.set_level("INFO")
    result = CliRunner().invoke(cli, ["scan-g3", str(folder), "--every", "7"])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].startswith("sisock: stopped; what was read is indexed")
    assert waits == [7.0] * 3
    assert [record.getMessage() for record in caplog.records].count("1 files indexed (0.0 MB), 1 unchanged") == 2


@pytest.mark.parametrize(
    ("arguments", "interval", "expected"),
    [([], None, None), (["--follow"], None, 2.0), (["--every", "60"], "5", 60.0), ([], "5", 5.0)],
)
def test_how_often_is_said_by_options_or_the_originals_variable(folder, monkeypatch, arguments, interval, expected):
    """Once, unless --every, --follow or SCAN_INTERVAL says otherwise; DATA_DIRECTORY is the folder that is meant."""
    asked = []
    monkeypatch.setattr(scan_module, "run_scan", lambda scan, every_s: asked.append(every_s))
    monkeypatch.setenv("DATA_DIRECTORY", str(folder))
    if interval:
        monkeypatch.setenv("SCAN_INTERVAL", interval)
    assert CliRunner().invoke(cli, ["scan-g3", *arguments]).exit_code == 0
    assert asked == [expected]


def test_a_database_that_is_away_for_a_while_ends_nothing(folder, monkeypatch, caplog):
    """A scan that fails while others go on is logged, and the next one tried."""
    scan = prepared(folder)
    waits = iter([None, None])

    def wait(_: float) -> None:
        if next(waits, "over") == "over":
            raise KeyboardInterrupt

    scanned = scan.scanner.scan
    monkeypatch.setattr(scan_module.time, "sleep", wait)
    monkeypatch.setattr(scan.scanner, "scan", lambda progress=None: scanned(progress) if progress else away())
    run_scan(scan, 1.0)
    assert [record.getMessage() for record in caplog.records] == ["the index is away; trying again"] * 2


def away() -> None:
    raise NodeUnavailable("the index is away")


def test_a_folder_must_be_named(folder):
    """Without a folder it is said how to name one, and a wrong one is told."""
    with pytest.raises(ConfigurationError, match="sisock scan-g3 /data/hk"):
        prepared(None)
    with pytest.raises(ConfigurationError, match="'nowhere' is not a folder"):
        prepared(Path("nowhere"))


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    """People see how far it is."""
    monkeypatch.setattr("click._termui_impl.isatty", lambda _: True)
    with ScanProgress(is_terminal=True) as progress:
        for done in (1, 2, 4):
            progress(done, 4)
    output = capsys.readouterr().err
    assert "indexing" in output
    assert "25%" in output
    assert "100%" in output


def test_progress_is_a_line_now_and_then_elsewhere(capsys):
    """A log is not filled with bars."""
    now = 0.0
    with ScanProgress(is_terminal=False, clock=lambda: now) as progress:
        for now in range(25):
            progress(now * 10**6, 24 * 10**6)
    assert capsys.readouterr().err.splitlines() == ["sisock: 10 of 24 MB", "sisock: 20 of 24 MB"]
