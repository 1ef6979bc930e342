# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Messages of strangers and cheats are refused cheaply, with a reason and without any secret."""

from dataclasses import replace
from typing import Any

import pytest
from coincurve import PrivateKey

from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.session.provider_states import State as ProviderState
from fs_market.core.wire.channels import channel_id, channels_domain
from fs_market.core.wire.messages import (
    Order,
    Quote,
    QuoteRequest,
    serialize,
    session_digest,
    sign_close,
)
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import Reason
from fs_wire.ratelimit import RateLimiter
from fs_wire.types import PublicKey
from tests.market.core.world import DOMAIN, SESSION_KEY, World, served

STRANGER = SigningKey(PrivateKey().secret)


def the_order(world: World) -> Order:
    return next(each for each in world.sent_by["alice"] if isinstance(each, Order))


def reasons(world: World, *messages: Any) -> list[Reason]:
    """Return the answers of a provider that knows nothing about the sender."""
    found = []
    for message in messages:
        provider = world.new_provider()
        data = message if isinstance(message, bytes) else serialize(message)
        reason = provider.receive(data, world.now)
        assert reason is not None
        assert provider.refused == {reason: 1}
        assert not provider.messages_to_send()
        found.append(reason)
        assert provider.state is ProviderState.QUOTING
    return found


def test_orders_that_are_not_for_us() -> None:
    world = served()
    order = the_order(world)
    offer, terms = order.quote.terms, order.terms

    def with_offer(**changes: Any) -> Order:
        """Make an order with a changed quote, with all signatures that its sender can make."""
        changed = replace(offer, **changes)
        bound = replace(terms, order=changed.digest)
        if "payee" in changes:
            bound = replace(bound, payee=changed.payee)
        channel = channel_id(DOMAIN, bound)
        signature = SESSION_KEY.sign(session_digest(DOMAIN, channel, order.wireguard_key, 1))
        quote = Quote(changed, order.quote.signature)
        return replace(order, quote=quote, terms=bound, signature=signature)

    assert (
        reasons(
            world,
            with_offer(chain_id=1),
            with_offer(channels=STRANGER.address),
            with_offer(token=STRANGER.address),
            with_offer(payee=STRANGER.address),
            with_offer(node=STRANGER.address),
            with_offer(valid_until=1),
            with_offer(per_gib=1),  # we would never have signed this
            with_offer(tolerance_ppm=0),
            replace(order, terms=replace(terms, window=1)),
            replace(order, terms=replace(terms, payee=STRANGER.address)),
            replace(order, terms=replace(terms, order=bytes(32))),
            replace(order, terms=replace(terms, expires_at=1)),
            replace(order, terms=replace(terms, salt=bytes(32))),
            replace(order, wireguard_key=PublicKey(bytes(32))),
            replace(order, signature=bytes(65)),
            replace(order, signature=STRANGER.sign(bytes(32))),
            QuoteRequest(1, DOMAIN.contract),
            QuoteRequest(DOMAIN.chain_id, STRANGER.address),
            b"",
            b"\x00" * 5000,
            serialize(order)[:-1],
            sign_voucher(SESSION_KEY, DOMAIN, bytes(32), 1),
        )
        == [
            *[Reason.CHAIN] * 3,
            *[Reason.STALE_QUOTE] * 3,
            *[Reason.BAD_SIGNATURE] * 2,
            *[Reason.TERMS] * 4,
            *[Reason.BAD_SIGNATURE] * 4,
            *[Reason.CHAIN] * 2,
            *[Reason.MALFORMED] * 3,
            Reason.UNEXPECTED,
        ]
    )


@pytest.fixture
def world() -> World:
    return served()


def say(world: World, message: Any) -> Reason | None:
    """Return Bob's answer to a message that Alice's shell would never send."""
    reason = world.provider.receive(serialize(message), world.now)
    world.run(world.bob)
    return reason


def test_vouchers_in_a_session(world: World) -> None:
    channel = world.provider.channel
    good = sign_voucher(SESSION_KEY, DOMAIN, channel, 1000)
    other_chain = channels_domain(1, DOMAIN.contract)
    high = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = high - int.from_bytes(good.signature[32:64], "big")
    flipped = good.signature[:32] + s.to_bytes(32, "big") + bytes([55 - good.signature[64]])
    assert say(world, sign_voucher(SESSION_KEY, DOMAIN, bytes(32), 5)) is Reason.FOREIGN_CHANNEL
    assert say(world, sign_voucher(SESSION_KEY, other_chain, channel, 5)) is Reason.BAD_SIGNATURE
    assert say(world, sign_voucher(STRANGER, DOMAIN, channel, 5)) is Reason.BAD_SIGNATURE
    assert say(world, replace(good, signature=flipped)) is Reason.BAD_SIGNATURE
    assert say(world, replace(good, cumulative=999)) is Reason.BAD_SIGNATURE
    too_much = world.deposit + 1
    assert say(world, sign_voucher(SESSION_KEY, DOMAIN, channel, too_much)) is Reason.OVER_DEPOSIT
    assert world.provider.paid == 0
    assert say(world, good) is None
    assert world.provider.paid == 1000
    assert say(world, good) is None  # a repetition has no effect and costs no work
    assert say(world, sign_voucher(SESSION_KEY, DOMAIN, channel, 999)) is Reason.NOTHING_NEW
    assert world.provider.paid == 1000


def test_an_order_for_a_running_channel_is_that_of_its_client(world: World) -> None:
    order = the_order(world)
    thief = PublicKey(bytes(31) + b"\x01")
    assert say(world, replace(order, wireguard_key=thief)) is Reason.FOREIGN_KEY
    stolen = replace(order.terms, salt=bytes(32))
    assert say(world, replace(order, terms=stolen)) is Reason.FOREIGN_CHANNEL


def test_the_rate_limit_comes_before_the_curve(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = world.provider.channel
    vouchers = [sign_voucher(SESSION_KEY, DOMAIN, channel, 10 + n) for n in range(3)]
    order = replace(the_order(world), number=2, signature=STRANGER.sign(bytes(32)))
    close = sign_close(STRANGER, DOMAIN, channel, 0, 10, final=False)
    world.may_check = False
    monkeypatch.setattr("fs_market.core.wire.signatures.Secp256k1Point", None)
    assert say(world, vouchers[0]) is Reason.RATE_LIMITED
    assert say(world, order) is Reason.RATE_LIMITED
    assert say(world, close) is Reason.RATE_LIMITED
    assert reasons(world, the_order(world), QuoteRequest(DOMAIN.chain_id, DOMAIN.contract)) == [
        Reason.RATE_LIMITED,
        Reason.RATE_LIMITED,
    ]
    # A message that is refused before that costs no token.
    world.may_check = True
    world.provider._inspect._may_check = lambda _now: pytest.fail("a token was asked for")
    assert say(world, replace(vouchers[0], channel=bytes(32))) is Reason.FOREIGN_CHANNEL
    for each in (vouchers[0], order, close):
        assert say(world, replace(each, signature=bytes(65))) is Reason.BAD_SIGNATURE
    assert say(world, replace(order, number=1)) is Reason.REPLAYED


def test_refusals_and_errors_tell_no_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    secret = PrivateKey().secret
    shown = repr((SigningKey(secret), world.client_config, world.provider_config))
    assert secret.hex() not in shown
    assert SESSION_KEY._key.secret.hex() not in shown
    assert repr(SESSION_KEY._key.secret) not in shown
    assert not caplog.records


def test_a_source_has_so_many_checks_and_others_have_theirs() -> None:
    limiter = RateLimiter(rate=2, burst=3, max_sources=2)
    assert [limiter.allow("eve", 0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert limiter.allow("bob", 0)
    assert limiter.allow("eve", 0.5)
    assert not limiter.allow("eve", 0.5)
    for number in range(10):
        limiter.allow(number, 0.6)
        assert len(limiter) <= 2
    limiter.allow("late", 100)
    assert len(limiter) == 1
