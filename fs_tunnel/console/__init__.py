# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The terminal: tables, questions, passwords, and files for their owner alone."""
