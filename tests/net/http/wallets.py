# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Wallets that sign, and the recovery of the signer, without a market."""

import os

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount


def wallet(secret: bytes | None = None) -> LocalAccount:
    account: LocalAccount = Account.from_key(secret or os.urandom(32))
    return account


def personal_sign(account: LocalAccount, message: str) -> str:
    """Sign as wallets in browsers do (EIP-191)."""
    return "0x" + bytes(account.sign_message(encode_defunct(text=message)).signature).hex()


def recover(message: bytes, signature: bytes) -> bytes:
    """The port ``Recover``, implemented with another library."""
    try:
        signer = Account.recover_message(encode_defunct(message), signature=signature)
    except Exception as error:
        raise ValueError from error
    return bytes.fromhex(signer[2:])
