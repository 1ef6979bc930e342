# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Hide what identifies somebody in a text, and leave what shows the fault.

Keys, addresses, MACs and known names become pseudonyms.  A pseudonym is an HMAC, so the same thing
has the same one throughout.  The caller throws its key away, so nobody can try out candidates.  In
doubt, we hide more.  Every long word of base64 counts as a key.  Whatever ``ipaddress`` reads as an
address, in any spelling, counts as one.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

_LONG_WORD = re.compile(r"[A-Za-z0-9+/_-]{40,}=*")
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
_MAC = re.compile(r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])")
_RUN = re.compile(r"[0-9A-Fa-f:.]{2,}")  # the characters of addresses
_LONGEST_ADDRESS = 45  # characters
_LONGEST_RUN = 400  # characters; nobody reads a longer word
_SEARCH = re.compile(r"(?m)^((?:file:)?\s*(?:search|domain)[ \t]).*$")
_HOME = re.compile(r"(/home/)[^/\s\"']+")
# Addresses that identify nobody: defaults, halves, private and reserved networks, stubs.
_EVERYBODYS = """
    0.0.0.0 128.0.0.0 255.255.255.255 127.0.0.0 127.0.0.1 127.0.0.53 127.0.0.54 10.0.0.0 100.64.0.0
    169.254.0.0 172.16.0.0 192.168.0.0 192.0.0.0 192.0.2.0 192.88.99.0 198.18.0.0 224.0.0.0
    239.0.0.0 240.0.0.0 :: ::1 8000:: fc00:: fe80:: ff00:: ff02:: ff05:: ff02::1:2 100:: 2002::
    64:ff9b:: 64:ff9b:1:: ::ffff:0:0
"""
_KEPT = frozenset(map(ip_address, _EVERYBODYS.split()))


class Redactor:
    """Makes pseudonyms under ``key``; it hides ``names``, such as those of hosts, too."""

    def __init__(self, key: bytes, names: Iterable[str] = ()) -> None:
        self._key = key
        # The longest first: one name may be part of another.
        words = sorted({re.escape(each) for each in names if each}, key=len, reverse=True)
        self._names = (
            re.compile(rf"(?i)(?<![\w-])(?:{'|'.join(words)})(?![\w-])") if words else None
        )

    def text(self, text: str) -> str:
        """``text`` with pseudonyms."""
        text = _SEARCH.sub(r"\1(hidden)", text)
        text = _HOME.sub(r"\1(hidden)", text)
        if self._names is not None:
            text = self._names.sub(lambda m: self._pseudonym("name", m[0].lower().encode()), text)
        text = _LONG_WORD.sub(self._long_word, text)
        text = _MAC.sub(lambda m: self._pseudonym("mac", m[0].lower().encode()), text)
        return _RUN.sub(self._run, text)

    def value(self, value: Any) -> Any:
        """A JSON value with pseudonyms in every string, keys included."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(name)): self.value(each) for name, each in value.items()}
            case list() | tuple():
                return [self.value(each) for each in value]
        return value

    def _pseudonym(self, kind: str, what: bytes) -> str:
        # No later step takes these letters for a part of an address.
        digest = hmac.digest(self._key, kind.encode() + b"\0" + what, "sha256")
        letters = "".join("ghijkmnpqrstuvwx"[byte & 15] for byte in digest[:8])
        return f"<{kind}-{letters}>"

    def _long_word(self, match: re.Match[str]) -> str:
        word = match[0]
        if _HEX_KEY.fullmatch(word):
            return self._pseudonym("key", bytes.fromhex(word))
        if _BASE64_KEY.fullmatch(word):
            return self._pseudonym("key", base64.b64decode(word))
        return self._pseudonym("key", word.encode())

    def _run(self, match: re.Match[str]) -> str:
        run = match[0]
        if run.count(":") < 2 and run.count(".") < 3:
            return run
        if len(run) > _LONGEST_RUN:
            return self._pseudonym("run", run.encode())
        done, start = "", 0
        while start < len(run):
            address, end = _address_at(run, start)
            if address is None:
                done += run[start]
            elif address in _KEPT:
                done += run[start:end]
            else:
                mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
                done += self._pseudonym("ip", (mapped or address).packed)
            start = end
        return done


def _address_at(run: str, start: int) -> tuple[IPv4Address | IPv6Address | None, int]:
    """The longest address at ``start`` and its end; if there is none, None and the next start."""
    for end in range(min(len(run), start + _LONGEST_ADDRESS), start + 1, -1):
        candidate = run[start:end]
        if candidate.count(":") < 2 and candidate.count(".") != 3:
            continue
        try:
            return ip_address(candidate), end
        except ValueError:
            continue
    return None, start + 1
