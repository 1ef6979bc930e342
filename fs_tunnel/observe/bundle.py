# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Pack a diagnosis into one archive, with pseudonyms for what identifies somebody."""

import io
import json
import tarfile
from typing import Any

from fs_tunnel.observe.diagnosis import Gathered
from fs_tunnel.observe.redaction import Redactor


def pack(gathered: Gathered, *, key: bytes, folder: str) -> bytes:
    """A gzipped tar of ``folder``; forget ``key``, which makes the pseudonyms, afterwards."""
    redactor = Redactor(key, gathered.names)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in sorted(gathered.files.items()):
            text = redactor.text(content) if isinstance(content, str) else _json(redactor, content)
            data = text.encode(errors="backslashreplace")
            member = tarfile.TarInfo(f"{folder}/{redactor.text(name)}")
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _json(redactor: Redactor, value: Any) -> str:
    return json.dumps(redactor.value(value), indent=1) + "\n"
