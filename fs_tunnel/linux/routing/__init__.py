# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Links, addresses, routes, rules and kernel parameters."""
