"""Arrays on disk are as they were written or not there at all, whatever happens to processes and files."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from sisock.nodes.archive import array_cache as module
from sisock.nodes.archive.array_cache import ArrayCache, DamagedEntry, digest

KEY, OTHER = digest("a file"), digest("another file")
SHORT, LONG = np.arange(5.0), np.arange(50_000.0)
WRITER = """
import os, signal, sys
import numpy as np
from sisock.nodes.archive.array_cache import ArrayCache, digest

def write(folder):
    cache = ArrayCache(folder)
    for version in range(1, 4):
        arrays = {"short": np.full(5, float(version)), "long": np.full(50_000, float(version))}
        cache.commit(digest("a file"), f"v{version}", {"source": folder, "number": version}, arrays)

def count(event, arguments):
    global left
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "fcntl.flock"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

"""
WRITE_VERSIONS = """
for _ in range(10):
    write(sys.argv[1])
"""
WRITE_KEYS = """
cache = ArrayCache(sys.argv[1])
for number in range(50):
    entry = cache.commit(digest(number), "v1", {"source": "", "number": number}, {"a": np.full(50_000, number)})
    assert set(entry.array("a")) == {number}
    cache.sweep()
"""
OPEN_MANY = """
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
cache = ArrayCache(sys.argv[1])
entry = cache.commit(digest(1), "1", {}, {"long": np.arange(10_000)})
print(len([entry.array("long") for _ in range(300)]))
"""
# Another child for each of the operations on files, which is killed before it.
WRITE_AND_BE_KILLED = """
for left in range(1000):
    child = os.fork()
    if not child:
        sys.addaudithook(count)
        write(os.path.join(sys.argv[1], str(left)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status))
    if not os.WIFSIGNALED(status):
        break
"""


@pytest.fixture
def cache(tmp_path):
    return ArrayCache(tmp_path / "cache")


def commit(cache, version="v1", key=KEY, source="", **arrays):
    return cache.commit(key, version, {"source": str(source)}, arrays or {"short": SHORT, "long": LONG})


def files(cache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def make_old(folder: Path, days: float) -> None:
    then = time.time() - 86400 * days
    os.utime(folder, (then, then))


@pytest.mark.parametrize(
    "array",
    [
        LONG, SHORT, np.array([]), np.array([0.0, -0.0, np.nan, np.inf, 5e-324]), np.array([1, -1], dtype=np.int64),
        np.array([True, False]), np.arange(3, dtype=np.int32), np.arange(256, dtype=np.uint8), np.arange(10.0)[::-2],
        np.arange(12.0).reshape(3, 4),
    ],
)  # fmt: skip
def test_an_array_comes_back_as_it_was(cache, array):
    """Dtype, shape and every bit are kept, and nobody can write to what comes back."""
    assert commit(cache, array=array)
    found = ArrayCache(cache.folder.parent).open(KEY, "v1").array("array")
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert type(found) is np.ndarray
    assert not found.flags.writeable


def test_a_long_array_is_mapped_and_not_loaded(cache):
    """What is long stays on the disk until it is looked at."""
    found = commit(cache).array("long")
    assert isinstance(found.base, np.memmap)


def test_the_meta_comes_back(cache):
    """What the writer says of the arrays is kept, any text that JSON can hold."""
    entry = cache.commit(KEY, "v1", {"source": "/x/\udcff", "numbers": [1.5, None, 0.1]}, {})
    assert (entry.meta["source"], entry.meta["numbers"]) == ("/x/\udcff", [1.5, None, 0.1])


def test_nothing_is_there_before_it_was_written(cache):
    """A cache without an entry says so, and makes no folder by being asked."""
    assert (cache.open(KEY, "v1"), cache.newest(KEY)) == (None, None)
    cache.remove(KEY)
    cache.sweep()
    assert not cache.folder.parent.exists()


def test_only_the_owner_may_look(tmp_path):
    """Folders of the cache are closed to others, whatever the parents are."""
    cache = ArrayCache(tmp_path / "some" / "cache")
    commit(cache)
    folders = [cache.folder.parent, *(path for path in cache.folder.parent.rglob("*") if path.is_dir())]
    assert len(folders) == 5
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_a_new_version_replaces_the_old_one(cache):
    """Of a key one version is kept, and other keys are left alone; what was opened before can still be read."""
    commit(cache, key=OTHER)
    before = commit(cache, "v1").array("long")
    commit(cache, "v2", long=LONG + 1)
    assert cache.open(KEY, "v1") is None
    assert cache.open(OTHER, "v1")
    assert cache.newest(KEY).array("long")[0] == 1
    assert np.array_equal(before, LONG)
    assert len(files(cache)) == 5


def test_what_another_process_has_written_is_as_good(cache):
    """Of two that write the same the first wins, and both read it."""
    first = commit(cache)
    assert commit(ArrayCache(cache.folder.parent)).folder == first.folder
    assert len(files(cache)) == 3


def test_removing_a_key_leaves_nothing_of_it(cache):
    """An entry whose source is gone goes without a trace."""
    commit(cache)
    cache.remove(KEY)
    assert files(cache) == []
    assert [path.name for path in cache.folder.iterdir()] == ["unfinished"]


def test_a_cache_removed_while_in_use(cache):
    """What was opened goes on, what was not is damaged, and new entries can be made at once."""
    entry = commit(cache)
    held = entry.array("long")
    shutil.rmtree(cache.folder.parent)
    assert np.array_equal(held, LONG)
    with pytest.raises(DamagedEntry):
        entry.array("short")
    assert cache.open(KEY, "v1") is None
    assert np.array_equal(commit(cache).array("long"), LONG)


def test_a_cache_removed_while_an_entry_is_written(cache, monkeypatch, caplog):
    """Whoever empties the cache at the wrong moment costs a second attempt, and no complaint."""
    write, removed = module._write_array, []

    def remove_first(path, array):
        if not removed:
            removed.append(shutil.rmtree(cache.folder.parent))
        return write(path, array)

    monkeypatch.setattr(module, "_write_array", remove_first)
    assert np.array_equal(commit(cache).array("long"), LONG)
    assert not caplog.records


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
        return
    if how == "a folder":
        path.unlink()
        path.mkdir()
        return
    path.write_bytes({
        "empty": b"",
        "cut": content[: len(content) // 2],
        "cut by one": content[:-1],
        "longer": content + b"\0",
        "zeros": bytes(len(content)),
        "noise": np.random.default_rng(3).bytes(len(content)),
        "one bit": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "brackets": b"[" * len(content),
        "pickle": b"\x93NUMPY" + content[6:10].replace(b"\x76\x00", b"\x00\x00") + b"cos\nsystem\n" * 9,
    }[how])  # fmt: skip


WAYS = ("gone", "a folder", "empty", "cut", "cut by one", "longer", "zeros", "noise", "one bit", "brackets", "pickle")


@pytest.mark.parametrize("name", ["long.npy", "short.npy", "meta.json"])
@pytest.mark.parametrize("how", WAYS)
def test_a_spoiled_file_is_never_believed(cache, name, how):
    """However a file was damaged, the entry is refused, and can be made anew in its place."""
    spoil(commit(cache).folder / name, how)
    entry = ArrayCache(cache.folder.parent).open(KEY, "v1")
    if name == "meta.json":
        assert entry is None
    else:
        other = {"long.npy": "short", "short.npy": "long"}[name]
        assert len(entry.array(other))
        with pytest.raises(DamagedEntry, match=KEY):
            entry.array(name.removesuffix(".npy"))
        cache.remove(KEY)
    assert np.array_equal(commit(cache).array("long"), LONG)


def test_an_array_that_nobody_wrote_is_damage(cache):
    """A name that is not in the entry is no other error than a file that is gone."""
    with pytest.raises(DamagedEntry):
        commit(cache).array("../secret")


def test_an_entry_of_another_format_is_not_read(cache):
    """What another version of sisock has written, sound as it is, is passed over."""
    folder = commit(cache).folder
    meta = json.loads((folder / "meta.json").read_text())
    body = json.dumps(meta | {"format": 3})[1:].encode()
    (folder / "meta.json").write_bytes(b'{"crc32": %d,\n' % zlib.crc32(body) + body)
    assert (cache.open(KEY, "v1"), cache.newest(KEY)) == (None, None)


@pytest.mark.parametrize("where", ["cache", "cache/archives", "cache/archives/unfinished", f"cache/archives/{KEY}"])
def test_what_cannot_be_written_is_said_once(tmp_path, caplog, where):
    """Where a folder cannot be made there are no entries, no errors, and one line that says what to do."""
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    cache = ArrayCache(tmp_path / "cache")
    assert [commit(cache, f"v{number}") for number in range(3)] == [None] * 3
    cache.sweep()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "SISOCK_CACHE" in caplog.text
    path.unlink()
    assert commit(cache)


def test_a_full_disk_leaves_what_was_there(cache, monkeypatch, caplog):
    """An entry that does not fit is not there, the one before stays, and nothing is left behind."""
    commit(cache)
    before = files(cache)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert commit(cache, "v2") is None
    assert commit(cache, "v2") is None
    assert files(cache) == before
    assert np.array_equal(cache.newest(KEY).array("long"), LONG)
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text


def test_a_cache_that_can_only_be_read_is_read(cache, monkeypatch):
    """Entries are served from a folder in which nothing can be changed."""
    commit(cache)

    def refuse(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    for name in ("utime", "mkdir", "rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, refuse)
    entry = cache.open(KEY, "v1")
    assert np.array_equal(entry.array("long"), LONG)
    cache.sweep()
    cache.remove(KEY)
    assert commit(cache, "v2") is None
    assert np.array_equal(cache.open(KEY, "v1").array("long"), LONG)


def test_rubbish_of_a_dead_process_is_swept(cache):
    """What a process has left half made goes at the next sweep, locks and trash too, and entries stay."""
    commit(cache)
    expected = files(cache)
    rubbish = cache.folder / "unfinished"
    (rubbish / "half").mkdir()
    (rubbish / "half" / "long.npy").write_bytes(b"half")
    (rubbish / "half.lock").touch()
    (rubbish / "trash").mkdir()
    (rubbish / "alone.lock").touch()
    cache.sweep()
    assert files(cache) == expected
    assert list(rubbish.iterdir()) == []


def test_what_a_living_process_makes_is_not_swept(cache):
    """A sweep beside an entry that is being written, be it old, leaves it alone."""
    with cache._workplace() as folder:
        make_old(folder, 400)
        ArrayCache(cache.folder.parent).sweep()
        assert folder.is_dir()
    ArrayCache(cache.folder.parent).sweep()
    assert list((cache.folder / "unfinished").iterdir()) == []


def test_a_sweep_between_making_and_locking_costs_nothing(cache, monkeypatch, caplog):
    """Whoever has its lock swept away before it is held takes another one."""
    flock, turns = module.fcntl.flock, []

    def sweep_first(descriptor, operation):
        turns.append(descriptor)
        if len(turns) == 1:
            for path in (cache.folder / "unfinished").iterdir():
                path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(module.fcntl, "flock", sweep_first)
    assert commit(cache)
    assert len(turns) == 2
    assert not caplog.records


def test_what_nobody_uses_and_nobody_can_make_again_is_forgotten(cache, tmp_path):
    """An entry goes when its source is gone and it was not opened for a month, and not before."""
    (tmp_path / "source").touch()
    commit(cache, source=tmp_path / "source")
    commit(cache, key=OTHER, source=tmp_path / "gone")
    cache.sweep()
    assert cache.newest(OTHER)
    for key in (KEY, OTHER):
        make_old(cache.folder / key / "v1", 31)
    cache.open(OTHER, "v1")  # used today
    cache.sweep()
    assert cache.newest(OTHER)
    make_old(cache.folder / OTHER / "v1", 31)
    cache.sweep()
    assert cache.newest(OTHER) is None
    assert cache.newest(KEY)


def test_versions_that_a_killed_process_left_are_swept(cache):
    """The newest of several versions stays; what is unreadable goes after a month like what has no source."""
    commit(cache, "v1")
    shutil.copytree(cache.folder / KEY / "v1", cache.folder / KEY / "v0")
    make_old(cache.folder / KEY / "v0", 1)
    cache.sweep()
    assert [path.name for path in (cache.folder / KEY).iterdir()] == ["v1"]


def test_what_is_not_ours_is_not_touched(cache):
    """Other people's files in the folder stay, however old they are."""
    commit(cache)
    for path in (cache.folder / "notes" / "old", cache.folder.parent / "other" / "old"):
        path.mkdir(parents=True)
        make_old(path, 400)
        make_old(path.parent, 400)
    cache.sweep()
    assert (cache.folder / "notes" / "old").exists()
    assert (cache.folder.parent / "other" / "old").exists()


def start(program: str, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", WRITER + program, str(folder)]
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


def check_whole(cache: ArrayCache) -> int | None:
    """What can be opened is whole, a sweep leaves nothing else; return which version it is."""
    cache.sweep()
    entry = cache.newest(KEY)
    number = entry.meta["number"] if entry else None
    if entry:
        assert entry.array("short").tolist() == [number] * 5
        assert np.array_equal(entry.array("long"), np.full(50_000, float(number)))
    assert list(cache.folder.glob("unfinished/*")) == []
    assert {path.name for path in files(cache)} <= {"meta.json", "short.npy", "long.npy", "a.npy"}
    return number


@pytest.mark.parametrize("program", [WRITE_VERSIONS, WRITE_KEYS], ids=["versions", "keys"])
def test_processes_at_once_get_what_they_wrote_and_leave_whole_entries(tmp_path, program):
    """Of processes that write the same, and sweep, at the same time, none fails or complains, and none is misled."""
    processes = [start(program, tmp_path) for _ in range(3)]
    assert [process.communicate(timeout=60) for process in processes] == [("", "")] * 3
    cache = ArrayCache(tmp_path)
    check_whole(cache)
    if program == WRITE_KEYS:
        assert all(set(cache.newest(digest(number)).array("a")) == {number} for number in range(50))


def test_more_arrays_can_be_open_than_a_process_may_have_files_at_first(tmp_path):
    """Each mapping keeps its file open, and most systems begin with a limit that a few fields would reach."""
    assert start(OPEN_MANY, tmp_path).communicate(timeout=60) == ("300\n", "")


def test_a_process_killed_at_any_moment_leaves_no_half_entry(tmp_path):
    """Killed before each of its operations on files in turn, a writer leaves whole entries, and rubbish that goes."""
    output, errors = start(WRITE_AND_BE_KILLED, tmp_path).communicate(timeout=60)
    statuses = [int(line) for line in output.split()]
    assert errors == ""
    assert len(statuses) > 50
    assert statuses == [signal.SIGKILL] * (len(statuses) - 1) + [0]
    left = [check_whole(ArrayCache(tmp_path / str(number))) for number in range(len(statuses))]
    assert sorted(left, key=lambda number: number or 0) == left
    assert set(left) == {None, 1, 2, 3}
    assert all(len(files(ArrayCache(tmp_path / str(number)))) in {0, 3} for number in range(len(statuses)))
