# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Observe tunnels from outside: logs, metrics and a diagnosis. No module here reads a secret."""
