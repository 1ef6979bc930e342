# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The bytes that pass between programs, and their words: every other package may import this one.

``types`` and ``errors`` are the common vocabulary.  ``codec`` and ``schema`` make and check
records, ``uapi`` and ``control`` speak to an engine, and ``stun`` asks for a socket's outer
address.
"""
