# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The market without IO: ``wire`` has the bytes, ``money`` the amounts, ``session`` both sides."""
