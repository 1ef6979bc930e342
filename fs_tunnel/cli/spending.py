"""What an agent tells of a tunnel's money, as people read it."""

from typing import Any

from fs_tunnel.cli.text import human_bytes
from fs_tunnel.errors import ControlError, NotRunningError
from fs_tunnel.helper.client import HelperClient


def told_of(name: str) -> dict[str, Any] | None:
    """What the agent of a tunnel said last; None where it has none."""
    try:
        told = HelperClient(name).status().get("market")
    except (NotRunningError, ControlError):
        return None
    return told if isinstance(told, dict) else None


def summary(told: dict[str, Any]) -> str:
    """Who pays what for how much; of a provider, also who knows of it."""
    match told:
        case {"state": "failed", "error": error}:
            return f"market: {error}"
        case {"role": "provider"}:
            return (
                f"market: {told['price']}; {len(told['clients'])} clients, "
                f"{told['served']} served; "
                f"{told['paid']['text']} for {human_bytes(told['bytes'])}\n"
                f"{_network(told.get('network'))}"
            )
        case {"role": "client"}:
            reason = f" ({told['reason']})" if told["reason"] else ""
            return (
                f"market: {told['state']}{reason}; {told['price']}; "
                f"{told['paid']['text']} of {told['budget']['text']} "
                f"for {human_bytes(told['bytes'])}"
            )
    return f"market: {told['state']}"


def _network(told: dict[str, Any] | None) -> str:
    if told is None:
        return "network: not announced; add a section [network] to market.toml to be found"
    why = f"; {told['reason']}: {told['remedy']}" if told.get("reason") else ""
    match told["state"]:
        case "announced":
            count = told["full_nodes"]
            relays = f", passed on by {told['relays']}" if told["relays"] else ""
            return f"network: known to {count} full node{'s' if count != 1 else ''}{relays}{why}"
        case "searching":
            return f"network: no full node is reached; check bootstrap in [network]{why}"
    return f"network: {told['state']}{why}"
