# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Types of what stands on a command line."""

import pwd
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import click

from fs_tunnel.linux.firewall.kill_switch import Inbound
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint, IPAddress, IPNetwork, parse_network


class Network(click.ParamType[IPNetwork]):
    """A network in CIDR form."""

    name = "CIDR"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPNetwork:
        try:
            return parse_network(value)
        except ValueError:
            self.fail(f"{value!r} is no network; write 192.0.2.0/24", param, ctx)


class User(click.ParamType[int]):
    """A user of this host, by name or number; its value is the number."""

    name = "USER"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            if isinstance(value, int) or value.isdecimal():
                return pwd.getpwuid(int(value)).pw_uid
            return pwd.getpwnam(value).pw_uid
        except (KeyError, OverflowError):
            self.fail(f"there is no user {value!r}; see getent passwd", param, ctx)


class Address(click.ParamType[IPAddress]):
    """An address of either IP version."""

    name = "ADDRESS"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPAddress:
        try:
            return ip_address(value)
        except ValueError:
            self.fail(f"{value!r} is no address; write 192.0.2.53", param, ctx)


class InboundParam(click.ParamType[Inbound]):
    """A network and a port: ``192.0.2.0/24:22`` or ``[2001:db8::/32]:22``."""

    name = "CIDR:PORT"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Inbound:
        network, _, port = value.rpartition(":")
        try:
            if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16):
                raise ValueError
            return Inbound(parse_network(network.removeprefix("[").removesuffix("]")), int(port))
        except ValueError:
            self.fail(f"{value!r} is no such place; write 192.0.2.7/32:22", param, ctx)


class Country(click.ParamType[bytes]):
    """A country's two letters of ISO 3166-1; its value is their bytes."""

    name = "COUNTRY"

    def convert(
        self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        if isinstance(value, bytes):
            return value
        if not (len(value) == 2 and value.isascii() and value.isalpha()):
            self.fail(f"{value!r} is no country; write its two letters: DE", param, ctx)
        return value.upper().encode()


class Percent(click.ParamType[int]):
    """A share: ``99%`` or ``99.9 %``; its value is parts of a million."""

    name = "PERCENT"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        number, sign, rest = value.partition("%")
        whole, _, decimals = number.strip().partition(".")
        digits = whole + decimals
        if not sign or rest or not whole or not (digits.isascii() and digits.isdigit()):
            self.fail(f"{value!r} is no share; write 99%", param, ctx)
        parts = int(f"{whole}{decimals[:4]:0<4}")
        if len(whole) > 3 or parts > 1_000_000:
            self.fail(f"{value!r} is more than all; write 99%", param, ctx)
        return parts


class EndpointParam(click.ParamType[Endpoint]):
    """An address and a port: ``127.0.0.1:9586`` or ``[::1]:9586``."""

    name = "ADDRESS:PORT"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Endpoint:
        try:
            return Endpoint.parse(value)
        except UsageError:
            self.fail(f"{value!r} is no such place; write 127.0.0.1:9586", param, ctx)


def joined_amount(words: Sequence[str]) -> str:
    """An amount and its unit, which are two words of a command line; UsageError for others."""
    if len(words) != 2:
        raise UsageError('write the amount with its unit, such as "5 USDC"')
    return " ".join(words)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON; its schema has a version."
    )(command)
