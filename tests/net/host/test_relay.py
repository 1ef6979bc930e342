# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A peer that cannot be dialled is reached through a full node."""

from pathlib import Path

import trio

from tests.net.host.stage import Stage, address_of, eventually, program_of, run


def test_a_message_through_a_full_node(tmp_path: Path) -> None:
    """The client knows no address at which the provider listens."""

    async def main() -> tuple[bool, list[bytes]]:
        stage = Stage(tmp_path)
        full, provider, client = (stage.node(is_full_node=each < 1) for each in range(3))
        async with full.running(), provider.running(), client.running():
            relay = full.host.get_id()
            for each in (provider, client):
                await each.connect(address_of(full), 10)
            granted = await provider.reserve(relay.to_bytes(), 10)
            name = provider.host.get_id()
            await client.dial_circuit(f"{address_of(full)}/p2p-circuit/p2p/{name}", 10)
            await client.send(name.to_bytes(), b"through the relay", 10)
            await eventually(lambda: program_of(provider).messages)
            return granted, program_of(provider).messages

    assert run(lambda: trio.run(main)) == (True, [b"through the relay"])


def test_a_full_node_that_was_not_identified_yet_relays_all_the_same(tmp_path: Path) -> None:
    """By itself, libp2p would remember that it does not relay."""

    async def main() -> bool:
        stage = Stage(tmp_path)
        full, provider = (stage.node(is_full_node=each < 1) for each in range(2))
        async with full.running(), provider.running():
            await provider.connect(address_of(full), 10)
            relay = full.host.get_id()
            provider.relay._transport.discovery._protocol_cache[relay] = set()
            return await provider.reserve(relay.to_bytes(), 10)

    assert run(lambda: trio.run(main))
