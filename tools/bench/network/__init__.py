# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a full node carries: heartbeats, providers, and questions to its API."""
