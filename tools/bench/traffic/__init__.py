# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a tunnel carries, how fast it starts, and what it costs the machine."""
