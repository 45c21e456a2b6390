import time

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from grafana_json.targets import MOST_SERIES, QUIET, Matched, _full_matches, escape, find, match, unescape
from sisock.gateway.target_index import Names

from twins import whole_matches

NAMES = dict.fromkeys(
    ["host::cpu", "host::mem.free", "weather::temp", "weather::temp.in", "weather::tempXin", "weather::wind speed/max"]
)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("weather::temp", ["weather::temp"]),
        (" weather::temp ", ["weather::temp"]),
        ("weather::temp.in", ["weather::temp.in"]),
        (r"weather::temp\.in", ["weather::temp.in"]),
        (r"weather::wind speed\/max", ["weather::wind speed/max"]),
        ("weather::(temp|wind.*)", ["weather::temp", "weather::wind speed/max"]),
        (r"(host::cpu|weather::temp\.in)", ["host::cpu", "weather::temp.in"]),
        (r"weather::(temp\.in)", ["weather::temp.in"]),
        (".*", list(NAMES)),
        ("host::.*", ["host::cpu", "host::mem.free"]),
        ("*", list(NAMES)),
        ("host::*", ["host::cpu", "host::mem.free"]),
        ("weather::temp?in", ["weather::temp.in", "weather::tempXin"]),
        ("weather::{temp,temp.in}", ["weather::temp", "weather::temp.in"]),
        ("{host::cpu,weather::temp}", ["host::cpu", "weather::temp"]),
        ("host::cpu,weather::temp", ["host::cpu", "weather::temp"]),
        ("weather::temp,temp.in", ["weather::temp", "weather::temp.in"]),
        ("*::temp", ["weather::temp"]),
        (r"weather::temp\.\*", ["weather::temp.in"]),
        (r"weather::temp\\\.\.\*", ["weather::temp.in"]),
        (r"\(\?i\)\.\*MEM\.\*", ["host::mem.free"]),
    ],
)
def test_what_a_target_means(target, names):
    """A name means itself; escapes, patterns, globs and lists mean the names that they match as a whole."""
    assert match(target, NAMES) == Matched(tuple(names))


def test_an_exact_name_wins():
    """A name that looks like a pattern means itself where there is such a name."""
    names = dict.fromkeys(["a::x.y", "a::x-y", "a::(p|q)", "a::p"])
    assert match("a::x.y", names) == Matched(("a::x.y",))
    assert match("a::(p|q)", names) == Matched(("a::(p|q)",))


@pytest.mark.parametrize("target", ["", "   "])
def test_nothing_chosen(target):
    """An empty target says what a target looks like."""
    assert "node::field" in match(target, NAMES)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("weather::tmp", "did you mean 'weather::temp'?"),
        ("wether::temp", "did you mean 'weather::temp'?"),
        ("cpu", "did you mean 'host::cpu'?"),
        ("nothing like it", "a target is node::field"),
        ("(((", "a target is node::field"),
        ("a::*(", "not served by any node"),
        ("a::{b", "not served by any node"),
        ("a::b}", "not served by any node"),
        ("a::{b,{c,d}", "not served by any node"),
        ("\\", "a target is node::field"),
        ("a::\x00", "not served by any node"),
        (",", "a target is node::field"),
        ("a::b" * 100_000, "not served by any node"),
    ],
)
def test_what_means_nothing(target, said):
    """A target that means nothing is answered in words, with the likely name where one is similar."""
    problem = match(target, NAMES)
    assert said in problem
    assert len(problem) < 600


def test_at_most_a_hundred_series():
    """Of many matching series the first hundred are drawn, and a warning says how many there are."""
    matched = match("a::.*", dict.fromkeys(f"a::f{number}" for number in range(250)))
    assert len(matched.names) == MOST_SERIES
    assert "250 series match" in matched.warning


def test_so_many_are_counted():
    """Of very many matching series nobody is told how many exactly."""
    matched = match("a::.*", dict.fromkeys(f"a::f{number}" for number in range(12_000)))
    assert "more than 10000 series match" in matched.warning


def test_a_misspelt_name_among_many():
    """Among very many names a misspelt one is compared with its neighbours in order."""
    names = dict.fromkeys(f"a::sensor{number:05d}.temperature" for number in range(20_000))
    assert "did you mean 'a::sensor13000.temperature'?" in match("a::sensor13000.temprature", names)


SIGNS = ["a", "b", "A", ".", "*", "+", "?", "|", "(", ")", "(?:", "(?i)", "(?s)", "[^a]", "[ab]", "^", "$", "{2}"]
SIGNS += [r"\s", r"\S", r"\W", r"\b", r"\n", r"\A", r"\z", r"\C", r"\Q", r"\E", r"\.", "\\", "é", "\n"]


@given(st.lists(st.sampled_from(SIGNS), max_size=8).map("".join), st.lists(st.text("abA.\té*"), unique=True))
@example("a|b", ["a", "ab", "b"])
@example("a)|(b", ["a", "b"])
@example("[^b]*", ["a", "aa", "b"])
@example("^a$|b", ["a", "b"])
@example(r"a\z", ["b", "a"])
@example(r"A\Q", ["A"])
def test_a_pattern_means_the_same_for_all_names_at_once(pattern, names):
    """Names are matched all at once with the same result as one after another."""
    names = [name for name in names if name]
    try:
        compiled = re2.compile(pattern, QUIET)
    except re2.error:
        expected = []
    else:
        expected = whole_matches(compiled, names) if any(sign in pattern for sign in "\\^$*+?.()|[]{}") else []
    assert list(_full_matches(pattern, [Names(names)])) == expected


@given(st.text("a\\^$*+?.()|[]{}/"))
def test_an_escaped_text_means_itself(text):
    """The special signs of a text are escaped so that it matches nothing else."""
    assert re2.fullmatch(escape(text), text)
    assert not re2.fullmatch(escape(text), text + "a")


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)c", "((a{1,9}){1,9}){1,9}z"])
def test_no_pattern_takes_long(pattern):
    """Patterns that take other engines for ever are linear here."""
    begun = time.perf_counter()
    assert isinstance(match(pattern, dict.fromkeys(["a" * 5000 + "!"])), str)
    assert time.perf_counter() - begun < 2


def test_unescape_takes_back_what_grafana_escapes():
    """Only backslashes that Grafana puts before special characters are taken away."""
    assert unescape(r"a\.b\/c\\d\n") == r"a.b/c\d\n"


BOTH = dict.fromkeys(["archive::t", "archive::old", "live::t", "live::p.in", "archive::p.in"])


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("archive+live::t", ["archive+live::t"]),
        (r"archive\+live::p\.in", ["archive+live::p.in"]),
        ("archive+live::old", ["archive+live::old"]),
        ("gone+live::t", ["gone+live::t"]),
        ("archive+live::.*", ["archive+live::t", "archive+live::p.in"]),
        ("archive+live::*", ["archive+live::t", "archive+live::p.in"]),
        (r"archive\+live::(t|old)", ["archive+live::t"]),
        ("archive+live::{t,p.in}", ["archive+live::t", "archive+live::p.in"]),
        ("archive+live::t,archive+live::p.in", ["archive+live::t", "archive+live::p.in"]),
        (r"(archive\+live::t|live::t)", ["archive+live::t", "live::t"]),
        ("archive+live::nothing", []),
        ("gone+away::t", []),
        ("a+" * 50_000 + "::t", []),
    ],
)
def test_spliced_targets(target, found):
    """One quantity of several nodes is one name; patterns mean what all the nodes that are there serve."""
    assert find(target, BOTH) == found


class Aliased(Names):
    """Names of which some have aliases."""

    aliases = (Names(["a::temp_1", "a::temp_2"]),)

    def __contains__(self, name):
        return super().__contains__(name) or name in self.aliases[0]

    def name_of(self, alias):
        return alias.replace("temp_", "Temp.")


ALIASED = Aliased(["a::Temp.1", "a::Temp.2", "a::wind"])


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("a::temp_1", ["a::temp_1"]),
        (r"a::(temp_1|temp_2)", ["a::temp_1", "a::temp_2"]),
        ("a::temp_*", ["a::temp_1", "a::temp_2"]),
        ("a::.*", ["a::Temp.1", "a::Temp.2", "a::wind"]),
        ("a::(wind|temp_1)", ["a::wind", "a::temp_1"]),
        ("(?i)a::temp.*", ["a::Temp.1", "a::Temp.2"]),
        ("other+a::temp_1", ["other+a::temp_1"]),
    ],
)
def test_what_an_alias_means(target, names):
    """An alias is found by itself, and by a pattern that does not match the name of its field."""
    assert match(target, ALIASED) == Matched(tuple(names))
