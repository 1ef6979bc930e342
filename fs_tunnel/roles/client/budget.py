# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The parts of a client's budget: how many there are, and which providers get one."""

from collections.abc import Sequence

from fs_tunnel.roles.client.deals import Deal
from fs_tunnel.roles.client.providers import Provider

GET_BACK = "get the money in channels back with fs-tunnel market settle, once no tunnel uses them"
_MOST_PLACES = 3  # of one tunnel, with its standbys


def parts_of(providers: Sequence[Provider]) -> int:
    """The number of parts into which the budget is divided.

    A provider that only full nodes lead to can be the first, and no standby. If it is out of reach,
    the next provider needs a part, even if that one is behind a NAT too.
    """
    names = {each.name for each in providers}
    ready = {each.name for each in providers if not each.peer}
    parts = max(len(ready) + (len(ready) < len(names)), min(2, len(names)))
    return max(1, min(_MOST_PLACES, parts))


def has_part(deal: Deal, deals: Sequence[Deal], taken: int, parts: int) -> bool:
    """Whether a part of the budget is left for this deal: an earlier one of its own, or a free one.

    ``taken`` parts of ``parts`` are in use by this tunnel.
    """
    committed = {each.provider.name for each in deals if each.is_committed}
    return taken < parts and (deal.provider.name in committed or len(committed) < parts)
