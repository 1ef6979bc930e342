# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Call methods of services on the system's D-Bus.

The address is DBUS_SYSTEM_BUS_ADDRESS, or the well-known socket (D-Bus specification, "System
message bus").
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from jeepney import DBusAddress, DBusErrorResponse, Message, message_bus, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.bus import get_bus
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket
from jeepney.wrappers import unwrap_msg

from fs_wire.errors import SystemChangeError

_DEADLINE = 10.0  # seconds
_NO_SERVICE = frozenset(
    f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner")
)
# RuntimeError: jeepney does not know this kind of address.
_NO_BUS = (OSError, RuntimeError, AuthenticationError)


class ServiceGone(SystemChangeError):
    """No service has that name, or there is no bus at all."""


class Refused(SystemChangeError):
    """A service answered with the error ``name``."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)


class Service(NamedTuple):
    """A service's main object; ``remedy`` ends the messages of its errors."""

    name: str
    path: str
    interface: str
    remedy: str


class _Connection(DBusConnection):  # type: ignore[misc]  # jeepney has no types
    """A connection with a deadline for every wait, the greeting included."""

    def receive(self, *, timeout: float | None = None) -> Message:
        return super().receive(timeout=_DEADLINE if timeout is None else timeout)


def is_served(service: Service) -> bool:
    """Whether a process has that name; the question starts none."""
    try:
        with _connect() as connection:
            (has_owner,) = Proxy(message_bus, connection).NameHasOwner(service.name)
            return bool(has_owner)
    except (*_NO_BUS, DBusErrorResponse):
        return False


class Caller:
    """A conversation with one service."""

    def __init__(self, service: Service, connection: _Connection) -> None:
        self._service = service
        self._connection = connection

    def call(self, method: str, signature: str = "", *arguments: Any) -> tuple[Any, ...]:
        """Call a method and return what it returns; ServiceGone, Refused, SystemChangeError."""
        service = self._service
        address = DBusAddress(service.path, service.name, service.interface)
        message = new_method_call(address, method, signature or None, arguments)
        try:
            reply = self._connection.send_and_get_reply(message)
            return tuple(unwrap_msg(reply))
        except DBusErrorResponse as error:
            said = f"{service.name} refused {method}: {_reason(error)}; {service.remedy}"
            if error.name in _NO_SERVICE:
                raise ServiceGone(said) from None
            raise Refused(error.name, said) from None
        except OSError as error:
            raise SystemChangeError(
                f"{service.name} did not answer {method} ({error}); {service.remedy}"
            ) from None


@contextmanager
def caller(service: Service) -> Iterator[Caller]:
    """A conversation with ``service``; ServiceGone if there is no bus."""
    try:
        connection = _connect()
    except _NO_BUS as error:
        raise ServiceGone(
            f"the system's D-Bus cannot be reached ({error}); {service.remedy}"
        ) from None
    with connection:
        yield Caller(service, connection)


def _connect() -> _Connection:
    return _Connection(prep_socket(get_bus("SYSTEM"), timeout=_DEADLINE))


def _reason(error: DBusErrorResponse) -> str:
    """The service's message as one line; it is text of another program."""
    said = error.data[0] if error.data and isinstance(error.data[0], str) else error.name
    return " ".join(said.split())
