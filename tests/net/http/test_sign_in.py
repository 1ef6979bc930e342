# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Only the holder of an account's key can sign in to it and see its orders."""

import asyncio
import os

import pytest
from eth_account.signers.local import LocalAccount
from hypothesis import given
from hypothesis import strategies as st

from fs_net.fullnode.http.problems import Problem
from fs_net.fullnode.http.sign_in import ENTROPY, MESSAGE_LIFETIME, SESSION_LIFETIME, SignIn, Site
from fs_net.fullnode.http.visitors import Limits
from tests.net.http.conftest import ORIGIN, House
from tests.net.http.fair import orders_of
from tests.net.http.wallets import personal_sign, recover, wallet

BASE = "/api/v1"
START = 1_700_000_000


def account_of(signer: LocalAccount) -> bytes:
    return bytes.fromhex(signer.address[2:])


@pytest.fixture
def node() -> SignIn:
    return SignIn(Site(ORIGIN, 100), recover, os.urandom(32))


@pytest.fixture
def alice() -> LocalAccount:
    return wallet()


def asked(node: SignIn, signer: LocalAccount, now: int = START) -> str:
    return node.message(account_of(signer), now, os.urandom(ENTROPY))


def refused(node: SignIn, message: str, signature: str, now: int = START) -> str:
    with pytest.raises(Problem) as problem:
        node.accept(message, signature, now)
    assert problem.value.status == 401
    return problem.value.detail


def test_the_message_is_that_of_eip_4361(node: SignIn, alice: LocalAccount) -> None:
    lines = asked(node, alice).split("\n")
    assert lines[0] == "node.example wants you to sign in with your Ethereum account:"
    assert lines[1] == alice.address
    assert lines[2] == lines[4] == ""
    fields = dict(line.split(": ", 1) for line in lines[5:])
    assert fields["URI"] == ORIGIN
    assert fields["Version"] == "1"
    assert fields["Chain ID"] == "100"
    assert fields["Issued At"] == "2023-11-14T22:13:20Z"
    assert fields["Expiration Time"] == "2023-11-14T22:18:20Z"
    assert fields["Nonce"].isalnum()
    assert len(fields["Nonce"]) >= 8


def test_who_signs_is_who_was_named(node: SignIn, alice: LocalAccount) -> None:
    message = asked(node, alice)
    assert node.accept(message, personal_sign(alice, message), START) == account_of(alice)


def test_a_signature_serves_once(node: SignIn, alice: LocalAccount) -> None:
    message = asked(node, alice)
    signature = personal_sign(alice, message)
    node.accept(message, signature, START)
    assert "used before" in refused(node, message, signature)


def test_who_fails_does_not_use_up_the_nonce(node: SignIn, alice: LocalAccount) -> None:
    message = asked(node, alice)
    refused(node, message, personal_sign(wallet(), message))
    assert node.accept(message, personal_sign(alice, message), START) == account_of(alice)


@pytest.mark.parametrize("now", [START - 1, START + MESSAGE_LIFETIME])
def test_a_message_is_of_its_minutes(node: SignIn, alice: LocalAccount, now: int) -> None:
    message = asked(node, alice)
    assert "minutes" in refused(node, message, personal_sign(alice, message), now)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("node.example wants", "evil.example wants"),
        (f"URI: {ORIGIN}", "URI: https://evil.example"),
        ("Chain ID: 100", "Chain ID: 1"),
        ("Version: 1", "Version: 2"),
        ("This moves no money.", "Pay me."),
        ("Nonce: ", "Nonce: 00"),
        ("T22:13:20Z", "T22:13:21Z"),
        ("T22:18:20Z", "T23:18:20Z"),
        ("\n\nURI", "\nURI"),
        ("Version: 1", "Version: 1\nRequest ID: 7"),
    ],
)
def test_another_message_is_refused_though_it_was_signed(
    node: SignIn, alice: LocalAccount, ours: str, theirs: str
) -> None:
    message = asked(node, alice)
    assert ours in message
    forged = message.replace(ours, theirs)
    refused(node, forged, personal_sign(alice, forged), START + 1)


def test_eve_cannot_take_the_nonce_of_alice(node: SignIn, alice: LocalAccount) -> None:
    eve = wallet()
    forged = asked(node, alice).replace(alice.address, eve.address)
    assert "not the one" in refused(node, forged, personal_sign(eve, forged))


def test_another_node_signs_nobody_in_here(node: SignIn, alice: LocalAccount) -> None:
    message = asked(SignIn(Site(ORIGIN, 100), recover, os.urandom(32)), alice)
    assert "not the one" in refused(node, message, personal_sign(alice, message))


@given(message=st.text(max_size=400), signature=st.text(max_size=140))
def test_no_bytes_make_a_defect(message: str, signature: str) -> None:
    node, alice = SignIn(Site(ORIGIN, 100), recover, bytes(32)), wallet()
    refused(node, message, signature)
    refused(node, asked(node, alice), signature)


def test_a_session_ends(node: SignIn, alice: LocalAccount) -> None:
    session = node.open_session(account_of(alice), START, os.urandom(ENTROPY))
    assert node.account_of(session, START + SESSION_LIFETIME - 1) == account_of(alice)
    assert node.account_of(session, START + SESSION_LIFETIME) is None
    node.close_session(session)
    assert node.account_of(session, START) is None


@given(st.text(max_size=120) | st.binary(max_size=80).map(lambda raw: raw.hex()))
def test_no_session_is_made_up(session: str) -> None:
    node = SignIn(Site(ORIGIN, 100), recover, bytes(32))
    assert node.account_of(session, START) is None
    node.close_session(session)


def test_a_session_of_another_account_is_no_change_of_bytes(
    node: SignIn, alice: LocalAccount
) -> None:
    session = node.open_session(account_of(alice), START, os.urandom(ENTROPY))
    for place in range(len(session) - 2):
        other = session[:place] + ("A" if session[place] != "A" else "B") + session[place + 1 :]
        assert node.account_of(other, START) is None


def test_orders_are_shown_to_who_signed_in(house: House, alice: LocalAccount) -> None:
    account = account_of(alice)
    house.book.held[account] = orders_of(account, house.providers[:7])

    async def run() -> None:
        async with house.visited() as visitor:
            unknown = await visitor.get(f"{BASE}/orders")
            assert (unknown.status_code, unknown.json()["status"]) == (401, 401)
            params = {"address": alice.address}
            message = (await visitor.get(f"{BASE}/sign-in", params=params)).json()["message"]
            proof = {"message": message, "signature": personal_sign(alice, message)}
            answer = await visitor.post(f"{BASE}/sign-in", json=proof)
            assert answer.json() == {"account": alice.address}
            cookie = answer.headers["set-cookie"]
            for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
                assert word in cookie
            said = (await visitor.get(f"{BASE}/orders")).json()
            assert said["account"] == alice.address
            assert said["total"] == 7
            paid = [each for each in said["orders"] if each["role"] == "payer"]
            assert sum(int(each["claimed"]["units"]) for each in paid) == int(
                said["spent"]["units"]
            )
            assert int(said["earned"]["units"]) > 0
            page = await visitor.get("/orders")
            assert alice.address in page.text
            assert page.headers["cache-control"] == "private, no-store"
            stolen = dict(visitor.cookies)
            assert (await visitor.delete(f"{BASE}/sign-in")).status_code == 204
            assert (await visitor.get(f"{BASE}/orders")).status_code == 401
            visitor.cookies.update(stolen)
            assert (await visitor.get(f"{BASE}/orders")).status_code == 401

    asyncio.run(run())


def test_another_site_signs_nobody_in_or_out(house: House, alice: LocalAccount) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            params = {"address": alice.address}
            message = (await visitor.get(f"{BASE}/sign-in", params=params)).json()["message"]
            proof = {"message": message, "signature": personal_sign(alice, message)}
            evil = {"Origin": "https://evil.example"}
            for call in (
                visitor.post(f"{BASE}/sign-in", json=proof, headers=evil),
                visitor.delete(f"{BASE}/sign-in", headers=evil),
                visitor.post("/orders/sign-in", data={"proof": "x"}, headers=evil),
                visitor.post("/orders/sign-out", headers=evil),
            ):
                assert (await call).status_code == 403

    asyncio.run(run())


def test_the_host_header_is_not_believed(house: House, alice: LocalAccount) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            answer = await visitor.get(
                f"{BASE}/sign-in",
                params={"address": alice.address},
                headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
            )
            assert answer.json()["message"].startswith("node.example wants")

    asyncio.run(run())


def test_a_pasted_proof_signs_in_without_script(house: House, alice: LocalAccount) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            params = {"address": alice.address}
            message = (await visitor.get(f"{BASE}/sign-in", params=params)).json()["message"]
            printed = f"{message}\n\n{personal_sign(alice, message)}\n"
            pasted = {"proof": printed.replace("\n", "\r\n")}
            answer = await visitor.post("/orders/sign-in", data=pasted)
            assert (answer.status_code, answer.headers["location"]) == (303, "/orders")
            assert alice.address in (await visitor.get("/orders")).text
            again = await visitor.post("/orders/sign-in", data=pasted)
            assert again.status_code == 401
            assert "used before" in again.text

    asyncio.run(run())


def test_signing_in_is_rare(house: House, alice: LocalAccount) -> None:
    house.limits = Limits(sign_ins=0.001, sign_ins_burst=2)

    async def run() -> None:
        async with house.visited() as visitor:
            path = f"{BASE}/sign-in?address={alice.address}"
            assert [(await visitor.get(path)).status_code for _ in range(3)] == [200, 200, 429]

    asyncio.run(run())


def test_over_plain_http_the_cookie_is_for_it(house: House, alice: LocalAccount) -> None:
    house.origin = "http://127.0.0.1:8080"

    async def run() -> None:
        async with house.visited() as visitor:
            params = {"address": alice.address}
            message = (await visitor.get(f"{BASE}/sign-in", params=params)).json()["message"]
            assert message.startswith("127.0.0.1:8080 wants")
            proof = {"message": message, "signature": personal_sign(alice, message)}
            answer = await visitor.post(f"{BASE}/sign-in", json=proof)
            assert "Secure" not in answer.headers["set-cookie"]

    asyncio.run(run())
