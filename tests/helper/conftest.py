# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""All of it runs from folders that only root can enter, as in root's own home."""

from tests.closed.fixtures import nothing_is_opened_without_root, opened

__all__ = ["nothing_is_opened_without_root", "opened"]
