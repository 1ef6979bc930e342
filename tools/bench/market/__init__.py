# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What paying costs: vouchers, sessions, a paid download, and gas on the chain."""
