"""Take out of a text what tells who somebody is, and leave what tells what went wrong.

Keys, addresses, MACs and known names become pseudonyms: the same thing has the same one throughout,
by an HMAC under a key that is thrown away, so that nobody can try out candidates.  In doubt more
is hidden: every long word of base64 is taken for a key, and whatever ``ipaddress`` reads as an
address, in any spelling, is one.
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
_RUN = re.compile(r"[0-9A-Fa-f:.]{2,}")  # of what addresses are written with
_LONGEST_ADDRESS = 45  # characters
_LONGEST_RUN = 400  # characters; a longer one is no text that people read
_SEARCH = re.compile(r"(?m)^((?:file:)?\s*(?:search|domain)[ \t]).*$")
_HOME = re.compile(r"(/home/)[^/\s\"']+")
# Addresses that are everybody's: defaults, halves, private and reserved networks as a whole, stubs.
_EVERYBODYS = """
    0.0.0.0 128.0.0.0 255.255.255.255 127.0.0.0 127.0.0.1 127.0.0.53 127.0.0.54 10.0.0.0 100.64.0.0
    169.254.0.0 172.16.0.0 192.168.0.0 192.0.0.0 192.0.2.0 192.88.99.0 198.18.0.0 224.0.0.0
    239.0.0.0 240.0.0.0 :: ::1 8000:: fc00:: fe80:: ff00:: ff02:: ff05:: ff02::1:2 100:: 2002::
    64:ff9b:: 64:ff9b:1:: ::ffff:0:0
"""
_KEPT = frozenset(map(ip_address, _EVERYBODYS.split()))


class Redactor:
    """Pseudonyms under ``key``; ``names`` are taken out, too, such as those of hosts."""

    def __init__(self, key: bytes, names: Iterable[str] = ()) -> None:
        self._key = key
        # The longest first: one may be part of another.
        words = sorted({re.escape(each) for each in names if each}, key=len, reverse=True)
        self._names = (
            re.compile(rf"(?i)(?<![\w-])(?:{'|'.join(words)})(?![\w-])") if words else None
        )

    def text(self, text: str) -> str:
        """``text`` without what is to be hidden."""
        text = _SEARCH.sub(r"\1(hidden)", text)
        text = _HOME.sub(r"\1(hidden)", text)
        if self._names is not None:
            text = self._names.sub(lambda m: self._pseudonym("name", m[0].lower().encode()), text)
        text = _LONG_WORD.sub(self._long_word, text)
        text = _MAC.sub(lambda m: self._pseudonym("mac", m[0].lower().encode()), text)
        return _RUN.sub(self._run, text)

    def value(self, value: Any) -> Any:
        """A JSON value, in whose every string, keys included, the same is done."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(name)): self.value(each) for name, each in value.items()}
            case list() | tuple():
                return [self.value(each) for each in value]
        return value

    def _pseudonym(self, kind: str, what: bytes) -> str:
        # Letters that no later step takes for a part of an address.
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
    """The longest address that begins at ``start``, and its end; else None and the next place."""
    for end in range(min(len(run), start + _LONGEST_ADDRESS), start + 1, -1):
        candidate = run[start:end]
        if candidate.count(":") < 2 and candidate.count(".") != 3:
            continue
        try:
            return ip_address(candidate), end
        except ValueError:
            continue
    return None, start + 1
