# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The forwarder's view of DNS, beside scapy's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRROPT

from fs_tunnel.helper.dns_messages import (
    MAX_QUERY_BYTES,
    NO_SUCH_NAME,
    answer_untrusted,
    is_blocked,
    parse_query_untrusted,
    reply,
    with_id,
)
from fs_tunnel.proto.errors import MalformedMessage

LABELS = st.lists(st.text("abcXYZ-09", min_size=1, max_size=63), min_size=1, max_size=3)


def question(name: str = "www.Example.net", **fields: Any) -> bytes:
    packet = DNS(id=4711, rd=1, qd=DNSQR(qname=name))
    for field, value in fields.items():
        setattr(packet, field, value)
    return bytes(packet)


def answer(query: bytes, number: int) -> bytes:
    asked = DNS(query)
    record = DNSRR(rrname=asked.qd[0].qname, rdata="192.0.2.1")
    return bytes(DNS(id=number, qr=1, qd=asked.qd, an=record))


@given(LABELS)
def test_a_question_is_read(labels: list[str]) -> None:
    name = ".".join(labels)
    query = parse_query_untrusted(question(name))
    assert query.name == name.lower()


def test_extensions_are_passed_on() -> None:
    data = question(ar=DNSRROPT(rclass=1232))
    query = parse_query_untrusted(data)
    assert with_id(query, 0x1234) == b"\x12\x34" + data[2:]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        question()[:12],
        question()[:-1],
        question().ljust(MAX_QUERY_BYTES + 1),
        question(qr=1),
        question(opcode=5),
        question(tc=1),
        question(an=DNSRR(rrname="x")),
        question()[:4] + b"\0\2" + question()[6:],
        question()[:12] + b"\xc0\x0c\0\1\0\1",  # a pointer to itself
        question()[:12] + b"\x3f" * 300,
    ],
)
def test_what_is_no_plain_question_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_query_untrusted(data)


@given(st.binary(max_size=80), st.booleans())
def test_anything_is_a_question_or_malformed(data: bytes, is_headed: bool) -> None:
    if is_headed:
        data = question()[:12] + data
    try:
        query = parse_query_untrusted(data)
    except MalformedMessage:
        return
    assert data[12:].startswith(query.question)
    assert len(reply(query, NO_SUCH_NAME)) <= len(data)  # nothing to amplify with


def test_a_refusal_is_an_answer_to_that_question() -> None:
    refusal = DNS(reply(parse_query_untrusted(question()), NO_SUCH_NAME))
    assert (refusal.id, refusal.qr, refusal.rd, refusal.ra) == (4711, 1, 1, 1)
    assert (refusal.rcode, refusal.qd[0].qname) == (NO_SUCH_NAME, b"www.Example.net.")


def test_an_answer_comes_back_under_its_first_number() -> None:
    query = parse_query_untrusted(question())
    passed_on = with_id(query, 99)
    back = DNS(answer_untrusted(query, 99, answer(passed_on, 99)))
    assert (back.id, back.an[0].rdata) == (4711, "192.0.2.1")


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        answer(question(), 98),
        answer(question("www.example.net"), 99),  # the case of letters is part of the question
        answer(question("other.example.net"), 99),
        b"\0\x63" + question()[2:],
        answer(question(), 99)[:20],
    ],
)
def test_another_answer_is_not_believed(forged: bytes) -> None:
    with pytest.raises(MalformedMessage):
        answer_untrusted(parse_query_untrusted(question()), 99, forged)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ads.example.net", True),
        ("x.ads.example.net", True),
        ("example.net", False),
        ("uploads.example.net", False),
        ("", False),
    ],
)
def test_a_name_is_blocked_with_all_below_it(name: str, expected: bool) -> None:
    assert is_blocked(name, {"ads.example.net"}) is expected
