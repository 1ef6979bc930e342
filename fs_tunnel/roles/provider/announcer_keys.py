# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The two Ed25519 keys that sign what a provider announces, in files beside its ``market.toml``."""

import os
from pathlib import Path

from nacl.signing import SigningKey

from fs_market.money.wallet import parse_secret, write_once
from fs_market.provider_settings import ProviderSettings
from fs_net.core.announcer import Keys
from fs_tunnel.console.questions import read_secret


class AnnouncerKeys:
    """Seeds of 64 hexadecimal digits. The next heartbeat key is in ``FILE.next``."""

    def __init__(self, folder: Path, sold: ProviderSettings) -> None:
        self._record = folder / sold.record_key_file
        self._heartbeat = folder / sold.heartbeat_key_file
        self._next = self._heartbeat.with_name(self._heartbeat.name + ".next")

    def read(self) -> Keys:
        """Both keys; UsageError or WalletError if one is missing, or is no key."""
        return Keys(_read(self._record), _read(self._heartbeat))

    def make(self) -> Keys:
        """Both keys; a missing key is made."""
        return Keys(_made(self._record), _made(self._heartbeat))

    def next_heartbeat(self) -> SigningKey:
        """The key that will replace the heartbeat key; the same until it does."""
        return _made(self._next)

    def use_next_heartbeat(self) -> None:
        """Make it the heartbeat key, once it is in the Registry."""
        self._next.replace(self._heartbeat)


def _made(file: Path) -> SigningKey:
    if not file.exists():
        write_once(file, os.urandom(32).hex().encode() + b"\n")
    return _read(file)


def _read(file: Path) -> SigningKey:
    return SigningKey(parse_secret(read_secret(file)))
