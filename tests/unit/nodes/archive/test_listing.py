"""Patterns find files in a folder, and in folders of it."""

from __future__ import annotations

import os

import pytest

from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.listing import Listing
from sisock.nodes.text.weather import read_apex

ALL_TIME = (1e-3, 4e9)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.txt", "b.dat", "x/c.txt", "x/y/d.txt", "15000/e.txt", ".hidden/f.txt", "x/.g.txt", "bell\a/h.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1500 1\n")
    (tmp_path / "x" / "folder.txt").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "15000")
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*.txt"], ["a.txt"]),
        (["*/*.txt"], ["15000/e.txt", "link/e.txt", "x/c.txt"]),
        (["*/*/*"], ["x/y/d.txt"]),
        (["1*/*.txt", "*.dat", "1*/e*"], ["15000/e.txt", "b.dat"]),
        (["x/c.txt"], ["x/c.txt"]),
        (["nowhere/*", "a.txt/*"], []),
    ],
)
def test_each_part_of_a_pattern_is_for_one_level(folder, patterns, found):
    """Files are found by all patterns together, once each, in order; what is hidden or no file is passed over."""
    listed = Listing(folder, patterns).look()
    assert list(listed.files) == found
    assert listed.problem is None


def test_a_folder_that_cannot_be_read_is_told(folder, monkeypatch):
    """The other folders are served, and the problem names the one that is not."""
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("15000"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listed = Listing(folder, ["[1x]*/*.txt"]).look()
    assert list(listed.files) == ["x/c.txt"]
    assert "15000' cannot be read (Permission denied)" in listed.problem


def test_files_of_subfolders_are_served(folder):
    """A file in a folder, and a folder that appears with one in it, are served like any other."""
    archive = FileArchive(folder, "*/*.dat", read_apex)
    assert archive.catalogue(*ALL_TIME).fields == {}
    (folder / "new").mkdir()
    (folder / "new" / "wind.dat").write_text("1500 1\n")
    (folder / "x" / "wind.dat").write_text("1400 2\n")
    assert archive.read(["wind"], *ALL_TIME).find("wind").values["wind"].tolist() == [2, 1]
