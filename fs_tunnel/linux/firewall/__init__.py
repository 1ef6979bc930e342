# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""nftables: the rules of clients, of providers and of lockdown."""
