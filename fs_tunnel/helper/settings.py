# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The settings of a helper, which it gets at its start and from repeated commands."""

from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

from fs_tunnel.linux.firewall.nft import check_interface
from fs_wire.errors import UsageError

_MAX_ADDRESSES = 64
_MAX_PATH = 4096
_MAX_UID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """A resolver for a provider's clients, which listens on ``addresses`` inside the tunnel alone.

    ``block_list`` is the file of the names that it denies.
    """

    ifname: str
    addresses: tuple[str, ...]
    block_list: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """``agent`` is the uid that may ask for changes besides root; with 0, only root may.

    ``market`` is the file with the start of the tunnel's agent, see ``helper.agents``.
    """

    agent: int = 0
    resolver: ResolverSettings | None = None
    market: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object that ``parse_settings_untrusted`` takes."""
        return asdict(self)


def parse_settings_untrusted(value: object) -> Settings:
    """Settings from JSON; UsageError for anything else."""
    agent, resolver, market = _members(value, "agent", "resolver", "market")
    if type(agent) is not int or not 0 <= agent <= _MAX_UID:
        raise UsageError("agent must be the number of a user")
    if not _is_path_or_none(market):
        raise UsageError("market must be an absolute path, or null")
    return Settings(agent, None if resolver is None else _parse_resolver(resolver), market)


def _parse_resolver(value: object) -> ResolverSettings:
    ifname, addresses, block_list = _members(value, "ifname", "addresses", "block_list")
    if not isinstance(ifname, str):
        raise UsageError("ifname must be a string")
    check_interface(ifname)
    if not isinstance(addresses, list | tuple) or not 0 < len(addresses) <= _MAX_ADDRESSES:
        raise UsageError(f"addresses must be a list of 1 to {_MAX_ADDRESSES}")
    if not _is_path_or_none(block_list):
        raise UsageError("block_list must be an absolute path, or null")
    return ResolverSettings(ifname, tuple(map(_address, addresses)), block_list)


def _is_path_or_none(value: object) -> bool:
    return value is None or (
        isinstance(value, str) and value.startswith("/") and len(value) < _MAX_PATH
    )


def _address(text: object) -> str:
    try:
        if isinstance(text, str) and str(ip_address(text)) == text and "%" not in text:
            return text
    except ValueError:
        pass
    raise UsageError("an address must be like 10.66.0.1")


def _members(value: object, *names: str) -> list[Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise UsageError(f"settings must have exactly the members {', '.join(names)}")
    return [value[name] for name in names]
