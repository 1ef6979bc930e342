# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every parser of bytes from a network or a user, against bytes that nobody planned."""
