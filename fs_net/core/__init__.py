# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The network without IO: what providers announce, what is believed, and how full nodes agree."""
