# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's settings: the section [provider] of its ``market.toml``.

[provider]
listen = "0.0.0.0:4700"             # clients negotiate here, outside of the tunnel
endpoint = "192.0.2.1:51820"        # clients reach the tunnel here
price = "0.05 USDC/GiB + 0.01 USDC/h"
key_file = "provider.key"           # the key of the account that is paid, and that pays for gas
node_key_file = "node.key"          # signs quotes and receipts

These keys are optional, with the default in brackets:

payment_port (4701)         the TCP port inside the tunnel, for payments
clients (250)               the number of clients at a time
window ("1 MiB")            the first credit window: a stranger may use this before a voucher
max_window ("256 MiB")      the largest credit window
tolerance_percent (1)       how much more than the client the provider may count
close_window ("1 h")        the close window, if the client closes the channel
min_deposit ("")            the smallest deposit, such as "0.01 USDC"
settle_above ("")           a smaller amount waits for settlement, such as "1 USDC"
transaction_cost ("")       the price of one transaction, in the token
rate ("0 B")                bytes per second for each client; 0: without limit

With a section [network], the provider's record says these, so that clients can find it:

country ("")                the country of the exit, such as "DE"
services (["exit"])         "exit", "relay", or both
refused_ports ([25])        ports such as 25, or ranges such as "135-139"
sales ("")                  the address for negotiations from outside, such as "192.0.2.1:4700";
                            without it, the address of ``listen``, or of ``endpoint``
relay (false)               true if a NAT hides the provider, so that a full node passes clients on
record_key_file ("record.key")          signs the record; ``fs-tunnel market announce`` makes it
heartbeat_key_file ("heartbeat.key")    signs heartbeats; the same command makes it
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

from fs_market.core.money.accounting import Increment
from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token, parse_bytes, parse_seconds
from fs_market.errors import AmountError
from fs_wire.errors import ConfigError, UsageError
from fs_wire.types import Endpoint

_T = TypeVar("_T")

_MAX_CLIENTS = 10_000
_MAX_WINDOW = 256 << 20  # bytes: a client accepts no more
_REQUIRED = ("listen", "endpoint", "price", "key_file", "node_key_file")
_DEFAULTS: dict[str, str | int | list[Any]] = {
    "payment_port": 4701,
    "clients": 250,
    "window": "1 MiB",
    "max_window": "256 MiB",
    "tolerance_percent": 1,
    "close_window": "1 h",
    "min_deposit": "",
    "settle_above": "",
    "transaction_cost": "",
    "rate": "0 B",
    "country": "",
    "services": ["exit"],
    "refused_ports": [25],
    "sales": "",
    "relay": False,
    "record_key_file": "record.key",
    "heartbeat_key_file": "heartbeat.key",
}
SERVICES = ("exit", "relay")
_MAX_REFUSED = 16
_WINDOW_SECONDS, _MAX_WINDOW_SECONDS = 5, 30


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """The section's values; amounts and prices are text, because their token is not known yet."""

    listen: Endpoint
    endpoint: Endpoint
    price: str
    key_file: str
    node_key_file: str
    payment_port: int
    clients: int
    increment: Increment
    tolerance_ppm: int
    close_window: int
    min_deposit: str
    settle_above: str
    transaction_cost: str
    rate: int
    country: str
    services: tuple[str, ...]
    refused_ports: tuple[tuple[int, int], ...]
    sales: Endpoint | None
    relay: bool
    record_key_file: str
    heartbeat_key_file: str

    @property
    def negotiates_at(self) -> tuple[Endpoint, ...]:
        """The TCP address for negotiations; none if only a full node passes clients on."""
        if self.sales is not None:
            return (self.sales,)
        if self.relay:
            return ()
        is_any = ip_address(self.listen.ip).is_unspecified
        return (Endpoint(self.endpoint.ip if is_any else self.listen.ip, self.listen.port),)

    def price_in(self, token: Token) -> Price:
        """Return the price in ``token``; raise AmountError if the text is no such price."""
        return Price.parse(self.price, token)

    def amounts_in(self, token: Token) -> tuple[int, int, int]:
        """Return ``min_deposit``, ``settle_above`` and ``transaction_cost`` in base units.

        Raise AmountError if a text is no amount of ``token``.
        """
        amounts = (self.min_deposit, self.settle_above, self.transaction_cost)
        deposit, above, cost = (token.parse(each).units if each else 0 for each in amounts)
        return max(1, deposit), max(1, above), cost


def parse_provider(section: Mapping[str, Any], source: str) -> ProviderSettings:
    """Parse a section; raise ConfigError with the key of a wrong value."""
    for name in section:
        if name not in (*_REQUIRED, *_DEFAULTS):
            known = ", ".join((*_REQUIRED, *_DEFAULTS))
            raise _wrong(source, name, f"unknown key; use {known}")
    for name in _REQUIRED:
        if not isinstance(section.get(name), str):
            raise _wrong(source, name, f'missing; write {name} = "…"')
    values = {**_DEFAULTS, **section}
    for name, default in _DEFAULTS.items():
        if type(values[name]) is not type(default):
            raise _wrong(source, name, f"wrong type; write a value such as {default!r}")
    reader = _Reader(values, source)
    window, most = reader.take("window", parse_bytes), reader.take("max_window", parse_bytes)
    for key, low, high in (
        ("payment_port", 1, 65535),
        ("clients", 1, _MAX_CLIENTS),
        ("tolerance_percent", 0, 5),
    ):
        if not low <= values[key] <= high:
            raise _wrong(source, key, f"write a number from {low} to {high}")
    if not 0 < window <= most <= _MAX_WINDOW:
        raise _wrong(source, "window", "write from 1 B to max_window, which is at most 256 MiB")
    return ProviderSettings(
        listen=reader.take("listen", Endpoint.parse),
        endpoint=reader.take("endpoint", Endpoint.parse),
        price=values["price"],
        key_file=values["key_file"],
        node_key_file=values["node_key_file"],
        payment_port=values["payment_port"],
        clients=values["clients"],
        increment=Increment(window, _WINDOW_SECONDS, most, _MAX_WINDOW_SECONDS),
        tolerance_ppm=values["tolerance_percent"] * 10_000,
        close_window=reader.take("close_window", parse_seconds),
        min_deposit=values["min_deposit"],
        settle_above=values["settle_above"],
        transaction_cost=values["transaction_cost"],
        rate=reader.take("rate", parse_bytes),
        country=reader.take("country", _country),
        services=reader.take("services", _services),
        refused_ports=reader.take("refused_ports", _ranges),
        sales=reader.take("sales", Endpoint.parse) if values["sales"] else None,
        relay=values["relay"],
        record_key_file=values["record_key_file"],
        heartbeat_key_file=values["heartbeat_key_file"],
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    values: Mapping[str, Any]
    source: str

    def take(self, name: str, parse: Callable[[Any], _T]) -> _T:
        """Return a parsed value; raise ConfigError if ``parse`` refuses it."""
        try:
            return parse(self.values[name])
        except UsageError as error:
            raise _wrong(self.source, name, str(error)) from None


def _country(text: str) -> str:
    is_code = len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()
    if text and not is_code:
        raise AmountError(f'{text!r} is not a code of ISO 3166-1; write two letters, such as "DE"')
    return text


def _services(listed: list[Any]) -> tuple[str, ...]:
    if not listed or any(each not in SERVICES for each in listed):
        raise AmountError(f"write one or more of {', '.join(SERVICES)}, in a list")
    return tuple(listed)


def _ranges(listed: list[Any]) -> tuple[tuple[int, int], ...]:
    if len(listed) > _MAX_REFUSED:
        raise AmountError(f"at most {_MAX_REFUSED} ranges fit into a record; join some")
    return tuple(map(_range, listed))


def _range(port: Any) -> tuple[int, int]:
    first, dash, last = str(port).partition("-")
    bounds = (first, last if dash else first)
    if type(port) not in (int, str) or not all(
        each.isascii() and each.isdigit() and len(each) < 6 for each in bounds
    ):
        raise AmountError('write ports such as [25, "135-139"]')
    low, high = map(int, bounds)
    if not 0 <= low <= high < 1 << 16:
        raise AmountError(
            f"{port} is not a range of ports; write the lower port first, and ports below 65536"
        )
    return low, high


def _wrong(source: str, name: str, message: str) -> ConfigError:
    return ConfigError(message, source=source, key=f"provider.{name}")
