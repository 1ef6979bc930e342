# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make bench``: the speed and the cost of the tunnel beside other programs, on one machine.

Programs take turns between two namespaces that a veth joins. The bench shows medians of several
rounds, and judges ratios. Don't compare figures of different runs.
"""
