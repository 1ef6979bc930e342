# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The market's settings: ``market.toml`` names a chain and its contracts.

[chain]
rpc = "https://rpc.example"
id = 100
confirmations = 12          # a block is final when it is the first of this many blocks
max_fee_gwei = 200          # the most that one gas may cost

[contracts]
token = "0x…"
channels = "0x…"
stakes = "0x…"
registry = "0x…"
since = 1                   # the block that made the contracts; earlier blocks are not read
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fs_market.chain.fees import GWEI, FeePolicy
from fs_market.core.wire.ethereum import Address
from fs_market.errors import AmountError
from fs_market.provider_settings import ProviderSettings, parse_provider
from fs_wire.errors import ConfigError

DEFAULT_CONFIRMATIONS = 12
_MAX_CONFIRMATIONS = 10_000
_MAX_FILE = 64 << 10  # bytes
_OF_OTHERS = {"provider", "network"}  # ``provider_settings`` and ``fs_net.settings`` read them
_SECTIONS = {
    "chain": {"rpc", "id", "confirmations", "max_fee_gwei"},
    "contracts": {"token", "channels", "stakes", "registry", "since"},
}


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """One chain and the contracts on it.

    ``rpc`` is the URL of the chain node.  It may contain a secret, so never show it.
    """

    rpc: str
    chain_id: int
    confirmations: int
    fees: FeePolicy
    token: Address
    channels: Address
    stakes: Address | None
    registry: Address | None
    since: int = 1

    def __repr__(self) -> str:
        return f"MarketSettings(chain {self.chain_id}, {self.channels})"


def candidates() -> tuple[Path, ...]:
    """Return the files to look for if the user names none, the first one first."""
    return (
        Path.home() / ".config" / "flowshield" / "market.toml",
        Path("/etc/fs-tunnel/market.toml"),
    )


def find(named: Path | None) -> Path:
    """Return the named file, or the first candidate that exists.

    Raise ConfigError if no file is named and none exists.
    """
    if named is not None:
        return named
    for path in candidates():
        if path.is_file():
            return path
    looked = " or ".join(map(str, candidates()))
    raise ConfigError(f"there is no market.toml; write {looked}, or name yours with --settings")


def read(path: Path, rpc: str | None = None) -> MarketSettings:
    """Parse a file; ``rpc``, if given, replaces the file's own.

    Raise ConfigError if the file cannot be read, or if a value is wrong.
    """
    return parse_untrusted(_read(path), str(path), rpc)


def parse_untrusted(raw: bytes, source: str, rpc: str | None = None) -> MarketSettings:
    """Parse the bytes of a file; ``source`` is its name for messages.  Errors as in ``read``."""
    return _Reader(source, _parse_untrusted(raw, source)).settings(rpc)


def read_provider(path: Path) -> ProviderSettings:
    """Parse a file's section [provider]; raise ConfigError if it is missing or wrong."""
    section = read_section(path, "provider")
    if section is None:
        raise ConfigError(
            "the section is missing; write what you sell", source=str(path), key="provider"
        )
    return parse_provider(section, str(path))


def read_section(path: Path, name: str) -> dict[str, Any] | None:
    """Return a section of a file as TOML has it; None if there is none.

    Raise ConfigError if the file cannot be read.
    """
    section = _parse_untrusted(_read(path), str(path)).get(name)
    return section if isinstance(section, dict) else None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"{error.strerror}; name a file with --settings", source=str(path)
        ) from None


def _parse_untrusted(raw: bytes, source: str) -> dict[str, Any]:
    try:
        if len(raw) > _MAX_FILE:
            raise ConfigError(
                f"the file has more than {_MAX_FILE} bytes; shorten it", source=source
            )
        return tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        what = error if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8, or too deep"
        raise ConfigError(f"the file is not TOML ({what}); correct it", source=source) from None


def render(settings: MarketSettings) -> str:
    """Return the text of a file that ``read`` parses into these settings."""
    lines = [
        "[chain]",
        f"rpc = {json.dumps(settings.rpc, ensure_ascii=False)}",
        f"id = {settings.chain_id}",
        f"confirmations = {settings.confirmations}",
        f"max_fee_gwei = {settings.fees.cap // GWEI}",
        "",
        "[contracts]",
        f'token = "{settings.token}"',
        f'channels = "{settings.channels}"',
    ]
    for name, address in (("stakes", settings.stakes), ("registry", settings.registry)):
        lines += [f'{name} = "{address}"'] if address is not None else []
    lines += [f"since = {settings.since}"] if settings.since > 1 else []
    return "\n".join(lines) + "\n"


class _Reader:
    """Takes values out of a parsed file; raises ConfigError with the key of a wrong value."""

    def __init__(self, source: str, parsed: Mapping[str, Any]) -> None:
        self._source, self._parsed = source, parsed

    def settings(self, rpc: str | None) -> MarketSettings:
        """Return the settings; ``rpc``, if given, replaces the file's own."""
        self._check_names()
        cap = self._number("chain", "max_fee_gwei", 10**6, FeePolicy().cap // GWEI) * GWEI
        token, channels = self._address("token"), self._address("channels")
        if token is None or channels is None:
            raise self._wrong("contracts", "token and channels are missing; add their addresses")
        return MarketSettings(
            rpc=rpc if rpc is not None else self._text("chain", "rpc"),
            chain_id=self._number("chain", "id", 2**63),
            confirmations=self._number(
                "chain", "confirmations", _MAX_CONFIRMATIONS, DEFAULT_CONFIRMATIONS
            ),
            fees=FeePolicy(cap=cap),
            token=token,
            channels=channels,
            stakes=self._address("stakes"),
            registry=self._address("registry"),
            since=self._number("contracts", "since", 2**63, 1),
        )

    def _check_names(self) -> None:
        for section, values in self._parsed.items():
            if section in _OF_OTHERS and isinstance(values, dict):
                continue
            if section not in _SECTIONS or not isinstance(values, dict):
                raise self._wrong(section, f"unknown section; use {', '.join(_SECTIONS)}")
            for name in values:
                if name not in _SECTIONS[section]:
                    known = ", ".join(sorted(_SECTIONS[section]))
                    raise self._wrong(f"{section}.{name}", f"unknown key; use {known}")

    def _text(self, section: str, name: str) -> str:
        value = self._parsed.get(section, {}).get(name)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self._wrong(f"{section}.{name}", f'missing; write {name} = "…"')
        return value

    def _number(self, section: str, name: str, limit: int, default: int | None = None) -> int:
        value = self._parsed.get(section, {}).get(name, default)
        if type(value) is not int or not 0 < value <= limit:
            raise self._wrong(f"{section}.{name}", f"write a number from 1 to {limit}")
        return value

    def _address(self, name: str) -> Address | None:
        value = self._parsed.get("contracts", {}).get(name)
        if value is None:
            return None
        try:
            return Address.parse(value if isinstance(value, str) else "")
        except AmountError as error:
            raise self._wrong(f"contracts.{name}", str(error)) from None

    def _wrong(self, key: str, message: str) -> ConfigError:
        shown = "".join(c if c.isprintable() else "?" for c in key)
        return ConfigError(message, source=self._source, key=shown)
