# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Confine a process: it gives up capabilities, system calls and files."""
