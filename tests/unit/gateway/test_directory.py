import pytest

from sisock.core.errors import UnknownNode
from sisock.core.wire.catalogue import PAGE_FIELDS
from sisock.core.wire.info import CAPABILITIES, NodeInfo, encode_info
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

SAMPLES = ([1.0, 2.0], [1.0, 2.0])


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def hub():
    return FakeHub([FakeNode("weather", {"temp": SAMPLES, "wind": SAMPLES})])


@pytest.fixture
def gateway(hub, clock):
    gateway = Gateway(None, clock, 2.0)
    hub.on_added.append(gateway.directory.node_added)
    hub.on_subtracted.append(gateway.directory.node_subtracted)
    result_of(gateway.connected(FakeRouter(hub, clock)))
    return gateway


def test_connecting_finds_the_nodes(gateway):
    """Once connected, the nodes that the hub lists are known with their fields."""
    assert list(gateway.snapshot().targets) == ["weather::temp", "weather::wind"]


def test_a_node_appears(gateway, hub):
    """A node that comes online is known with its fields at once, without anybody asking."""
    hub.add(FakeNode("host", {"load": SAMPLES}))
    assert "host::load" in gateway.snapshot().targets


def test_a_node_disappears(gateway, hub):
    """A node that left is gone at once, with its fields."""
    hub.subtract("weather")
    assert not gateway.snapshot().nodes
    with pytest.raises(UnknownNode):
        gateway.directory.client("weather")


def test_a_late_catalogue_resurrects_nothing(gateway, hub, clock):
    """A catalogue that arrives after its node left doesn't bring the node back."""
    hub.add(FakeNode("slow", {"x": SAMPLES}, delay_s=1.0))
    hub.subtract("slow")
    clock.advance(1.5)
    clock.advance(1.5)
    assert "slow" not in gateway.snapshot().nodes


def test_a_late_list_resurrects_nothing(gateway, hub, clock):
    """The hub's list, made before a node left and arriving after, doesn't bring it back, nor hide a newer one."""
    hub.behaviour.delay_s = 1.0
    refreshing = gateway.directory.refresh()
    hub.subtract("weather")
    hub.behaviour.delay_s = 0.0
    hub.add(FakeNode("host", {"load": SAMPLES}))
    clock.advance(1.0)
    result_of(refreshing)
    assert list(gateway.snapshot().nodes) == ["host"]


def test_a_missed_event_is_made_up_for(gateway, hub):
    """What came or left without an event is found by the next refresh."""
    hub.nodes = {"host": FakeNode("host", {"load": SAMPLES})}
    result_of(gateway.directory.refresh())
    assert list(gateway.snapshot().targets) == ["host::load"]


def test_coming_back_keeps_the_fields(gateway, hub, clock):
    """A node that is added again keeps its known fields until it has told its new ones."""
    hub.add(FakeNode("weather", {"humidity": SAMPLES}, delay_s=0.5))
    assert "weather::temp" in gateway.snapshot().targets
    clock.advance(0.5)
    clock.advance(0.5)
    assert list(gateway.snapshot().targets) == ["weather::humidity"]


def test_catalogues_are_asked_again_when_old(gateway, hub, clock):
    """Fields are asked for again at the next search when they are older than five seconds, and not before."""
    node = hub.nodes["weather"]
    asked = len(node.calls)
    clock.advance(5.0)
    result_of(gateway.freshen())
    assert len(node.calls) == asked
    clock.advance(0.1)
    result_of(gateway.freshen())
    assert len(node.calls) > asked


def test_many_who_search_ask_once(gateway, hub, clock):
    """Searches at the same time share the same questions."""
    node = hub.nodes["weather"]
    node.behaviour.delay_s = 0.5
    asked = len(node.calls)
    clock.advance(6.0)
    searches = [gateway.freshen() for _ in range(5)]
    clock.advance(0.5)
    clock.advance(0.5)
    assert all(result_of(search).targets for search in searches)
    assert [name for name, _, _ in node.calls[asked:]] == ["info", "get_fields"]


def test_a_failed_catalogue_keeps_the_old_one(gateway, hub, clock):
    """A node that can't tell its fields now keeps those known, and the reason is shown."""
    hub.nodes["weather"].behaviour.error = "disk on fire"
    clock.advance(6.0)
    node = result_of(gateway.freshen()).nodes["weather"]
    assert "temp" in node.catalogue.fields
    assert "disk on fire" in node.problem


def test_a_hung_node_delays_one_search_to_the_deadline(gateway, hub, clock):
    """A search waits for a node that hangs until the deadline, and has the others by then; the next waits for none."""
    node = FakeNode("hung", {"x": SAMPLES})
    hub.add(node)
    hub.add(FakeNode("host", {"load": SAMPLES}))
    node.behaviour.hang = True
    clock.advance(5.1)
    search = gateway.freshen()
    clock.advance(1.9)
    with pytest.raises(ValueError, match="not fired"):
        result_of(search)
    clock.advance(0.1)
    found = result_of(search)
    assert "host::load" in found.targets
    assert "did not answer within 2 s" in found.nodes["hung"].problem
    clock.advance(5.1)
    assert "host::load" in result_of(gateway.freshen()).targets


def test_a_hung_hub_hides_nothing(gateway, hub, clock):
    """While the hub doesn't answer, the nodes that were known are still there."""
    hub.behaviour.hang = True
    clock.advance(6.0)
    search = gateway.freshen()
    clock.advance(2.0)
    assert "weather::temp" in result_of(search).targets


def test_many_fields_come_in_pages(hub, clock):
    """A node with more fields than fit on a page is asked page by page, and all fields are known."""
    count = PAGE_FIELDS + 3
    node = FakeNode("many", {f"f{number:05}": ([1.0], [1.0]) for number in range(count)})
    gateway = Gateway(None, clock)
    result_of(gateway.connected(FakeRouter(FakeHub([node]), clock)))
    assert len(gateway.snapshot().targets) == count
    assert [name for name, _, _ in node.calls].count("get_fields") == 2


def test_many_fields_are_renewed_more_rarely(hub, clock):
    """A catalogue of several pages is asked for again as much more rarely, and nobody waits for it."""
    node = FakeNode("many", {f"f{number:05}": ([1.0], [1.0]) for number in range(PAGE_FIELDS)})
    gateway = Gateway(None, clock)
    result_of(gateway.connected(FakeRouter(FakeHub([node]), clock)))
    node._blocks |= FakeNode("more", {"new": SAMPLES})._blocks
    before = len(node.calls)
    clock.advance(9.0)
    result_of(gateway.freshen())
    assert len(node.calls) == before
    node.behaviour.delay_s = 0.5
    clock.advance(2.0)
    assert "many::new" not in result_of(gateway.freshen()).targets
    for _ in range(4):
        clock.advance(0.5)
    assert "many::new" in gateway.snapshot().targets


def test_original_nodes_are_recognised(gateway, hub):
    """A node without the procedure 'info' has the original library, and is asked without extensions."""
    node = FakeNode("old", {"x": SAMPLES}, original_library=True)
    hub.add(node)
    assert gateway.snapshot().nodes["old"].original_library
    assert node.calls[-1] == ("get_fields", (1, 0), {})


def test_a_snapshot_stands_still(gateway):
    """As long as nothing changes, the snapshot is the same object, so that what was made of it can be kept."""
    assert gateway.snapshot() is gateway.snapshot()


@pytest.mark.parametrize("entry", [None, 5, {}, {"name": 7}, {"name": "../x"}, {"name": ""}, {"name": "a.b"}])
def test_nonsense_events_are_ignored(gateway, entry):
    """What names no node doesn't become one, and breaks nothing."""
    gateway.directory.node_added(entry)
    gateway.directory.node_subtracted(entry)
    assert list(gateway.snapshot().nodes) == ["weather"]


def test_nonsense_from_a_node_is_its_own_problem(gateway, hub, clock):
    """A node whose answer can't be read is shown with the reason; the others are not touched."""
    node = FakeNode("mad", {"x": SAMPLES})
    node.answer = lambda *_, **__: 42
    hub.add(node)
    nodes = gateway.snapshot().nodes
    assert "must be" in nodes["mad"].problem or "not a dictionary" in nodes["mad"].problem
    assert nodes["weather"].problem is None


def test_a_nonsense_hub_list(clock):
    """A hub that answers no list is told of, and breaks nothing."""
    hub = FakeHub()
    hub.listed = lambda: 42
    gateway = Gateway(None, clock)
    result_of(gateway.connected(FakeRouter(hub, clock)))
    assert "no list" in gateway.snapshot().outage


def test_unchanged_fields_are_not_sent_again(clock):
    """A node that says that its fields are still the same version isn't asked for them again."""
    node = FakeNode("a", {"x": SAMPLES})
    info = encode_info(NodeInfo("1", CAPABILITIES, 10**6, catalogue_version="7"))
    node._info = lambda _: info
    gateway = Gateway(None, clock)
    result_of(gateway.connected(FakeRouter(FakeHub([node]), clock)))
    clock.advance(6.0)
    result_of(gateway.freshen())
    assert [name for name, _, _ in node.calls] == ["info", "get_fields", "info"]


def test_comings_and_goings_are_kept(gateway, hub, clock):
    """What came and left since the first list is kept with its time; what was there before is not."""
    hub.add(FakeNode("host", {"cpu": SAMPLES}))
    clock.advance(60)
    hub.subtract("host")
    assert [(change.node, change.came, change.time) for change in gateway.directory.history] == [
        ("host", True, 1_700_000_000.0),
        ("host", False, 1_700_000_060.0),
    ]


def test_how_nodes_do(gateway):
    """The newest sample seen of each node is kept, with whether the node is being skipped."""
    assert gateway.directory.states()["weather"].newest is None
    wanted = list(gateway.snapshot().targets.values())
    result_of(gateway.query(wanted, 1.0, 1_700_000_000.0))
    state = gateway.directory.states()["weather"]
    assert (state.newest, state.skipped) == (max(SAMPLES[0]), False)
