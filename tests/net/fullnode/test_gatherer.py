# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a full node takes and forwards, and whom it ignores."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from fs_net.bridge import Decision
from fs_net.core.batch import Batch
from fs_net.core.records import HEARTBEAT_LIFETIME, SignedContent
from fs_net.errors import Reason
from fs_net.fullnode.gatherer import Gatherer
from fs_wire.schema import from_bytes_untrusted, to_bytes
from tests.net.fullnode.scene import Node, as_batch, as_batches, world
from tests.net.world import EVE, HOUR, NETWORK, NOW, Provider
from tests.walks import examples

PEER = b"a full node's peer id"


def forged(number: int) -> SignedContent:
    """Sign a record in the name of a listed provider, with another key."""
    crook = Provider(number)
    crook.announcer = Provider(number + 1000).announcer
    return crook.record()


def told(node: Node) -> list[bytes]:
    """Return everything that the next batches hold."""
    batches = [from_bytes_untrusted(Batch, data, 1 << 16) for data in node.gatherer.batches()]
    return [raw for each in batches for raw in (*each.records, *each.heartbeats)]


def test_good_gossip_is_passed_on_and_not_repeated() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    data = as_batch(bob.record(), bob.heartbeat())
    assert node.gatherer.take_gossip(PEER, data, NOW) is Decision.ACCEPT
    assert told(node) == []  # the mesh forwards it
    assert node.gatherer.take_gossip(PEER, data, NOW) is Decision.IGNORE  # all of it is known
    assert node.gatherer.changed() == {bob.address}
    assert node.gatherer.changed() == set()


def test_what_comes_to_us_alone_is_told_to_all() -> None:
    chain, (bob, carol) = world(2)
    node = Node(chain)
    record, heartbeat = bob.record(), carol.heartbeat()
    node.gatherer.take_message(PEER, heartbeat.raw, NOW)
    assert node.gatherer.take_batch(PEER, as_batch(record), NOW) == [None]
    assert told(node) == [record.raw, heartbeat.raw]
    assert told(node) == []


def test_a_batch_with_a_bad_part_stops_here_and_its_good_part_goes_on() -> None:
    """If we forwarded the whole batch, every neighbour would blame us for its author's fault."""
    chain, (bob, carol) = world(2)
    stranger = Provider(9)
    for bad, decision in (
        (forged(2), Decision.REJECT),
        (stranger.record(), Decision.IGNORE),  # we may see its stake a block later
        (carol.record(NOW - 2 * HOUR), Decision.IGNORE),
    ):
        node, good = Node(chain), bob.record()
        assert node.gatherer.take_gossip(PEER, as_batch(good, bad), NOW) is decision
        assert told(node) == [good.raw]


def test_a_neighbour_that_passes_on_what_we_accept_is_not_blamed() -> None:
    """Everything that we accept is good enough for our neighbours."""
    chain, providers = world(3)
    alice, carol = Node(chain), Node(chain)
    batches = [
        as_batch(providers[0].record(), forged(2)),
        as_batch(providers[1].record(), providers[2].heartbeat()),
        as_batch(Provider(77).record()),
        b"rubbish",
    ]
    passed_on = [
        data for data in batches if alice.gatherer.take_gossip(EVE, data, NOW) is Decision.ACCEPT
    ]
    passed_on += alice.gatherer.batches()
    for data in passed_on:
        carol.gatherer.take_gossip(alice.name, data, NOW)
    assert carol.gatherer.judge.standings.blame_of(alice.name, NOW / 1000) == 0
    assert carol.records() == alice.records() != set()


def test_rubbish_gets_a_peer_banned_and_it_is_told_once() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    for _ in range(9):
        assert node.gatherer.take_gossip(EVE, b"rubbish", NOW) is Decision.REJECT
    assert node.gatherer.banned() == set()
    node.gatherer.take_message(EVE, b"rubbish", NOW)
    assert node.gatherer.banned() == {EVE}
    assert node.gatherer.banned() == set()
    record = bob.record()
    assert node.gatherer.take_batch(EVE, as_batch(record), NOW) == [Reason.BANNED]
    assert node.records() == set()


def test_who_is_not_backed_is_not_shown_and_comes_back() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    older = bob.record(NOW)
    node.take(bob.record(NOW + 1), bob.heartbeat())
    listing = chain.listings.pop(bob.address)
    assert node.gatherer.candidate(bob.address, NOW) is None
    node.take(older)
    chain.listings[bob.address] = listing
    candidate = node.gatherer.candidate(bob.address, NOW)
    assert candidate is not None
    assert candidate.entry.record.content.sequence == NOW + 1  # the older one did not come back


def test_a_key_that_was_replaced_vouches_for_nothing() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    node.take(bob.record(), bob.heartbeat())
    listing, another = chain.listings[bob.address], bytes(SigningKey.generate().verify_key)
    chain.listings[bob.address] = replace(listing, heartbeat_key=another)
    candidate = node.gatherer.candidate(bob.address, NOW)
    assert candidate is not None
    assert candidate.entry.heartbeat is None
    chain.listings[bob.address] = replace(listing, node_key=another)
    assert node.gatherer.candidate(bob.address, NOW) is None


def test_who_has_less_stake_than_it_sells_is_not_shown() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    node.take(bob.record())
    chain.listings[bob.address] = replace(chain.listings[bob.address], slots=3)
    assert node.gatherer.candidate(bob.address, NOW) is None


def test_what_is_old_is_forgotten_with_its_signer() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    node.take(bob.record(), bob.heartbeat())
    node.gatherer.changed()
    later = NOW + HEARTBEAT_LIFETIME + 10
    node.gatherer.expire(later)
    assert node.gatherer.changed() == {bob.address}
    candidate = node.gatherer.candidate(bob.address, later)
    assert candidate is not None
    assert candidate.entry.heartbeat is None
    node.gatherer.expire(NOW + 24 * HOUR + 10)
    assert not any(node.gatherer._signers.values())


def test_what_is_restored_is_judged() -> None:
    chain, (bob, carol, dave) = world(3)
    kept = [
        bob.record(),
        carol.record(NOW - 2 * HOUR),
        dave.record(),
        forged(1),
        Provider(9).record(),
    ]
    del chain.listings[dave.address]
    gatherer = Gatherer(chain, NETWORK)
    gatherer.restore([each.raw for each in kept] + [b"", b"rubbish"], NOW)
    assert [each.raw for each in gatherer.index.records] == [kept[0].raw]
    assert list(gatherer.batches()) == []


@settings(max_examples=examples(60))
@given(st.data())
def test_nodes_that_heard_the_same_show_the_same(data: st.DataObject) -> None:
    """The order and the path do not matter, nor does what Eve sends meanwhile."""
    chain, providers = world(4)
    said: list[SignedContent] = []
    for _ in range(data.draw(st.integers(1, 10))):
        bob = data.draw(st.sampled_from(providers))
        when = NOW + data.draw(st.integers(-1000, 1000))
        said.append(bob.record(when) if data.draw(st.booleans()) else bob.heartbeat(when))
    shown = []
    for name in (b"alice", b"carol"):
        node = Node(chain, name)
        for each in data.draw(st.permutations(said)):
            for batch in as_batches(each, *data.draw(st.sampled_from([(), (forged(3),)]))):
                if data.draw(st.booleans()):
                    node.gatherer.take_gossip(PEER, batch, NOW)
                else:
                    node.gatherer.take_batch(data.draw(st.binary(max_size=4)), batch, NOW)
        node.take(*said)
        shown.append([node.gatherer.candidate(each.address, NOW) for each in providers])
    assert shown[0] == shown[1]


def test_batches_of_nobody_cost_nothing() -> None:
    chain, _ = world(1)
    node = Node(chain)
    assert node.gatherer.take_gossip(PEER, to_bytes(Batch((), ())), NOW) is Decision.IGNORE
    assert list(node.gatherer.batches()) == []
