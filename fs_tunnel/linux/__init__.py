# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Changes to this host, as data that commands can do and undo; and the TUN device."""
