import pytest

from grafana_json.options import NO_OPTIONS, Options, parse_options
from sisock.core.reduce.reducers import REDUCERS
from sisock.gateway.drawing.planner import Drawing


@pytest.mark.parametrize("payload", [None, "", {}, [], 5, "{", "[1]", {"agg": "mean", "n": "3"}, {"reduce": None}])
def test_nothing_of_ours(payload):
    """Without anything of ours in it a payload changes nothing."""
    assert parse_options(payload) == NO_OPTIONS


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"reduce": "last"}, Options(reducer="last")),
        ('{"reduce": "last"}', Options(reducer="last")),
        ({"reduce": "", "gaps": ""}, NO_OPTIONS),
        ({"alias": " {node} ", "units": "kelvin"}, Options(alias="{node}", units="kelvin")),
        ({"metrics": ["a::b", "a::b", "", "c::d"]}, Options(metrics=("a::b", "c::d"))),
        ({"metrics": "a::b"}, Options(metrics=("a::b",))),
        ({"gaps": "connect"}, Options(connect=True)),
        ({"notices": "true", "changes": True}, Options(notices=True, changes=True)),
        ({"notices": "0", "gaps": "break"}, NO_OPTIONS),
    ],
)
def test_what_can_be_set(payload, expected):
    """Each setting is read, from values of its type and from texts."""
    assert parse_options(payload) == expected


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"reduce": "median"}, "'reduce' is 'median', but must be one of first, last, minmax"),
        ({"reduce": ["last"]}, "'reduce' is"),
        ({"alias": "x" * 500}, "at most 200 characters"),
        ({"units": 5}, "must be a text"),
        ({"metrics": {"a": 1}}, "must be a list of targets"),
        ({"metrics": [1]}, "must be a list of targets"),
        ({"metrics": ["a::b"] * 10_000}, "10000 targets"),
        ({"gaps": "fill"}, "must be one of break, connect"),
        ({"gaps": ["break"]}, "must be one of break, connect"),
        ({"notices": "perhaps"}, "must be true or false"),
        ({"notices": {"a": "x" * 1000}}, "must be true or false"),
    ],
)
def test_what_is_wrong_is_told(payload, said):
    """A value that cannot be understood is told in words, and the rest holds."""
    options = parse_options(payload | {"units2": 1})
    assert said in options.problems[0]
    assert len(options.problems[0]) < 300
    assert options == Options(problems=options.problems)


def test_how_the_gateway_draws_it():
    """Reducer and breaks are what the gateway must know; a band is drawn in three ways."""
    assert Options(reducer="last", connect=True).drawings == {Drawing("last", breaks=False): ""}
    assert Options(reducer="band").drawings == {Drawing("min"): " min", Drawing("mean"): "", Drawing("max"): " max"}


def test_every_reducer_may_be_chosen():
    """Each reducer that there is may be set, and the band of three of them."""
    for reducer in (*REDUCERS, "band"):
        assert parse_options({"reduce": reducer}) == Options(reducer=reducer)
    assert all(drawing.reducer in REDUCERS for drawing in Options(reducer="band").drawings)
