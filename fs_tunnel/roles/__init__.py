# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What each face of the program does; the verbs in ``cli`` call it."""
