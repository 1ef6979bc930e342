# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program in folders that only root can enter, and what it opens there without being root."""
