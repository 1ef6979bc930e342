# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the bench makes of its readings: targets, verdicts, tables and pictures."""
