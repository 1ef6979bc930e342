# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The source of a connection or a request, by which strangers are counted.

Ids cost nothing, but addresses do. A source is an IPv4 address or an IPv6 /64, because one host may
have a whole /64 (RFC 6177).
"""

from ipaddress import ip_address, ip_network

_PREFIX = 64  # bits of an IPv6 address


def source_of(host: str) -> str:
    """Return the source of an address; anything that is not an IP address is its own source."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ip_network((address, _PREFIX), strict=False))
