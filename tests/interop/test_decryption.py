# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Wireshark decrypts our traffic with our key log, and finds the same messages in it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.capture import Capture
from tests.netns.peers import WIREGUARD_GO, Engine, generate_psk, introduce, running
from tests.netns.topology import CommandFailed, pair, run

pytestmark = pytest.mark.netns

PORT = 51820


@pytest.mark.parametrize("initiator", ["we-initiate", "they-initiate"])
def test_tshark_decrypts_with_our_key_log(
    our_engine: Engine, tmp_path: Path, initiator: str
) -> None:
    """Each role has two sessions: one without a pre-shared key, and one with it."""
    key_log, pcap = tmp_path / "keys", tmp_path / "exchange.pcap"
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE, env={"FS_WG_KEYLOG": str(key_log)}) as us,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as them,
        Capture(net.alice, "wire") as wire,
    ):
        near, far = (us, them) if initiator == "we-initiate" else (them, us)
        introduce(us, them, (net.alice_v4, PORT), (net.bob_v4, PORT))
        near.ping(far.v4)
        psk = generate_psk()
        us.set_psk(them.keys.public, psk)
        them.set_psk(us.keys.public, psk)
        time.sleep(0.03)  # every implementation drops initiations that follow each other too fast
        near.forget_session(far.keys.public)
        near.ping(far.v6)
        wire.write_pcap(pcap)
        sent = [each for each in wire.udp() if each.payload[:1] == b"\x04"]

    assert key_log.stat().st_mode & 0o077 == 0
    packets = dissect(pcap, key_log)
    transport = [packet for packet in packets if packet["wg.type"] == "4"]
    assert len(transport) == len(sent) >= 4
    assert all(packet["wg.inner"] for packet in transport), "a message was not decrypted"
    inner = [packet["wg.inner"] for packet in transport]
    assert any("icmp" in each for each in inner) and any("icmpv6" in each for each in inner)

    # The control: without the keys, tshark sees nothing inside.
    assert not any(packet["wg.inner"] for packet in dissect(pcap, None))


def test_a_key_log_that_cannot_be_written_is_refused(our_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pair() as net:
        for bad in (tmp_path / "missing" / "keys", tmp_path / "link"):
            with pytest.raises(CommandFailed, match="key log") as refusal:
                net.alice.run(*our_engine.argv, "-f", "nowhere", env={"FS_WG_KEYLOG": str(bad)})
            assert "Traceback" not in str(refusal.value)
            assert not net.alice.has_link("nowhere")


def dissect(pcap: Path, key_log: Path | None) -> Sequence[dict[str, Any]]:
    """Return what tshark sees of each message: its type, and the protocols inside."""
    options = [] if key_log is None else ["-o", f"wg.keylog_file:{key_log}"]
    shown = run("tshark", "-r", str(pcap), "-Y", "wg", "-T", "json", *options)
    packets = []
    for packet in json.loads(shown):
        layers = packet["_source"]["layers"]
        protocols = layers["frame"]["frame.protocols"].split(":wg", 1)[1]
        packets.append({"wg.type": layers["wg"]["wg.type"], "wg.inner": protocols})
    return packets
