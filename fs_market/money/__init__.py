# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Accounts and deposits: wallets, stakes, vouchers in the journal, and settlement."""
