"""What README and docs show, run beside a site as its readers run it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sisock.commands.cli import DEMO
from sisock.settings import variables

from integration.sites import clean_environment, drawn, poll, running_site

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ASKING = sorted(set(re.findall(r"^sisock (?:nodes|fields|get).*$", README, re.MULTILINE)))
PAGE = (ROOT / "docs" / "asking.md").read_text(encoding="utf-8")
COMMAND = "sisock node examples/sine.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The demo's data nodes and those of examples/site.yml, but for the one that the README has people start."""
    folder = tmp_path_factory.mktemp("docs")
    for path in (ROOT / "examples").glob("*.py"):
        shutil.copy(path, folder)
    nodes = yaml.safe_load((ROOT / "examples" / "site.yml").read_text())["nodes"]
    assert nodes.pop("sine") == {"file": "sine.py"}
    demo = yaml.safe_load(DEMO.read_text())["nodes"]
    demo["weather"]["folder"] = str(DEMO.parent / demo["weather"]["folder"])
    with running_site(folder, {"nodes": nodes | demo}) as running:
        yield running


@pytest.fixture(scope="module")
def environment(site):
    """What the second terminal has: the site's ports, and its state directory."""
    return clean_environment() | variables(site.consumer_settings())


@pytest.fixture(scope="module")
def sine(site, environment):
    """The data node of the README, started by the README's command."""
    assert f"\n{COMMAND}\n" in README
    arguments = [sys.executable, "-m", *shlex.split(COMMAND)]
    with (site.folder / "sine.output").open("wb") as output:
        process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        poll(lambda: "sine" in site.nodes(), 30, "the node is listed")
        yield process
    finally:
        process.terminate()
        assert process.wait(20) == 0


def run(environment, *arguments: str) -> list[str]:
    """Return the lines that a program prints; it must succeed and complain of nothing."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


@pytest.mark.parametrize("line", ASKING)
def test_commands_of_the_readme_answer(sine, environment, line):
    """Each command that asks, as the README shows it, prints some lines and no error."""
    assert len(run(environment, "-m", *shlex.split(line))) > 1


def test_the_readmes_node_is_drawn(site, sine):
    """A panel over the last minute draws the wave of examples/sine.py, finely, and up to now."""
    (series,) = site.live("sine::wave")
    assert len(drawn(series)) == pytest.approx(240, abs=2)
    assert time.time() - drawn(series)[-1][1] / 1e3 < 5.0
    assert series["unit"] == "volt"
    assert "meta" not in series


def test_the_example_of_a_node_by_the_contract_is_drawn(site):
    """The node in examples/disk.py takes samples by itself, and both its fields are drawn."""
    poll(lambda: all(drawn(one) for one in site.live("disk::free")), 20, "the first sample is drawn")
    assert {"disk::free", "disk::nearly_full"} <= set(site.post("/search", {"target": "disk"}))


def test_the_readmes_python_runs(site, environment):
    """The program that the README shows prints arrays."""
    (program,) = re.findall(r"```python\n(from sisock\.client.*?)```", README, re.DOTALL)
    poll(lambda: all(drawn(one) for one in site.live("host::cpu.percent")), 20, "the host has samples")
    assert "%" in run(environment, "-c", program)[-1]


@pytest.mark.parametrize("line", re.findall(r"^sisock get.*$", PAGE, re.MULTILINE))
def test_commands_on_asking_answer(site, environment, line):
    """Each command that the page on asking shows prints samples, and says at most that it takes times as UTC."""
    poll(lambda: all(drawn(one) for one in site.live("host::cpu.percent")), 20, "the host has samples")
    arguments = [sys.executable, "-m", *shlex.split(line)]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0
    assert result.stderr in ("", "sisock: times without a zone are taken as UTC\n")
    assert len(result.stdout.splitlines()) > 2


def test_the_python_on_asking_runs(environment, site):
    """The program that the page on asking shows prints what it says, and ends."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    lines = run(environment, "-c", program)
    assert "weather" in lines[0]
    assert lines[-1].startswith("(13")
