# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How the tests of this project run: each scene in a room of its own, several at once."""
