# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The chain: reads from its chain nodes, contracts, and transactions."""
