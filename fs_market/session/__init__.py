# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Both agents of a paid session, their streams, and their sessions in the journal."""
