# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client: it finds providers, buys places, pays for them, and moves to a standby."""
