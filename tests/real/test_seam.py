"""A feed and the archive that OCS's aggregator writes of it, drawn as one series while both grow."""

from __future__ import annotations

import itertools
import time
from importlib.util import find_spec

import pytest

from sisock.nodes import KINDS

from integration.ports import free_port
from integration.sites import drawn, running_site
from real.ocs_site import FEED, running_ocs, samples_of, wait_for

pytestmark = pytest.mark.skipif(
    find_spec("ocs") is None or "g3" not in KINDS, reason="'make test-real' installs OCS and so3g"
)
KEPT_S = 12.0
FIELDS = [f"{FEED}.channel_00", f"{FEED}.channel_07", "channel_00"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A feed that is kept for some seconds, its archive, and what was published, over several files of the archive."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    with running_ocs(tmp_path_factory.mktemp("ocs"), port) as ocs:
        ocs.archive.mkdir(exist_ok=True)
        nodes = {
            "live": {"kind": "ocs_feed", "buffer_time": KEPT_S},
            "archive": {"kind": "g3", "folder": str(ocs.archive)},
        }
        document = {"settings": {"ocs_port": port}, "nodes": nodes}
        with running_site(folder, document, XDG_CACHE_HOME=str(folder)) as site:
            wait_for(lambda: len(list(ocs.archive.rglob("*.g3"))) >= 3, 120, "there are three files")
            end = time.time()
            wait_for(lambda: time.time() > end + 3, 10, "what was published until then has come")
            series = {name: drawn(site.query(f"archive+live::{name}", start=end - 35, end=end)[0]) for name in FIELDS}
            live = drawn(site.query(f"live::{FIELDS[0]}", start=end - 35, end=end)[0])
            archive = drawn(site.query(f"archive::{FIELDS[0]}", start=end - 35, end=end)[0])
            yield {"series": series, "live": live, "archive": archive, "end": end, "published": ocs.published()}


def test_neither_has_all_of_it(run):
    """The feed is kept for some seconds only, and the newest samples are not in the archive yet."""
    assert run["archive"][0][1] < run["live"][0][1] <= run["archive"][-1][1] < run["live"][-1][1]


@pytest.mark.parametrize("name", FIELDS)
def test_the_seam_has_no_hole_and_nothing_twice(run, name):
    """Every sample that was published in the window is drawn once, with its value."""
    everything = samples_of([one["blocks"] for one in run["published"]])[name.rpartition(".")[2]]
    expected = {value: t for value, t in everything.items() if run["end"] - 35 <= t < run["end"]}
    found = run["series"][name]
    assert all(later[1] > earlier[1] for earlier, later in itertools.pairwise(found))
    assert {value for value, _ in found} == set(expected)
    assert all(abs(time_ms / 1e3 - expected[value]) < 1e-5 for value, time_ms in found)
