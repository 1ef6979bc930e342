# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Errors for people and programs in the form of RFC 9457; ``detail`` holds the remedy."""

import json
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that becomes the answer to a request."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    @property
    def title(self) -> str:
        """The name that HTTP gives to the status."""
        return HTTPStatus(self.status).phrase

    @property
    def body(self) -> bytes:
        """The JSON object."""
        said = {"title": self.title, "status": self.status, "detail": self.detail}
        return json.dumps(said).encode()
