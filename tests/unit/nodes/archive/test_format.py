"""The format that docs/archives.md shows being written is what it says."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs" / "archives.md"
MODULE, USE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
ALL_TIME = (1e-3, 4e9)


@pytest.fixture
def cryostat(tmp_path, monkeypatch):
    """The module of the page, as the file that it is to be."""
    (tmp_path / "cryostat.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("cryostat")
    del sys.modules["cryostat"]


def test_a_format_takes_about_a_hundred_lines():
    """A new format is one short file."""
    assert len(MODULE.splitlines()) <= 110


def test_what_the_page_says_of_the_format_is_so(cryostat, caplog):
    """The page's own assertions hold, and the broken line is reported."""
    exec(USE, {"Path": Path})
    assert ["line 2 has no time" in record.message for record in caplog.records] == [True]


def test_the_format_of_the_page_keeps_what_it_reads(cryostat, tmp_path):
    """With a cache, the same is served after a restart: numbers, texts, switches, and what is no number as NaN."""
    (tmp_path / "cryostat-2024-05-06.log").write_text(
        "2024-05-06T07:08:09Z stage2=low state=cooling heater=on\n2024-05-06T07:08:19Z stage2=0.3 state=cold\n"
    )
    for _ in range(2):
        node = cryostat.Cryostat(tmp_path, cache=tmp_path / "cache")
        fields = node.catalogue(*ALL_TIME).fields
        assert {name: (one.type, one.units) for name, one in fields.items()} == {
            "heater": ("bool", None), "stage2": ("number", "K"), "state": ("string", None),
        }  # fmt: skip
        block = node.read(list(fields), *ALL_TIME)
        found = {name: block.find(name).values[name].tolist() for name in fields}
        assert str(found) == "{'heater': [True], 'stage2': [nan, 0.3], 'state': ['cooling', 'cold']}"
