# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Bytes of the market without IO: messages, records, what is signed, and signatures."""
