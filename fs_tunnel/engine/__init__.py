# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine: one process for each tunnel, which pumps packets and obeys two sockets."""
