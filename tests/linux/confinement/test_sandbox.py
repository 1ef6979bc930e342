# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Each right that a confined process keeps or loses; the control is the process before."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fs_tunnel.engine.pumps import HAS_NATIVE
from fs_tunnel.linux.confinement.capabilities import NET_ADMIN, NET_BIND_SERVICE
from tests.helper.asking import engine_pid
from tests.netns.served import Served, served
from tests.netns.topology import REPOSITORY, Namespace, pair

pytestmark = pytest.mark.netns

# This runs in a process of its own, and prints which of these actions succeed.
SCRIPT = """
import ctypes, json, os, socket, sys, threading
from pathlib import Path
from fs_tunnel.linux.confinement.sandbox import confine

home = Path(sys.argv[1])
is_confined = sys.argv[2] == "confined"
libc = ctypes.CDLL(None, use_errno=True)
opened = (home / "opened").open("w+")
sandbox = confine([home / "run" / "socket"], low_ports=False, nice=-10) if is_confined else None

def call(function, *arguments):
    if getattr(libc, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)

def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(can(function)))
    thread.start()
    thread.join()
    return found[0]

def can(function):
    try:
        function()
    except (OSError, RuntimeError):
        return False
    return True

def fork():
    if os.fork() == 0:
        os._exit(0)

def tcp():
    listener = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(listener.getsockname())

tried = {
    "read a secret": lambda: (home / "secret").read_text(),
    "write a file": lambda: (home / "new").write_text("x"),
    "remove a file": lambda: (home / "secret").unlink(),
    "rename a socket": lambda: (home / "run" / "other").rename(home / "run" / "moved"),
    "fork": fork,
    "start a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "speak TCP": tcp,
    "sniff": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "speak ICMP": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "change the host's name": lambda: socket.sethostname(socket.gethostname()),
    "read another's memory": lambda: call("ptrace", 0, 0, 0, 0),
    "mount": lambda: call("mount", b"none", bytes(str(home), "utf-8"), b"tmpfs", 0, None),
    "enter a namespace": lambda: call("unshare", 0x20000000),
    "lift its limits": lambda: __import__("resource").setrlimit(4, (0, 0)),
    "change its user": lambda: os.setresuid(65534, 65534, 0),
}
needed = {
    "mark a socket": lambda: socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7),
    "start a thread": lambda: in_a_thread(lambda: None) or 1 / 0,
    "import a module": lambda: __import__("wave"),
    "write what was open": lambda: opened.write("x") and opened.flush(),
    "remove its socket": lambda: (home / "run" / "socket").unlink(),
    "speak UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 0)),
}
print(json.dumps({
    "needed": {name: can(each) for name, each in needed.items()},
    "tried in a thread": {name: in_a_thread(each) for name, each in tried.items()}
    if is_confined else {},
    "tried": {name: can(each) for name, each in tried.items()},
    "sandbox": sandbox and sandbox._asdict(),
}))
"""


def attempt(folder: Path, how: str) -> dict[str, dict[str, bool]]:
    home = folder / how
    (home / "run").mkdir(parents=True)
    for name in ("secret", "run/socket", "run/other"):
        (home / name).write_text("x")
    with pair() as net:
        net.alice.ip("link", "set", "lo", "up")
        said = net.alice.run(
            *("unshare", "--mount", "--uts", sys.executable, "-c", SCRIPT, str(home), how),
            env={"PYTHONPATH": str(REPOSITORY)},
        )
    found = json.loads(said)
    assert isinstance(found, dict)
    return found


def test_a_confined_process_can_do_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    free, confined = attempt(tmp_path, "free"), attempt(tmp_path, "confined")
    assert all(free["tried"].values()), "the control: root can do it all"
    assert not any(confined["tried"].values())
    assert not any(confined["tried in a thread"].values())
    for each in (free, confined):
        assert all(each["needed"].values())
    assert confined["sandbox"]["seccomp"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    """A provider on a port that only a capability opens, and its client."""
    with served(tmp_path) as made:
        for conf in (made.conf, made.client.conf):
            text = conf.read_text().replace("= 51820", "= 443").replace(":51820", ":443")
            conf.write_text(text)
        made.serve("--wan", "wan")
        made.up()
        made.client.namespace.run("ping", "-n", "-c", "1", "-w", "10", "10.66.0.1")
        yield made


def tasks(pid: int) -> list[dict[str, str]]:
    return [
        dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]


def assert_confined(pid: int, capabilities: int) -> None:
    found = tasks(pid)
    for each in found:
        for kind in ("CapEff", "CapPrm", "CapBnd"):
            assert int(each[kind], 16) == capabilities
        assert int(each["CapInh"], 16) == int(each["CapAmb"], 16) == 0
        assert (each["NoNewPrivs"], each["Seccomp"]) == ("1", "2")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max core file size        0                    0 " in limits


def sandbox(scene: Served, where: Namespace) -> dict[str, Any]:
    name = scene.name if where is scene.provider else scene.client.name
    (tunnel,) = json.loads(scene.fs_tunnel(where, "status", "--json", name).out)["tunnels"]
    found = tunnel["sandbox"]
    assert isinstance(found, dict)
    return found


def test_every_thread_of_an_engine_is_confined(scene: Served) -> None:
    where = scene.client.namespace
    pid = engine_pid(scene, scene.client.name)
    assert_confined(pid, 1 << NET_ADMIN)
    said = sandbox(scene, where)
    assert (said["capabilities"], said["seccomp"]) == (["CAP_NET_ADMIN"], True)


def test_a_low_port_costs_one_capability_more(scene: Served) -> None:
    pid = engine_pid(scene, scene.name)
    assert ":443 " in scene.provider.run("ss", "-lunH")
    assert_confined(pid, 1 << NET_ADMIN | 1 << NET_BIND_SERVICE)
    kept = ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]
    assert sandbox(scene, scene.provider)["capabilities"] == kept


def test_an_engine_has_its_packet_threads(scene: Served) -> None:
    """Otherwise, the tests above would have looked at one thread alone."""
    pid = engine_pid(scene, scene.client.name)
    if HAS_NATIVE:
        assert len(tasks(pid)) >= 2


# This sends a request to a socket as another user, and prints the answer.
STRANGER = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(10)
if sys.argv[2] == "stranger":
    os.setresuid(65534, 65534, 65534)
sock.connect(sys.argv[1])
try:
    sock.sendall(sys.argv[3].encode().replace(b"|", b"\\n"))
    print(sock.recv(4096))
except ConnectionError:
    print(b"")
"""


def test_an_engine_obeys_root_alone_whatever_the_mode_of_its_sockets(scene: Served) -> None:
    name = scene.client.name
    uapi = Path("/var/run/wireguard") / f"{name}.sock"
    control = scene.folder / "run" / f"{name}.control"
    for folder in (scene.folder, *scene.folder.parents[:2], control.parent, uapi.parent):
        folder.chmod(0o755)
    for path, question in ((uapi, "get=1||"), (control, '{"op": "status"}|')):
        path.chmod(0o666)
        answers = [
            scene.web.run(sys.executable, "-c", STRANGER, str(path), who, question).strip()
            for who in ("root", "stranger")
        ]
        assert len(answers[0]) > 100, "the control: root is answered"
        assert answers[1] == "b''"
