# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program fs-tunnel: WireGuard in userspace, with client and provider in one program."""

__version__ = "0.2.0"
