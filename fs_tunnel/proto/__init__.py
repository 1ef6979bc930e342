# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""WireGuard without sockets, clocks or randomness: callers pass all three in."""
