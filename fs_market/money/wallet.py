# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The keys of accounts: a wallet's key, and session keys.

A wallet's key is in an encrypted keystore, and moves money when its owner types the password.  A
*session key* is made for one channel, and can spend only that channel's deposit.  It is in a plain
file beside the keystore.

A keystore has the form that wallets exchange: Web3 Secret Storage, version 3, with scrypt.
"""

import asyncio
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from fs_market import recursion_limit_kept
from fs_market.chain.answers import check_depth_untrusted
from fs_market.chain.fees import Fees
from fs_market.chain.transactions import Call, Signed
from fs_market.core.wire import rlp
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.signatures import V_OFFSET, SigningKey
from fs_market.errors import MalformedAnswer, WalletError, WrongPassword

SECRET_LEN = 32
_TYPE = b"\x02"  # of a transaction with a cap on its fee
_SCRYPT_N = 2**18  # each guess takes 256 MiB and most of a second
_MAX_SCRYPT_N = 2**20  # for a keystore of another program: 1 GiB
_MAX_KEYSTORE = 64 << 10  # bytes
_NO_KEY = "this is not a private key; copy 64 hexadecimal digits"


class Wallet:
    """An unlocked account, which can move the money."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        """``secret`` is 32 bytes; raise WalletError if it is no key of secp256k1."""
        try:
            self._key = SigningKey(secret)
        except ValueError:
            raise WalletError(_NO_KEY) from None

    @property
    def address(self) -> Address:
        """The address of the account."""
        return self._key.address

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes; return r ‖ s ‖ v, 65 bytes."""
        return self._key.sign(digest)

    def sign_transaction(
        self, chain_id: int, call: Call, gas: int, nonce: int, fees: Fees
    ) -> Signed:
        """Sign a transaction of type 2, which only this chain accepts.

        Source: EIP-1559 and EIP-2718.
        """
        receiver = call.receiver.raw if call.receiver is not None else b""
        fields: list[rlp.Item] = [chain_id, nonce, fees.tip, fees.limit, gas]
        fields += [receiver, call.value, call.data, ()]
        signature = self._key.sign(keccak(_TYPE + rlp.encode(fields)))
        r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
        raw = _TYPE + rlp.encode([*fields, signature[64] - V_OFFSET, r, s])
        return Signed(raw, keccak(raw), fees)

    def __repr__(self) -> str:
        return f"Wallet({self.address}, hidden)"


def parse_secret(text: str) -> bytes:
    """Parse the 64 hexadecimal digits of a private key, with or without 0x, into 32 bytes.

    Raise WalletError for any other text.
    """
    digits = text.strip().removeprefix("0x")
    try:
        secret = bytes.fromhex(digits) if digits.isalnum() else b""
    except ValueError:
        secret = b""
    if len(secret) != SECRET_LEN:
        raise WalletError(_NO_KEY)
    return secret


async def create(path: Path, secret: bytes, password: str) -> Wallet:
    """Write a keystore that only its owner can read; raise WalletError if the file exists."""
    wallet = Wallet(secret)
    keystore = await asyncio.to_thread(
        _library().create_keyfile_json, secret, password.encode(), 3, "scrypt", _SCRYPT_N
    )
    await asyncio.to_thread(write_once, path, json.dumps(keystore).encode() + b"\n")
    return wallet


def address_of(path: Path) -> Address:
    """Return the address that a keystore claims; this needs no password.

    Raise WalletError if the file is no keystore, or has no address.
    """
    address = _read(path).get("address")
    if not isinstance(address, str):
        raise WalletError(f"{path} has no address; import its key again")
    return Address.parse("0x" + address.lower().removeprefix("0x"))


async def unlock(path: Path, password: str) -> Wallet:
    """Open a keystore.

    Raise WrongPassword if the password does not open it, and WalletError if it is no keystore.
    """
    secret = await open_keystore(path, password)
    return Wallet(secret)


async def open_keystore(path: Path, password: str) -> bytes:
    """Return the 32-byte secret of a keystore; errors as in ``unlock``."""
    keystore = _read(path)
    try:
        return await asyncio.to_thread(_library().decode_keyfile_json, keystore, password.encode())
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        # The library's own text may quote the input, so the message does not show it.
        if "MAC" in str(error):
            raise WrongPassword(f"the password does not open {path}; try again") from None
        raise WalletError(f"{path} is no keystore of version 3; name another file") from None


class SessionKeys:
    """The session keys of open channels, one in each file.

    With them, the client pays without a password.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, secret: bytes) -> SigningKey:
        """Write down a key before its channel is opened; raise WalletError if that fails."""
        key = SigningKey(secret)
        write_once(self._path(key.address), secret.hex().encode() + b"\n")
        return key

    def get(self, address: Address) -> SigningKey:
        """Return the key with this address; raise WalletError if it is not here.

        Without its key, a channel can pay nothing more.
        """
        try:
            return SigningKey(parse_secret(self._path(address).read_text("ascii")))
        except (OSError, UnicodeDecodeError):
            raise WalletError(
                f"the session key {address} is not in {self._directory}; close its channel"
            ) from None

    def remove(self, address: Address) -> None:
        """Delete the key of a closed channel."""
        self._path(address).unlink(missing_ok=True)

    def _path(self, address: Address) -> Path:
        return self._directory / f"{address.raw.hex()}.key"


def write_once(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, completely or not at all.

    Raise WalletError if the file exists, or cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise WalletError(f"{path}: {error.strerror}; name another file") from None


def _library() -> ModuleType:
    """Import the library for keystores; this takes half a second, and most commands open none."""
    with recursion_limit_kept():
        from eth_keyfile import keyfile  # noqa: PLC0415
    return keyfile


def _exists(path: Path) -> WalletError:
    return WalletError(
        f"{path} exists, and keys are never overwritten; name another file or folder"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_KEYSTORE + 1)
        check_depth_untrusted(raw)
        parsed = json.loads(raw)
    except OSError as error:
        raise WalletError(
            f"{path}: {error.strerror}; make one with fs-tunnel wallet create"
        ) from None
    except (ValueError, MalformedAnswer):
        parsed = None
    if len(raw) > _MAX_KEYSTORE or not isinstance(parsed, dict):
        raise WalletError(f"{path} is no keystore; name another file")
    # Wallets write the names of fields in either case; the library knows only lower case.
    keystore = {str(key).lower(): value for key, value in parsed.items()}
    _check_cost(path, keystore)
    return keystore


def _check_cost(path: Path, keystore: dict[str, Any]) -> None:
    """Raise WalletError if a keystore of another program asks for too much memory or time."""
    crypto = keystore.get("crypto")
    params = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(params, dict):
        raise WalletError(f"{path} is no keystore; name another file")
    cost = params.get("n", 1)
    rounds = params.get("c", 1)
    width = params.get("r", 1), params.get("p", 1)
    is_bounded = (
        isinstance(cost, int)
        and cost <= _MAX_SCRYPT_N
        and isinstance(rounds, int)
        and rounds <= 10_000_000
        and all(isinstance(each, int) and 0 < each <= 8 for each in width)
    )
    if not is_bounded:
        raise WalletError(f"{path} asks for too much memory; name another file")
