# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The packet path: seals, opens, counts and limits packets, by the control plane's tables."""
