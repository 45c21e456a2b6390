"""A feed and the archive that OCS's aggregator writes of it, drawn as one series while both grow."""

from __future__ import annotations

import itertools
import time
from importlib.util import find_spec

import pytest

from sisock.nodes import KINDS

from integration.ports import free_port
from integration.sites import drawn, poll, running_site
from real.ocs_site import FEED, running_ocs, samples_of

pytestmark = pytest.mark.skipif(
    find_spec("ocs") is None or "g3" not in KINDS, reason="'make test-real' installs OCS and so3g"
)
KEPT_S, FRAME_S, WINDOW_S = 20.0, 8, 40.0
FIELDS = [f"{FEED}.channel_00", f"{FEED}.channel_07"]


def draw(site):
    """Return the points of each target up to a moment ago, asked in one request, what has notices, and the end."""
    end = time.time() - 1.5  # what was measured until then has been published
    targets = [f"archive::{FIELDS[0]}", f"live::{FIELDS[0]}", *(f"archive+live::{name}" for name in FIELDS)]
    series = site.query(*targets, start=end - WINDOW_S, end=end)
    return [drawn(one) for one in series], [one for one in series if "meta" in one], end


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A feed that is kept for some seconds and its archive of several files, drawn while the archive is behind."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()

    def lags():
        """Return what is drawn when the archive has been behind the feed for some seconds."""
        (archive, live, *merged), notices, end = draw(site)
        behind = archive and live and archive[0][1] < live[0][1] < archive[-1][1] < live[-1][1] - 2000
        return {"merged": dict(zip(FIELDS, merged, strict=True)), "notices": notices, "end": end} if behind else None

    with running_ocs(tmp_path_factory.mktemp("ocs"), port, FRAME_S) as ocs:
        ocs.archive.mkdir(exist_ok=True)
        nodes = {
            "live": {"kind": "ocs_feed", "buffer_time": KEPT_S},
            "archive": {"kind": "g3", "folder": str(ocs.archive)},
        }
        document = {"settings": {"ocs_port": port}, "nodes": nodes}
        with running_site(folder, document, XDG_CACHE_HOME=str(folder)) as site:
            poll(lambda: len(list(ocs.archive.rglob("*.g3"))) >= 3, 120, "there are three files")
            yield poll(lags, 60, "the archive is behind") | {"published": ocs.published()}


@pytest.mark.parametrize("name", FIELDS)
def test_the_seam_has_no_hole_and_nothing_twice(run, name):
    """Every sample that was published in the window is drawn once, with its value, and nothing is complained of."""
    everything = samples_of([one["blocks"] for one in run["published"]])[name.rpartition(".")[2]]
    expected = {value: t for value, t in everything.items() if run["end"] - WINDOW_S <= t < run["end"]}
    found = run["merged"][name]
    assert all(later[1] > earlier[1] for earlier, later in itertools.pairwise(found))
    assert {value for value, _ in found} == set(expected)
    assert all(abs(time_ms / 1e3 - expected[value]) < 1e-5 for value, time_ms in found)
    assert not run["notices"]
