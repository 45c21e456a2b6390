"""Buffers that survive a restart: what comes back, under which generation, and what is on the disk meanwhile."""

import errno
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.buffer.rolling import RollingBuffer
from sisock.nodes.live import log_file, write_ahead_log
from sisock.nodes.live.buffer_folder import BufferFolder

EVERYTHING = (-math.inf, math.inf)
FIELDS = {"n": "number", "b": "bool", "s": "string"}


def kill(folder):
    """End the use of a folder as the end of its process would, with nothing flushed or said."""
    folder._ending.detach()
    if folder._lock is not None:
        os.close(folder._lock)


def row(number):
    return {"n": number / 3, "b": number % 2 == 0, "s": "ä" * (number % 4)}


def take(buffer, *times):
    for time in times:
        buffer.append(float(time), row(int(time)))


def contents(buffer):
    """All that a buffer says, in plain lists."""
    block = buffer.block(buffer.fields, *EVERYTHING)
    samples = {name: [str(one) for one in array] for name, array in block.values.items()}
    return block.times.tolist(), samples, (block.finalized_until, block.available_from, block.generation)


def samples(buffer):
    return contents(buffer)[:2]


def generation(buffer):
    return contents(buffer)[2][2]


def log_files(path):
    return sorted(path.glob("*.samples/*.journal"))


@pytest.fixture
def small_files(monkeypatch):
    """Segments of some dozen rows."""
    monkeypatch.setattr(write_ahead_log, "LEAST_FILE_BYTES", 200)


@pytest.fixture
def reboot(monkeypatch):
    """A function after which the machine seems to have been started again."""

    def start_again():
        run = write_ahead_log.boot_id() + "!"
        monkeypatch.setattr(write_ahead_log, "boot_id", lambda: run)

    return start_again


@pytest.fixture
def kept(tmp_path):
    """A buffer with some samples, that is kept in a folder."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer(FIELDS, 1000.0, {"whose": "mine"})
    take(buffer, 1, 2, 3)
    return folder, buffer


def only(folder, duration_s=1000.0):
    """The one buffer that a folder brings back."""
    [(buffer, _)] = folder.restored(duration_s)
    return buffer


def test_what_was_served_is_there_after_a_kill(tmp_path, kept):
    """After a sudden end of the process a buffer is what it was, under the same generation, and goes on."""
    folder, buffer = kept
    take(buffer, 2)
    kill(folder)
    [(restored, about)] = BufferFolder(tmp_path).restored(1000.0)
    assert contents(restored) == contents(buffer)
    assert (restored.fields, restored.position, about) == (FIELDS, buffer.position, {"whose": "mine"})
    take(restored, 4, 3)
    take(buffer, 4, 3)
    assert contents(restored) == contents(buffer)


def test_arrays_come_back_with_their_types(tmp_path, kept):
    """Numbers, bools and texts have the same dtypes as before, and texts are plain ones."""
    kill(kept[0])
    block = only(BufferFolder(tmp_path)).block(FIELDS, *EVERYTHING)
    assert [block.values[name].dtype.kind for name in "nbs"] == ["f", "b", "O"]
    assert {type(text) for text in block.values["s"]} == {str}


@pytest.mark.parametrize("text", ["", "ä€𝄞", "\x00\n", "\ud800", "x" * 100_000])
def test_any_text_comes_back(tmp_path, text):
    """Texts of any length and any characters survive, also those that are no valid Unicode."""
    folder = BufferFolder(tmp_path)
    folder.new_buffer({"s": "string"}, 10.0).extend([1.0, 2.0], {"s": [text, "next"]})
    kill(folder)
    assert only(BufferFolder(tmp_path)).block("s", *EVERYTHING).values["s"].tolist() == [text, "next"]


def test_any_number_comes_back(tmp_path):
    """NaN, infinities and the smallest number survive."""
    numbers = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
    folder = BufferFolder(tmp_path)
    folder.new_buffer({"n": "number"}, 10.0).extend(range(5), {"n": numbers})
    kill(folder)
    block = only(BufferFolder(tmp_path)).block("n", *EVERYTHING)
    assert list(map(repr, block.values["n"].tolist())) == list(map(repr, numbers))


def test_a_buffer_that_took_nothing_leaves_nothing(tmp_path):
    """Without a sample there is no file."""
    folder = BufferFolder(tmp_path)
    folder.new_buffer(FIELDS, 10.0)
    kill(folder)
    assert BufferFolder(tmp_path).restored(10.0) == []
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_many_restarts(tmp_path, small_files):
    """However often the process ends, with or without new samples, the generation stays and nothing is lost."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer(FIELDS, 1e6)
    take(buffer, 0)
    first = generation(buffer)
    for number in range(1, 30):
        if number % 3 == 0:
            folder.close()
        kill(folder)
        folder = BufferFolder(tmp_path)
        buffer = only(folder, 1e6)
        if number % 2:
            take(buffer, *range(number * 100, number * 100 + number))
    assert generation(buffer) == first
    assert len(buffer) == 1 + sum(range(1, 30, 2))


def test_a_mean_has_the_same_bits_after_a_restart(tmp_path, small_files):
    """Samples keep their absolute indices, so that a bucket's mean is added up in the same order as before."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer({"n": "number"}, 3000.0)
    rng = np.random.default_rng(1)
    for low in range(0, 20_000, 37):
        buffer.extend(np.arange(low, low + 37), {"n": rng.normal(size=37) * 10.0 ** rng.integers(-6, 6, 37)})
    kill(folder)
    restored = only(BufferFolder(tmp_path), 3000.0)
    for width in (200.0, 1700.0):
        expected = buffer.column("n").reduced(17_010.0, 1e9, "mean", width)
        found = restored.column("n").reduced(17_010.0, 1e9, "mean", width)
        assert [one.tolist() for one in found] == [one.tolist() for one in expected]


def test_after_a_power_cut_a_buffer_is_other_data(tmp_path, kept, reboot):
    """When the machine was started again, the last samples may be lost on the way to the disk: a new generation."""
    folder, buffer = kept
    kill(folder)
    reboot()
    second = BufferFolder(tmp_path)
    restored = only(second)
    assert samples(restored) == samples(buffer)
    assert generation(restored) != generation(buffer)
    take(restored, 4)
    kill(second)
    assert contents(only(BufferFolder(tmp_path))) == contents(restored)


def test_a_reboot_after_a_proper_end_changes_nothing(tmp_path, kept, reboot):
    """What was flushed as the process ended is known to be whole whenever it is read, until more is written."""
    folder, buffer = kept
    folder._ending()
    reboot()
    second = BufferFolder(tmp_path)
    restored = only(second)
    assert contents(restored) == contents(buffer)
    take(restored, 4)
    kill(second)
    reboot()
    assert generation(only(BufferFolder(tmp_path))) != generation(buffer)


def test_samples_that_come_after_a_close_are_not_taken_for_flushed(tmp_path, kept, reboot):
    """A buffer may go on after its folder was closed: then what was said of it holds no longer."""
    folder, buffer = kept
    folder.close()
    take(buffer, 4)
    kill(folder)
    reboot()
    restored = only(BufferFolder(tmp_path))
    assert samples(restored) == samples(buffer)
    assert generation(restored) != generation(buffer)


def test_where_the_system_does_not_tell_its_runs_apart(tmp_path, monkeypatch):
    """Without an identity of the machine's run only a proper end proves that nothing is lost."""
    monkeypatch.setattr(write_ahead_log, "boot_id", lambda: "")
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer(FIELDS, 10.0)
    take(buffer, 1)
    kill(folder)
    assert generation(only(BufferFolder(tmp_path))) != generation(buffer)


def test_a_machine_tells_its_runs_apart(monkeypatch, tmp_path):
    """The identity of a run is read from the system, and empty where it has none."""
    assert write_ahead_log.boot_id() == write_ahead_log.boot_id()
    monkeypatch.setattr(write_ahead_log, "_BOOT_ID", tmp_path / "none")
    assert write_ahead_log.boot_id() == ""


def test_a_copy_is_other_data(tmp_path, kept, monkeypatch):
    """A folder that was brought back from a copy may be an old one: samples served since are not in it."""
    folder, buffer = kept
    monkeypatch.setattr(
        write_ahead_log.time, "time_ns", lambda now=write_ahead_log.time.time_ns: now() - 10**10
    )  # ten seconds ago
    folder.close()
    shutil.copytree(tmp_path, tmp_path.with_suffix(".copy"))
    take(buffer, 4)
    kill(folder)
    shutil.rmtree(tmp_path)
    shutil.copytree(tmp_path.with_suffix(".copy"), tmp_path)
    restored = only(BufferFolder(tmp_path))
    assert restored.newest == 3.0
    assert generation(restored) != generation(buffer)


def header_bytes(path):
    """The length of a file without its records."""
    return log_file.PREAMBLE.size + log_file.PREAMBLE.unpack_from(path.read_bytes())[-1] + 4


def leave(path, data):
    """Have a file with some bytes, and no other, in a log."""
    for other in path.parent.iterdir():
        other.unlink()
    path.write_bytes(data)


def test_a_log_cut_at_any_byte(tmp_path, kept):
    """Where a file ends too early, the samples before that come back, under another generation."""
    folder, buffer = kept
    kill(folder)
    [path] = log_files(tmp_path)
    whole, seen = path.read_bytes(), set()
    for length in range(len(whole) - 1, header_bytes(path) - 1, -1):
        leave(path, whole[:length])
        folder = BufferFolder(tmp_path)
        restored = only(folder)
        assert generation(restored) != generation(buffer)
        assert samples(buffer)[0][: len(restored)] == samples(restored)[0]
        seen.add(len(restored))
        kill(folder)
    assert seen == {0, 1, 2}


def test_a_log_cut_before_its_first_sample(tmp_path, kept):
    """Of a file without a whole header nothing is left, and it is removed."""
    kill(kept[0])
    [path] = log_files(tmp_path)
    path.write_bytes(path.read_bytes()[: header_bytes(path) - 1])
    assert BufferFolder(tmp_path).restored(1000.0) == []
    assert log_files(tmp_path) == []


def test_a_record_that_was_cut_off_was_never_served(tmp_path, kept):
    """What a process had begun to write when it was killed is no loss: the generation stays, and it is overwritten."""
    folder, buffer = kept
    kill(folder)
    [path] = log_files(tmp_path)
    with path.open("ab") as file:
        file.write(
            log_file.encode_batch(np.array([4.0]), [np.array([1.0]), np.array([True]), np.array(["x"])], 0)[:-9]
        )
    second = BufferFolder(tmp_path)
    restored = only(second)
    assert contents(restored) == contents(buffer)
    take(restored, 4)
    kill(second)
    assert contents(only(BufferFolder(tmp_path))) == contents(restored)


def test_garbage_is_found_wherever_it_is(tmp_path, kept):
    """A byte that is another than it was is never taken for data: the samples before it come back, as other data."""
    folder, buffer = kept
    kill(folder)
    [path] = log_files(tmp_path)
    whole = path.read_bytes()
    for place in range(header_bytes(path), len(whole)):
        leave(path, whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        folder = BufferFolder(tmp_path)
        restored = only(folder)
        assert generation(restored) != generation(buffer)
        assert samples(buffer)[0][: len(restored)] == samples(restored)[0]
        kill(folder)


def test_garbage_in_a_header_is_no_error(tmp_path, kept):
    """A damaged beginning loses the file at most; what comes back under the old generation is all there was."""
    folder, buffer = kept
    kill(folder)
    [path] = log_files(tmp_path)
    whole = path.read_bytes()
    for place in range(header_bytes(path)):
        path.parent.mkdir(exist_ok=True)
        leave(path, whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        folder = BufferFolder(tmp_path)
        for restored, _ in folder.restored(1000.0):
            assert generation(restored) != generation(buffer) or contents(restored) == contents(buffer)
        kill(folder)


@pytest.mark.parametrize("lost", [0, 3, -2, -1], ids=["first", "middle", "last but one", "last"])
def test_a_file_that_lacks_is_noticed(tmp_path, small_files, lost):
    """When one of several files is gone, what comes after it is used, as other data, and no hole is hidden."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer(FIELDS, 1000.0)
    take(buffer, *range(100))
    kill(folder)
    paths = log_files(tmp_path)
    assert len(paths) > 5
    paths[lost].unlink()
    restored = only(BufferFolder(tmp_path))
    times = samples(restored)[0]
    assert generation(restored) != generation(buffer)
    assert times == [float(time) for time in range(int(times[0]), int(times[-1]) + 1)]
    if lost == -1:
        assert times[0] == 0.0
    else:
        assert times[-1] == 99.0
        assert contents(restored)[2][1] == times[0] > 0.0


def test_what_has_expired_leaves_the_disk(tmp_path):
    """The files hold little more than what is kept, and a restart finds just that."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer({"n": "number"}, 1000.0)
    for time in range(20_000):
        buffer.append(float(time), {"n": time})
        if time % 1000 == 999:
            assert sum(path.stat().st_size for path in log_files(tmp_path)) < 1.6 * 28 * 1001
    kill(folder)
    restored = only(BufferFolder(tmp_path))
    assert contents(restored) == contents(buffer)
    assert restored.position == buffer.position


def test_what_is_dropped_for_its_bytes_leaves_the_disk(tmp_path):
    """A bound in bytes bounds the files, too."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer({"n": "number"}, 1e9, max_bytes=50_000)
    for low in range(0, 50_000, 10):
        buffer.extend(np.arange(low, low + 10), {"n": np.arange(10)})
    kill(folder)
    assert sum(path.stat().st_size for path in log_files(tmp_path)) < 1.6 * 50_000
    restored = BufferFolder(tmp_path).restored(1e9, max_bytes=50_000)[0][0]
    found, expected = (one.block(["n"], *EVERYTHING) for one in (restored, buffer))
    assert found.generation == expected.generation
    shared = max(found.available_from, expected.available_from)
    assert found.within(shared, 1e9).times.tolist() == expected.within(shared, 1e9).times.tolist()
    assert len(found.within(shared, 1e9).times) > 1000


@pytest.mark.parametrize("duration_s", [10.0, 1e6])
def test_another_duration(tmp_path, small_files, duration_s):
    """With another duration after the restart the generation stays; what was let go of is not claimed."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer(FIELDS, 100.0)
    take(buffer, *range(500))
    kill(folder)
    restored = only(BufferFolder(tmp_path), duration_s)
    times, _, (_, available_from, name) = contents(restored)
    assert name == generation(buffer)
    assert times == [float(time) for time in range(int(available_from), 500)]
    assert 489.0 >= available_from > 300.0


def test_late_and_forgotten_samples_survive(tmp_path, small_files):
    """Late samples, and that the clock was set back, are there after a restart, however the files were cut."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer(FIELDS, 60.0)
    for number in range(0, 300, 10):
        take(buffer, *range(number, number + 10), number + 3, number - 100)
        buffer.forget_after(number + 7.5)
    kill(folder)
    restored = only(BufferFolder(tmp_path), 60.0)
    assert contents(restored) == contents(buffer)
    assert restored.position == buffer.position


class Disk:
    """Lets writing fail from some call on."""

    def __init__(self, monkeypatch, calls):
        self._calls, self._write = calls, os.pwrite
        monkeypatch.setattr(write_ahead_log.os, "pwrite", self.write)

    def write(self, file, data, offset):
        self._calls -= 1
        if self._calls < 0:
            return self._write(file, data[: len(data) // 2], offset)  # as when the last room is taken
        return self._write(file, data, offset)


@pytest.mark.parametrize("calls", range(12))
def test_a_full_disk_is_no_end(tmp_path, monkeypatch, caplog, calls):
    """Where a write fails, one warning says so and samples go on in memory, at once as other data than those kept."""
    monkeypatch.setattr(write_ahead_log, "LEAST_FILE_BYTES", 1)
    folder = BufferFolder(tmp_path)
    one, other = folder.new_buffer(FIELDS, 1000.0), folder.new_buffer(FIELDS, 1000.0)
    Disk(monkeypatch, calls)
    served = {}
    for time in range(20):
        take(one, time)
        take(other, time)
        served.setdefault(generation(one), []).append(samples(one))
    assert (len(one), len(other), len(served)) == (20, 20, 1 if calls < 3 else 2)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert os.strerror(errno.ENOSPC) in caplog.text
    kill(folder)
    monkeypatch.undo()
    for restored, _ in BufferFolder(tmp_path).restored(1000.0):
        if generation(restored) in served:
            last = served[generation(restored)][-1][0]
            assert samples(restored)[0][: len(last)] == last


def test_a_folder_that_cannot_be_made(tmp_path, caplog):
    """Where there can be no folder, one warning says so, and buffers are in memory."""
    (tmp_path / "file").write_text("")
    folder = BufferFolder(tmp_path / "file" / "folder")
    assert folder.restored(10.0) == []
    take(folder.new_buffer(FIELDS, 10.0), 1)
    assert len(caplog.records) == 1
    assert "in memory only" in caplog.text


def test_a_folder_that_vanishes(tmp_path, kept, caplog):
    """When somebody removes the folder under a running process, it goes on in memory as other data."""
    _, buffer = kept
    first = generation(buffer)
    shutil.rmtree(tmp_path)
    take(buffer, 4, 5)
    assert generation(buffer) != first
    assert len(buffer) == 5
    assert len(caplog.records) == 1


def test_one_process_at_a_time(tmp_path, kept, caplog):
    """A folder in use is left alone by others, which go on in memory; a process that is gone holds nothing."""
    folder, buffer = kept
    second = BufferFolder(tmp_path)
    assert second.restored(1000.0) == []
    take(second.new_buffer(FIELDS, 10.0), 1)
    assert "another process uses it" in caplog.text
    assert len(log_files(tmp_path)) == 1
    kill(folder)
    assert contents(only(BufferFolder(tmp_path))) == contents(buffer)


def test_without_a_folder_buffers_are_in_memory(tmp_path, monkeypatch):
    """No folder, no file; each buffer is data of its own."""
    monkeypatch.chdir(tmp_path)
    folder = BufferFolder(None)
    buffers = [folder.new_buffer(FIELDS, 10.0) for _ in range(2)]
    for buffer in buffers:
        take(buffer, 1)
    folder.discard(buffers[0])
    assert generation(buffers[0]) != generation(buffers[1])
    assert folder.restored(10.0) == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_discarded_is_gone(tmp_path, kept):
    """A buffer that is no longer used leaves the disk, also when the process ended while it was removed."""
    folder, buffer = kept
    other = folder.new_buffer(FIELDS, 10.0)
    take(other, 7)
    folder.discard(buffer)
    assert len(log_files(tmp_path)) == 1
    kill(folder)
    [path] = tmp_path.glob("*.samples")
    path.rename(path.with_name(path.name + ".discarded"))
    assert BufferFolder(tmp_path).restored(10.0) == []
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_what_is_not_ours_is_left_alone(tmp_path, kept):
    """Other files and folders are neither read nor removed, wherever they are."""
    kill(kept[0])
    (tmp_path / "notes").mkdir()
    ours = log_files(tmp_path)[0].parent
    for path in (tmp_path / "notes" / "1.journal", ours / "notes", tmp_path / "x.samples"):
        path.write_text("notes")
    folder = BufferFolder(tmp_path)
    folder.discard(only(folder))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"lock", "notes/1.journal", "x.samples", f"{ours.name}.discarded/notes"}


def test_a_half_made_file_is_removed(tmp_path, kept):
    """What was left of the making of a file is no log file."""
    folder, buffer = kept
    kill(folder)
    rest = log_files(tmp_path)[0].with_suffix(".new")
    rest.write_bytes(b"sisock")
    assert contents(only(BufferFolder(tmp_path))) == contents(buffer)
    assert not rest.exists()


def test_the_format_is_as_documented(tmp_path):
    """A file can be read by the description of its format alone."""
    folder = BufferFolder(tmp_path)
    buffer = folder.new_buffer({"n": "number", "s": "string"}, 10.0)
    buffer.extend([1.0, 2.0], {"n": [5.0, math.inf], "s": ["ä", "b"]})
    data = log_files(tmp_path)[0].read_bytes()
    magic, length, state, header = data[:8], *np.frombuffer(data, "<u8", 1, 8), *np.frombuffer(data, "<u4", 2, 24)
    assert (magic, length, state) == (b"sisockJ1", len(data), 0)
    record = data[32 + header + 4 :]
    assert np.frombuffer(record, "<u4", 2).tolist() == [len(record), 2]
    assert np.frombuffer(record, "<f8", 4, 8).tolist() == [1.0, 2.0, 5.0, math.inf]
    assert np.frombuffer(record, "<u4", 2, 40).tolist() == [2, 1]
    assert record[48:51].decode() == "äb"
    assert len(record) == 51 + 4


steps = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.lists(st.integers(-30, 10), min_size=1, max_size=5)),
        st.tuples(st.just("forget"), st.integers(0, 40)),
        st.tuples(st.sampled_from(["kill", "close", "reboot"]), st.none()),
        st.tuples(st.just("cut"), st.tuples(st.integers(0, 9), st.floats(0, 1))),
    ),
    max_size=40,
)


class Life:
    """A buffer through the ends of its processes, and all that was ever served of it as final."""

    def __init__(self, path):
        self.path, self.now, self.run = path, 100.0, 0
        self.served, self.states, self.is_flushed = {}, [], True
        self.folder = BufferFolder(path)
        self.buffer = self.folder.new_buffer(FIELDS, 50.0)

    def look(self):
        """What is served now agrees with what was final under the same generation; remember it."""
        block = self.buffer.block(FIELDS, *EVERYTHING)
        before = self.served.get(block.generation, block)
        shared = max(before.available_from, block.available_from)
        old, new = (one.within(shared, before.finalized_until) for one in (before, block))
        assert block.finalized_until >= before.finalized_until
        assert old.times.tolist() == new.times.tolist()
        assert all(old.values[name].tolist() == new.values[name].tolist() for name in FIELDS)
        self.served[block.generation] = block
        self.states.append(samples(self.buffer))

    def extend(self, offsets):
        self.is_flushed = False
        times = [self.now + offset for offset in offsets]
        self.now = max(self.now, *times)
        self.buffer.extend(times, {name: [row(int(time))[name] for time in times] for name in FIELDS})

    def forget(self, back):
        before = self.buffer.position
        self.now -= back
        self.buffer.forget_after(self.now)
        self.is_flushed = self.is_flushed and self.buffer.position == before

    def kill(self, _=None):
        before = contents(self.buffer), self.buffer.position
        kill(self.folder)
        self.restart()
        if before[1].stop:
            assert (contents(self.buffer), self.buffer.position) == before

    def close(self, _=None):
        self.folder.close()
        self.run += 1
        self.kill()
        self.is_flushed = True

    def reboot(self, _=None):
        before, stop = contents(self.buffer), self.buffer.position.stop
        kill(self.folder)
        self.run += 1
        self.restart()
        if stop:
            assert contents(self.buffer)[:2] == before[:2]
            assert (generation(self.buffer) == before[2][2]) == self.is_flushed

    def cut(self, where):
        number, share = where
        kill(self.folder)
        paths = log_files(self.path)
        if paths:
            path = paths[number % len(paths)]
            size = header_bytes(path) + int(share * (path.stat().st_size - header_bytes(path)))
            cuts = size < path.stat().st_size
            os.truncate(path, size)
        self.restart()
        if paths and cuts:
            self.is_flushed = False
            assert generation(self.buffer) not in self.served
            if path == paths[-1]:
                assert samples(self.buffer) in [*self.states, ([], {name: [] for name in FIELDS})]

    def restart(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write_ahead_log, "boot_id", lambda: f"run {self.run}")
            self.folder = BufferFolder(self.path)
            found = self.folder.restored(50.0)
        self.buffer = found[0][0] if found else self.folder.new_buffer(FIELDS, 50.0)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(steps)
def test_no_generation_is_kept_that_cannot_be_proven(tmp_path_factory, steps):
    """Through appends, late samples, kills, reboots and cut files, what was final stays or is under another name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_ahead_log, "LEAST_FILE_BYTES", 100)
        life = Life(tmp_path_factory.mktemp("life"))
        patch.setattr(write_ahead_log, "boot_id", lambda: f"run {life.run}")
        for name, argument in steps:
            getattr(life, name)(argument)
            life.look()
        kill(life.folder)


records = st.lists(st.lists(st.integers(0, 20).map(float), min_size=1, max_size=4).map(sorted), min_size=1)


@settings(derandomize=True, deadline=None)
@given(records, st.sampled_from([-math.inf, 5.0]), st.sampled_from([3.0, 100.0]))
def test_few_batches_are_as_good_as_all_records(records, newest, duration_s):
    """Records taken together give the same buffer as one after the other, late ones included."""
    one_by_one, together = (RollingBuffer({"n": "number"}, duration_s, "g") for _ in range(2))
    if newest > -math.inf:
        for buffer in (one_by_one, together):
            buffer.append(newest, {"n": 0.0})
    for times in records:
        one_by_one.extend(times, {"n": times})
    times = np.array([time for record in records for time in record])
    batch = log_file.RecordBatch(times, [times], np.array([len(record) for record in records]))
    batches = list(batch.batches(newest))
    for batch_times, values in batches:
        together.extend(batch_times, {"n": values[0]})
    assert contents(together) == contents(one_by_one)
    assert together.position == one_by_one.position


def test_records_in_order_are_one_batch():
    """A day of rows that came in order is taken at once."""
    times = np.arange(86400.0)
    assert len(list(log_file.RecordBatch(times, [times], np.ones(86400, dtype=int)).batches(-1.0))) == 1


PROGRAM = textwrap.dedent("""
    import itertools, sys
    from sisock.nodes.host.node import HostNode
    from sisock.nodes.host.readings import Reading

    node = HostNode(folder=sys.argv[1], sample=lambda now: {"x.a": Reading(now / 3), "s": Reading(str(now))})
    for second in itertools.count(1000):
        node.poll(float(second))
        block = node.read(["x.a"], 1.0, 1e9).timelines["x"]
        print(block.generation, block.finalized_until, len(block.times), flush=True)
""")


def test_a_process_that_is_killed(tmp_path):
    """After SIGKILL at any moment all that a reader had seen is there, under the generation that it had seen."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "folder")], stdout=subprocess.PIPE, text=True
    )
    with process:
        for _ in range(200):
            line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        lines = [line, *process.stdout]
    seen, finalized_until, count = next(one for one in reversed(lines) if one.endswith("\n")).split()
    found = {next(iter(buffer.fields)): buffer for buffer, _ in BufferFolder(tmp_path / "folder").restored(1e6)}
    block = found["x.a"].block(["x.a"], *EVERYTHING)
    assert block.generation == seen
    assert len(block.times) >= int(count)
    assert block.finalized_until >= float(finalized_until)
    np.testing.assert_array_equal(block.times, np.arange(1000.0, 1000 + len(block.times)))
    np.testing.assert_array_equal(block.values["x.a"], block.times / 3)
    assert found["s"].block(["s"], *EVERYTHING).values["s"][0] == "1000.0"
