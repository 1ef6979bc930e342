# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What an agent tells of a tunnel's money, as people read it."""

from dataclasses import asdict
from typing import Any

from fs_tunnel.console.text import ago, counted, human_bytes
from fs_tunnel.roles.client import standbys
from fs_tunnel.roles.market_files import MarketFiles


def told_of(name: str, said: dict[str, Any]) -> dict[str, Any] | None:
    """What the agent of a tunnel told its helper last, which ``said`` so; None where it has none.

    A client's has ``failover``: who stands by, every move, and the one that is under way, or why
    there is none.
    """
    told = said.get("market")
    if not isinstance(told, dict):
        return None
    found = standbys.read(MarketFiles(name).standbys)
    if found is not None:
        told["failover"] = {
            "current": found.current,
            "waiting": [each.provider for each in found.ready],
            "refused": {each.provider: each.refusal for each in found.waiting if each.refusal},
            "moves": [asdict(each) for each in found.moves],
            **({"state": "standing by"} if found.ready else {"state": "nobody stands by"}),
            **(said.get("failover") or {}),
        }
    return told


def summary(told: dict[str, Any]) -> str:
    """Who pays what for how much; of a provider, who knows of it, of a client, who stands by."""
    return "\n".join([_money(told), *_failover(told)])


def _money(told: dict[str, Any]) -> str:
    match told:
        case {"state": "failed" | "starting", "error": error}:
            return f"market: {error}; it is started again by itself"
        case {"role": "provider"}:
            return (
                f"market: {told['price']}; {counted(len(told['clients']), 'client')}, "
                f"{told['served']} served; "
                f"{told['paid']['text']} for {human_bytes(told['bytes'])}\n"
                f"{_network(told.get('network'))}"
            )
        case {"role": "client"}:
            return _session(told)
    return f"market: {told['state']}"


def _network(told: dict[str, Any] | None) -> str:
    if told is None:
        return "network: not announced; add a section [network] to market.toml to be found"
    why = f"; {told['reason']}: {told['remedy']}" if told.get("reason") else ""
    match told["state"]:
        case "announced":
            count = told["full_nodes"]
            relays = f", passed on by {told['relays']}" if told["relays"] else ""
            return f"network: known to {counted(count, 'full node')}{relays}{why}"
        case "searching":
            return f"network: no full node can be reached; check bootstrap in [network]{why}"
    return f"network: {told['state']}{why}"


def _session(told: dict[str, Any]) -> str:
    reason = f" ({told['reason']})" if told["reason"] else ""
    before = [
        f"{each['paid']['text']} to {each['node']}"
        for each in told["elsewhere"]
        if int(each["paid"]["units"])
    ]
    return (
        f"market: {told['state']}{reason}; {told['price']}; "
        f"{told['paid']['text']} of {told['budget']['text']} "
        f"for {human_bytes(told['bytes'])}"
    ) + (f"; before: {', '.join(before)}" if before else "")


def _failover(told: dict[str, Any]) -> list[str]:
    """Who stands by, and how the tunnel came to where it is; nothing where nobody ever did."""
    found = told.get("failover") or {}
    said = [
        f"moved {ago(each['at'])} from {each['origin']} to {each['target']}: {each['why']}"
        for each in found.get("moves", [])
    ]
    match found:
        case {"error": error, "why": why}:
            said.append(f"blocked: {why}; {error}")
        case {"error": error}:
            said.append(f"blocked: {error}")
        case {"state": "moving", "to": to, "why": why}:
            said.append(f"moving to {to}: {why}; traffic is held back meanwhile")
        case {"waiting": [_, *_] as waiting}:
            said.append("standby: " + ", ".join(waiting))
    refused = found.get("refused", {})
    return [*said, *(f"{who} is no standby any more: {why}" for who, why in refused.items())]
