# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Logs for programs: one object for each line, for any content."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.observe.logs import JsonFormatter, is_json, set_up
from fs_wire.errors import UsageError
from tests.netns.served import served
from tools.testing import patience


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers.copy(), logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


def record(message: str, *values: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("part").makeRecord(
        "part", logging.WARNING, "file.py", 7, message, values, None, extra=extra
    )


@given(st.text(), st.text(), st.text(max_size=3))
def test_a_record_is_one_line_whatever_it_holds(message: str, value: str, more: str) -> None:
    line = JsonFormatter(program="fs-wg").format(record("%s", message, customer=value, many=more))
    assert len(line.splitlines()) == 1
    entry = json.loads(line)
    assert set(entry) == {"time", "level", "part", "message", "fields"}
    assert (entry["level"], entry["part"], entry["message"]) == ("warning", "part", message)
    assert entry["fields"] == {"program": "fs-wg", "customer": value, "many": more}


def test_the_time_is_that_of_rfc_3339() -> None:
    made = record("x")
    made.created = 1_700_000_000.1234
    (time,) = {json.loads(JsonFormatter().format(made))["time"]}
    assert time == "2023-11-14T22:13:20.123Z"
    assert datetime.fromisoformat(time).timestamp() == pytest.approx(made.created, abs=0.001)


def test_of_an_exception_the_type_and_place_are_told_but_not_what_it_quotes() -> None:
    made = record("it failed")
    try:
        raise ValueError("a secret")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonFormatter().format(made)
    fields = json.loads(line)["fields"]
    assert fields["exception"] == "ValueError"
    assert re.fullmatch(r"test_logs\.py:\d+", fields["at"])
    assert "a secret" not in line


def test_what_json_has_no_words_for_is_written_as_text() -> None:
    line = JsonFormatter().format(record("x", path=Path("/a")))
    assert json.loads(line)["fields"] == {"path": "/a"}


@pytest.mark.parametrize(("chosen", "expected"), [(None, False), ("text", False), ("json", True)])
def test_the_environment_chooses(
    chosen: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FS_TUNNEL_LOG", raising=False)
    if chosen is not None:
        monkeypatch.setenv("FS_TUNNEL_LOG", chosen)
    assert is_json() is expected
    stream = StringIO()
    set_up(logging.StreamHandler(stream), logging.WARNING, "%(message)s", program="fs-wg")
    logging.getLogger("part").warning("hello")
    logging.getLogger("part").info("nobody wants to know")
    (line,) = stream.getvalue().splitlines()
    assert (json.loads(line)["message"] if expected else line) == "hello"


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FS_TUNNEL_LOG", "xml")
    with pytest.raises(UsageError, match="set it to text or json"):
        is_json()


def fs_tunnel(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fs_tunnel.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


@pytest.mark.parametrize("way", ["option", "environment"])
def test_an_error_of_a_command_is_an_object(way: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.conf")
    if way == "option":
        done = fs_tunnel("--log-format", "json", "config", "check", missing)
    else:
        done = fs_tunnel("config", "check", missing, FS_TUNNEL_LOG="json")
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["fields"]["program"]) == ("error", "fs-tunnel")
    assert entry["fields"]["exit_code"] == done.returncode == 2
    assert missing in entry["message"]


def test_a_warning_is_an_object_beside_the_output(tmp_path: Path) -> None:
    conf = tmp_path / "wg0.conf"
    key = fs_tunnel("genkey").stdout.strip()
    conf.write_text(f"[Interface]\nPrivateKey = {key}\nAddress = 10.66.0.2/24\n")
    conf.chmod(0o644)
    done = fs_tunnel("--log-format", "json", "config", "check", str(conf))
    assert "well-formed" in done.stdout
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["level"] == "warning"
    assert key not in line


def test_a_wrong_word_in_the_environment_is_told_in_text() -> None:
    done = fs_tunnel("genkey", FS_TUNNEL_LOG="xml")
    assert done.returncode == 2
    assert done.stderr == "fs-tunnel: error: FS_TUNNEL_LOG is 'xml'; set it to text or json\n"


@pytest.mark.netns
def test_an_engine_logs_objects_without_keys_and_addresses(tmp_path: Path) -> None:
    with served(tmp_path) as scene:
        scene.serve()
        client, log = scene.client, tmp_path / "log"
        with log.open("wb") as stream:
            engine = client.namespace.start(
                *scene.command("-f", client.name, module="fs_tunnel.cli.fs_wg"),
                env={**scene.env, "FS_TUNNEL_LOG": "json", "LOG_LEVEL": "info"},
                stderr=stream,
            )
            name = client.name
            conf = tmp_path / "wg.conf"
            text = client.conf.read_text()
            conf.write_text("".join(f"{x}\n" for x in text.splitlines() if "Address" not in x))
            client.namespace.run(
                "sh", "-c", f"until [ -S /var/run/wireguard/{name}.sock ]; do sleep 0.05; done"
            )
            client.namespace.run("wg", "setconf", name, str(conf))
            client.namespace.ip("address", "add", f"{client.v4}/24", "dev", name)
            client.namespace.ip("link", "set", name, "up")
            client.namespace.run("ping", "-c", "1", "-W", "10", "10.66.0.1")
            client.namespace.ip("link", "delete", name)
            assert engine.wait(patience.seconds(20)) == 0
        said = log.read_text()
        entries = [json.loads(line) for line in said.splitlines()]
        assert "the interface was deleted" in {entry["message"] for entry in entries}
        for entry in entries:
            assert entry["fields"] == {"program": "fs-wg", "tunnel": name}
        hidden = (
            client.keys.private,
            client.keys.public,
            scene.keys.public,
            "198.51.100",
            "10.66.",
        )
        assert [each for each in hidden if each in said] == []
