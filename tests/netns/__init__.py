# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tests that run as root build their networks from these namespaces, links and engines."""
