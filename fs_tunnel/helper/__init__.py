# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The helper: a small process that runs as root beside each tunnel, and cleans up after it."""
