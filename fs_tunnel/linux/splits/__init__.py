# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run programs inside or outside of a tunnel, for ``fs-tunnel run``."""
