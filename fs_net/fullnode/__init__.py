# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node: it gathers what providers announce, and answers everybody who asks."""
