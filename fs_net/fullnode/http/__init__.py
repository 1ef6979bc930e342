# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node for people and programs: HTTP API and page over a ``Catalogue``."""
