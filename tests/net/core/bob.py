# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider that announces itself, without a network: the test carries out its actions."""

from fs_net.core.announcer import Announcer
from fs_net.core.announcing import (
    Action,
    Announcing,
    Ask,
    Beat,
    Dial,
    Reserve,
    Search,
    Store,
)
from fs_net.errors import Reason
from tests.net.world import NETWORK, NOW, Provider


def address(node: str, number: int = 0) -> str:
    return f"/ip4/192.0.2.{number + 1}/tcp/4001/p2p/{node}"


class Bob:
    """A provider with a clock; its actions are kept until they are carried out."""

    def __init__(self, *chosen: str, relayed: bool = False) -> None:
        self.provider = Provider(1)
        announcer = Announcer(self.provider.keys, NETWORK)
        self.announcer = announcer
        self.core = Announcing(
            announcer, [address(each) for each in chosen], b"secret", relayed=relayed
        )
        self.now = 1000.0
        self.offer = self.provider.offer
        self.core.offer(self.offer, 7)

    def wants(self) -> list[Action]:
        return self.core.next_actions(self.now, NOW + int(self.now * 1000))

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def settle(self) -> list[Action]:
        """Let all actions succeed at once; return all of them."""
        seen: list[Action] = []
        while wanted := self.wants():
            seen += wanted
            for each in wanted:
                self.succeed(each)
        return seen

    def succeed(self, action: Action, *reasons: Reason | None) -> list[Action]:
        match action:
            case Dial(node):
                self.core.dialled(node, node.encode(), self.now)
            case Ask(node):
                return self.core.answered(node, reasons or (None, None), self.now)
            case Beat(node):
                self.core.beaten(node)
            case Search():
                self.core.found({}, self.now)
            case Store():
                self.core.stored(True, self.now)
            case Reserve(node):
                self.core.reserved(node, True, self.now)
        return []
