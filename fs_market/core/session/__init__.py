# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A paid session without IO: its two sides, their states, and the events for the shells."""
