# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a bare system must know about this machine's network: proxies, indexes, certificates.

It is read from the machine's apt, pip, npm and environment when a system is made, and written into
that system alone.  Folders of this machine are left out, since the system does not have them.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

CERTIFICATES = Path("etc/fresh")
_APT = re.compile(r'^(Acquire::(?:https?::|Check-|Retries).*?) "(.+)";$')
_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy", "cert", "timeout", "retries")
_NPM = ("registry", "cafile", "proxy", "https-proxy", "noproxy", "strict-ssl")
_PATH_OF_CERTIFICATES = {"cert", "cafile"}


def files(environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return what to write into a bare system, by path below its root."""
    written: dict[str, bytes] = {}
    apt = apt_settings(_said("apt-config", "dump"), environment)
    pip = pip_settings(_said(sys.executable, "-m", "pip", "config", "list"), environment)
    npm = npm_settings(_said("npm", "config", "get", *_NPM))
    apt = [(key, _certificate(key, value, written)) for key, value in apt]
    pip = {key: _certificate(key, value, written) for key, value in pip.items()}
    npm = {key: _certificate(key, value, written) for key, value in npm.items()}
    written["etc/apt/apt.conf.d/90machine"] = _lines(f'{key} "{value}";' for key, value in apt)
    written["etc/pip.conf"] = _lines(["[global]", *(f"{key} = {pip[key]}" for key in pip)])
    written["root/.npmrc"] = _lines(f"{key}={npm[key]}" for key in npm)
    return written


def apt_settings(said: str, environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what apt has to know, by what ``apt-config dump`` says and by the environment."""
    found = [match.groups() for line in said.splitlines() if (match := _APT.match(line))]
    settings = [(str(key), str(value)) for key, value in found]
    for scheme in ("http", "https"):
        key, proxy = f"Acquire::{scheme}::Proxy", environment.get(f"{scheme}_proxy")
        if proxy and key not in dict(settings):
            settings.append((key, proxy))
    return settings


def pip_settings(said: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what pip has to know, by what ``pip config list`` says and by the environment."""
    found: dict[str, str] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        # The environment is in the list, first; it counts most.
        key = name.removeprefix(":env:").split(".")[-1].removeprefix("default-")
        if key in _PIP:
            found.setdefault(key, str(ast.literal_eval(value)))
    if (proxy := environment.get("https_proxy")) and "proxy" not in found:
        found["proxy"] = proxy
    for key in ("index-url", "extra-index-url"):
        if key in found:
            urls = [url for url in found.pop(key).split() if not url.startswith(("file:", "/"))]
            found |= {key: " ".join(urls)} if urls else {}
    return found


def npm_settings(said: str) -> dict[str, str]:
    """Return what npm has to know, by what ``npm config get`` says."""
    pairs = [line.partition("=") for line in said.splitlines()]
    return {key: value for key, _, value in pairs if key in _NPM and value not in ("null", "")}


def _certificate(key: str, value: str, written: dict[str, bytes]) -> str:
    """Give the system a copy of a file of certificates, and return its path there."""
    path = Path(value)
    is_one = key in _PATH_OF_CERTIFICATES or key.lower().endswith("cainfo")
    if not is_one or not path.is_file():
        return value
    copy = CERTIFICATES / path.name
    written[str(copy)] = path.read_bytes()
    return f"/{copy}"


def _said(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", env=os.environ
        )
    except FileNotFoundError:
        return ""
    return done.stdout


def _lines(lines: Iterable[str] | Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
