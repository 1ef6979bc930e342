# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Money without IO: units, prices, vouchers, credit windows and the books of both sides."""
