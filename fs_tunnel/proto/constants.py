# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The numbers of WireGuard: those of the specification, and those of this implementation.

Specification constants must be the same at every peer (paper, sections 5.4 and 6); implementation
constants may differ between peers without harm.  Times are seconds.
"""

# Specification constants: section 5.4, message construction.
CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
LABEL_MAC1 = b"mac1----"
LABEL_COOKIE = b"cookie--"

# Specification constants: section 6.1, timers.
REKEY_AFTER_MESSAGES = 2**60
REJECT_AFTER_MESSAGES = 2**64 - 2**13 - 1
REKEY_AFTER_TIME = 120.0
REJECT_AFTER_TIME = 180.0
REKEY_ATTEMPT_TIME = 90.0
REKEY_TIMEOUT = 5.0
KEEPALIVE_TIMEOUT = 10.0
COOKIE_LIFETIME = 120.0

# Derived: when an initiator that only receives asks for fresh keys, and when keys are erased.
REKEY_WHEN_RECEIVING_AFTER = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT
ERASE_KEYS_AFTER = 3 * REJECT_AFTER_TIME
NEW_HANDSHAKE_AFTER = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT
MAX_HANDSHAKE_ATTEMPTS = int(REKEY_ATTEMPT_TIME / REKEY_TIMEOUT)

# Implementation constants: those of the Linux driver, unless a comment says otherwise.
JITTER_MILLISECONDS = 334  # a retransmission is delayed by a random time below this
PADDING_MULTIPLE = 16
MIN_INITIATION_INTERVAL = 1 / 50  # an initiation sooner after the peer's latest is dropped
MIN_CALL_INTERVAL = 0.1  # ours: a call sooner after our latest initiation is not sent
CALL_ANSWERED_FOR = 10.0  # ours: an older session may lead nowhere, and a call goes out again
MAX_STAGED_PACKETS = 128  # packets of one peer that wait for its handshake
HANDSHAKES_AT_ONCE = 64  # ours: handshake messages that one turn takes from the packet path
MAX_QUEUED_HANDSHAKES = 4096  # handshake messages that wait for the CPU
LOADED_ABOVE_QUEUED = MAX_QUEUED_HANDSHAKES // 8  # with so many waiting, cookies are demanded
LOADED_FOR = 1.0  # cookies are demanded for so long after the queue became shorter
