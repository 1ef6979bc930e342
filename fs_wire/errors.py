# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The root of every error that FlowShield raises on purpose, and the shared errors.

FlowShieldError                 base; the message is one line and ends with the remedy
├── UsageError                  the user's command or arguments are wrong             (exit 2)
│   └── ConfigError             a configuration file is wrong: names file, line, key  (exit 2)
├── NotRunningError             the named tunnel is not up                            (exit 3)
├── PrivilegeError              the process lacks root, or a capability               (exit 4)
├── SystemChangeError           the host refused a change: link, route, firewall      (exit 1)
├── ControlError                the engine refused, or did not answer                 (exit 1)
└── Malformed                   a stranger's bytes have the wrong form                (exit 1)
"""


class FlowShieldError(Exception):
    """Base of all expected errors; a command ends with ``exit_code``."""

    exit_code = 1


class UsageError(FlowShieldError):
    """A command or an argument is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration cannot be used.

    ``source`` is the file's name, ``line`` counts from 1, and ``key`` is as the user wrote it.
    Each is None if it does not apply.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        self.source, self.line, self.key = source, line, key
        where = ":".join(str(part) for part in (source, line) if part is not None)
        parts = [part for part in (where, key, message) if part]
        super().__init__(": ".join(parts))


class NotRunningError(FlowShieldError):
    """The named tunnel is not up."""

    exit_code = 3


class PrivilegeError(FlowShieldError):
    """The operation needs root or a capability that this process lacks."""

    exit_code = 4


class SystemChangeError(FlowShieldError):
    """The host refused a change to links, addresses, routes, firewall or files."""


class ControlError(FlowShieldError):
    """An engine refused a request, or did not answer in time."""


class Malformed(FlowShieldError):
    """A stranger's bytes are not canonical, do not fit the schema, or are too long or too deep."""
