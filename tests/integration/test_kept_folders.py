"""What nodes of the commit before have kept is taken up by those of today as if they had kept it, and the reverse."""

from __future__ import annotations

import json
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sisock.nodes import KINDS

from integration.kept import GROWTH, NEXT, kept_files, write_sources
from integration.sites import clean_environment

WAYS = ("from old to new", "from new to old")
PREAMBLE = struct.Struct("<8sQQII")


@dataclass(frozen=True)
class Handed:
    """A folder that one version has written, and another one has read and gone on with.

    Parameters
    ----------
    shape
        What was kept in between, without what differs from folder to folder.
    files
        What tells each file that was kept then from any other.
    """

    written: dict[str, Any]
    shape: Any
    files: dict[str, Any]
    read: dict[str, Any]


def handed(folder: Path, first: str, second: str) -> Handed:
    """Let one version write a folder, and another one read it; PYTHONPATH says which."""
    write_sources(folder)
    written = run("write", folder, first)
    return Handed(written, shape(folder / "kept"), kept_files(folder), run("read", folder, second))


def run(what: str, folder: Path, path: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-P", "-m", "integration.kept", what, str(folder)],
        env=clean_environment() | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = [line.replace(str(folder), "") for line in result.stderr.splitlines()]
    return {**json.loads(result.stdout, parse_constant=str), "said": said}


@pytest.fixture(scope="module")
def both_ways(versions, tmp_path_factory) -> dict[str, Handed]:
    """A folder that went from the version before to this one, and one that went the other way."""
    first, second = [versions["old"], versions["new"]], [versions["new"], versions["old"]]
    with ThreadPoolExecutor() as pool:
        found = pool.map(handed, [tmp_path_factory.mktemp("kept") for _ in WAYS], first, second)
        return dict(zip(WAYS, found, strict=True))


@pytest.fixture(params=WAYS)
def way(request, both_ways) -> Handed:
    return both_ways[request.param]


def test_all_that_is_kept_is_here(way):
    """Each kind of node is among those that are looked at, with parts of merged files, and in both versions."""
    assert way.written["kinds"] == sorted(KINDS)
    assert way.written["package"] != way.read["package"]
    assert {one["members"] for one in way.shape["joined"].values() if "members" in one} == {1, 8}
    assert len(way.shape["archives"]) == 10 + 10 + 10 + 2 + 2 + 2
    assert len(way.shape["journals"]) == 2 + 4


def test_what_was_kept_is_served_as_it_was(way):
    """Catalogues, samples, what is drawn of them, identities and what is final: all as before."""
    before, after = way.written["served"], way.read["served"]
    assert [name for name in before if after[name] != before[name]] == []
    assert all(node["read"]["timelines"] for node in before.values())


def test_no_file_is_read_again(way):
    """Nothing is parsed or scanned that is kept; files may even hold something else by now."""
    assert way.read["opened"] == []


def test_nothing_is_kept_anew(way):
    """Each file of the cache, the index and the journals stays the very file that it was, and none is added."""
    assert way.read["kept"] == way.files


def test_nothing_is_complained_of(way):
    """What is said of a broken line is said again, word for word, and nothing else."""
    (said,) = way.written["said"]
    assert "line 5 is not 'unix_seconds value'" in said
    assert way.read["said"] == way.written["said"]


def test_what_grows_keeps_its_identity(way):
    """What comes behind what was kept is served under the same identity; of archives, only what grew is read."""
    assert way.read["opened as they grew"] == sorted(GROWTH)
    grown = set()
    for node, before, after in timelines(way.read["served"], way.read["grown"]):
        assert after["generation"] == before["generation"]
        (_, old), (_, new) = before["times"], after["times"]
        assert new[: len(old)] == old
        if len(new) > len(old):
            assert len(new) == len(old) + 1
            assert new[-1] >= NEXT - 3600
            assert after["finalized_until"] > before["finalized_until"]
            grown.add(node)
    assert grown == {*way.written["served"]} - {"table in Parquet", "table of some files"}


def timelines(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield each timeline as it is before and after."""
    for node, one in before.items():
        for name, timeline in one["read"]["timelines"].items():
            yield node, timeline, after[node]["read"]["timelines"][name]


def test_both_versions_keep_the_same(both_ways):
    """Entries, tables and journals that either version writes have the same names, the same content and no more."""
    one, other = both_ways.values()
    for part, found in one.shape.items():
        assert found == other.shape[part], part


def shape(kept: Path) -> dict[str, Any]:
    """Return what is kept, without names, times and numbers that are those of this folder and of this minute."""
    areas = {area: dict(entries(kept / "cache" / area)) for area in ("archives", "joined")}
    return {**areas, "index": tables(kept / "cache" / "g3-index.sqlite"), "journals": journals(kept)}


def entries(area: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of an area of the cache: all that is told of them, and the checksums of their arrays."""
    sources = f"{area.parent.parent.parent}/sources/"
    for path in area.glob("*/*/meta.json"):
        told = json.loads(path.read_text().replace(sources, ""))
        arrays = {name: (one["bytes"], one["crc32"]) for name, one in told["files"].items() if name != "member_keys"}
        assert {one.name for one in path.parent.iterdir()} == {"meta.json", *(f"{name}.npy" for name in told["files"])}
        shown = {name: one for name, one in told.items() if name not in ("crc32", "signature")}
        yield f"{told['source']} {told['reader']} {told.get('name')}", {**shown, "files": arrays, "keys": list(told)}


def tables(database: Path) -> dict[str, Any]:
    """Return the statements that have made the tables of an index, and their rows."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        made = [tuple(row) for row in connection.execute("select type, name, sql from sqlite_master")]
        rows = {name: connection.execute(f"select * from {name}") for kind, name, _ in made if kind == "table"}
        return {"made": made, **{name: [plain(name, row) for row in found] for name, found in rows.items()}}


def plain(table: str, row: sqlite3.Row) -> dict[str, Any]:
    """Return a row without what is made of the folder's path, or given by the file system."""
    hidden = {"key", "inode"} | ({"name"} if table == "sisock_g3_archives" else set())
    return {name: row[name] for name in row.keys() if name not in hidden}  # noqa: SIM118 - a row is no mapping


def journals(kept: Path) -> list[Any]:
    """Return the beginnings of all journals, with the lengths of their files."""
    found = []
    for path in kept.glob("*/*.samples/00000001.journal"):
        content = path.read_bytes()
        magic, length, _, state, header = PREAMBLE.unpack_from(content)
        told = json.loads(content[PREAMBLE.size : PREAMBLE.size + header])
        shown = [(name, one) for name, one in told.items() if name not in ("boot", "generation")]
        found.append([path.parent.parent.name, magic.decode(), length, state, len(content), shown])
    return sorted(found, key=str)
