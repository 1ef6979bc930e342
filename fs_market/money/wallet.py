"""Keys of accounts, cold and hot.

A *cold* key lies in an encrypted keystore, and moves money when its owner types the password. A
*session* key is made for one channel, lies beside it, and can spend that deposit alone.

Keystores have the form that wallets exchange: Web3 Secret Storage, version 3, with scrypt.
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
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MalformedAnswer, WalletError, WrongPassword

SECRET_LEN = 32
_SCRYPT_N = 2**18  # 256 MiB and most of a second for each guess
_MAX_SCRYPT_N = 2**20  # of a keystore that comes from elsewhere: 1 GiB
_MAX_KEYSTORE = 64 << 10  # bytes


class Wallet:
    """An unlocked account; whoever holds it can move the money."""

    __slots__ = ("_key", "_secret")

    def __init__(self, secret: bytes) -> None:
        """``secret`` is 32 bytes; WalletError where it is no key of the curve."""
        try:
            self._key = SigningKey(secret)
        except ValueError:
            raise WalletError("that is no private key; copy 64 hexadecimal digits") from None
        self._secret = secret

    @property
    def address(self) -> Address:
        return self._key.address

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r ‖ s ‖ v, 65 bytes."""
        return self._key.sign(digest)

    def sign_transaction(
        self, chain_id: int, call: Call, gas: int, nonce: int, fees: Fees
    ) -> Signed:
        """A transaction of type 2 (EIP-1559), for this chain alone."""
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": fees.limit,
            "maxPriorityFeePerGas": fees.tip,
            "value": call.value,
            "data": call.data,
        }
        if call.receiver is not None:
            fields["to"] = str(call.receiver)
        # It takes half a second; a chain that it can be sent to has imported it.
        with recursion_limit_kept():
            from eth_account import Account  # noqa: PLC0415

        signed = Account.sign_transaction(fields, self._secret)
        return Signed(bytes(signed.raw_transaction), bytes(signed.hash), fees)

    def __repr__(self) -> str:
        return f"Wallet({self.address}, hidden)"


def parse_secret(text: str) -> bytes:
    """The 64 hexadecimal digits of a private key, with or without 0x; WalletError else."""
    digits = text.strip().removeprefix("0x")
    try:
        secret = bytes.fromhex(digits) if digits.isalnum() else b""
    except ValueError:
        secret = b""
    if len(secret) != SECRET_LEN:
        raise WalletError("that is no private key; copy 64 hexadecimal digits")
    return secret


async def create(path: Path, secret: bytes, password: str) -> Wallet:
    """Write a keystore that only its owner can read; WalletError where there is one already."""
    wallet = Wallet(secret)
    keystore = await asyncio.to_thread(
        _library().create_keyfile_json, secret, password.encode(), 3, "scrypt", _SCRYPT_N
    )
    await asyncio.to_thread(write_once, path, json.dumps(keystore).encode() + b"\n")
    return wallet


def address_of(path: Path) -> Address:
    """Whose keystore it is, as it says itself, without the password."""
    address = _read(path).get("address")
    if not isinstance(address, str):
        raise WalletError(f"{path} does not say its address; unlock it, or import it anew")
    return Address.parse("0x" + address.lower().removeprefix("0x"))


async def unlock(path: Path, password: str) -> Wallet:
    """Open a keystore; WrongPassword where the password does not."""
    secret = await open_keystore(path, password)
    return Wallet(secret)


async def open_keystore(path: Path, password: str) -> bytes:
    """The secret in a keystore of this program, or of another wallet."""
    keystore = _read(path)
    try:
        return await asyncio.to_thread(_library().decode_keyfile_json, keystore, password.encode())
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        # Its own text may quote what was given; "MAC mismatch" is all that is told apart.
        if "MAC" in str(error):
            raise WrongPassword(f"the password does not open {path}; try again") from None
        raise WalletError(f"{path} is no keystore of version 3; name another file") from None


class SessionKeys:
    """Keys of channels that are in use, a file each: what pays while nobody types a password."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, secret: bytes) -> SigningKey:
        """Keep a key before the channel is opened that it will sign for."""
        key = SigningKey(secret)
        write_once(self._path(key.address), secret.hex().encode() + b"\n")
        return key

    def get(self, address: Address) -> SigningKey:
        """WalletError where it is not here: then nothing more can be paid with that channel."""
        try:
            return SigningKey(parse_secret(self._path(address).read_text("ascii")))
        except (OSError, UnicodeDecodeError):
            raise WalletError(
                f"the session key {address} is not in {self._directory}; close its channel"
            ) from None

    def remove(self, address: Address) -> None:
        """Forget the key of a channel that is closed for good."""
        self._path(address).unlink(missing_ok=True)

    def _path(self, address: Address) -> Path:
        return self._directory / f"{address.raw.hex()}.key"


def write_once(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all, and never in place of another."""
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
    """What encrypts keystores. It takes half a second, and most commands open none."""
    with recursion_limit_kept():
        from eth_keyfile import keyfile  # noqa: PLC0415
    return keyfile


def _exists(path: Path) -> WalletError:
    return WalletError(f"{path} exists, and keys are never overwritten; name another file")


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
    # Keys are written in either case by wallets; the library knows lower case alone.
    keystore = {str(key).lower(): value for key, value in parsed.items()}
    _check_cost(path, keystore)
    return keystore


def _check_cost(path: Path, keystore: dict[str, Any]) -> None:
    """A file from elsewhere must not ask for all memory."""
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
