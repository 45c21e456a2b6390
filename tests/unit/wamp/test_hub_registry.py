"""The hub's state and its events."""

import pytest

from sisock.core.errors import BadRequest, NameTaken
from sisock.wamp.hub import Added, OnlineNode, Registry, Removed


@pytest.fixture
def registry():
    """Three nodes of two sessions."""
    registry = Registry()
    registry.add("weather", "outside", 1)
    registry.add("host", "this machine", 2)
    registry.add("camera", "the sky", 1)
    return registry


def names(registry):
    return [entry.name for entry in registry.nodes()]


def test_a_new_node_is_an_event():
    """Whoever is added is listed, and said to be new."""
    registry = Registry()
    entry = OnlineNode("weather", "outside", 7)
    assert registry.add("weather", "outside", 7) == [Added(entry)]
    assert registry.nodes() == [entry]


def test_nodes_are_listed_in_order_of_arrival(registry):
    """The list does not jump about when someone leaves and comes back."""
    registry.subtract("weather", 1)
    registry.add("weather", "outside", 3)
    assert names(registry) == ["host", "camera", "weather"]


def test_adding_again_from_the_same_session_is_no_event(registry):
    """A session may repeat itself; a new description is taken silently, in the old place."""
    assert registry.add("weather", "on the roof", 1) == []
    assert registry.nodes()[0] == OnlineNode("weather", "on the roof", 1)
    assert names(registry) == ["weather", "host", "camera"]


def test_a_name_of_another_session_is_refused(registry):
    """A duplicate name is refused and the holder keeps it."""
    with pytest.raises(NameTaken, match="'weather' is held by another"):
        registry.add("weather", "an impostor", 2)
    assert registry.nodes()[0] == OnlineNode("weather", "outside", 1)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a/b", "wetter\n", "größe", "a" * 65, "#", None, 5, b"weather"])
def test_a_name_must_be_one_component_of_a_uri(name):
    """Names that no procedure could have are refused with the rule."""
    with pytest.raises(BadRequest, match="letters, digits, underscores and hyphens"):
        Registry().add(name, "", 1)


@pytest.mark.parametrize("name", ["a", "A-1_b", "-", "0", "a" * 64])
def test_letters_digits_underscores_and_hyphens_make_names(name):
    """Every name of that kind is accepted."""
    assert len(Registry().add(name, "", 1)) == 1


def test_a_description_must_be_text():
    """A node may have no description, but not one that cannot be shown."""
    assert Registry().add("weather", None, 1) == [Added(OnlineNode("weather", None, 1))]
    for nonsense in (5, ["outside"], b"outside"):
        with pytest.raises(BadRequest, match="description"):
            Registry().add("weather", nonsense, 1)


def test_only_the_holder_can_subtract(registry):
    """A session takes out what it holds; others and unknown names change nothing."""
    assert registry.subtract("weather", 2) == []
    assert registry.subtract("nobody", 1) == []
    assert registry.subtract("weather", 1) == [Removed(OnlineNode("weather", "outside", 1))]
    assert registry.subtract("weather", 1) == []
    assert names(registry) == ["host", "camera"]


def test_a_lost_session_takes_all_its_nodes_along(registry):
    """Every name of the session is free again, and each is an event."""
    assert [event.entry.name for event in registry.session_lost(1)] == ["weather", "camera"]
    assert names(registry) == ["host"]
    assert registry.session_lost(1) == []
    assert len(registry.add("weather", "outside", 9)) == 1


def test_only_living_sessions_are_retained(registry):
    """Nodes of sessions that are gone without a word are taken out."""
    assert registry.retain({1, 2, 3}) == []
    assert [event.entry.name for event in registry.retain([2])] == ["weather", "camera"]
    assert names(registry) == ["host"]


def test_the_list_of_nodes_is_a_copy(registry):
    """Whoever holds the list is not surprised by later arrivals."""
    listed = registry.nodes()
    registry.session_lost(1)
    assert len(listed) == 3
