# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node: its view of the chain, the page's orders, and sign-in."""
