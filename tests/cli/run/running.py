# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run programs beside the client of a scene, inside of its tunnel and outside of it."""

import os
import subprocess

from tests.netns.served import Finished, Served
from tools.testing import commands, patience

NOBODY = 65534
NEIGHBOUR = "198.51.100.1"
PING = ("ping", "-n", "-q", "-c", "1", "-W", "2")
WAITING = ("sh", "-c", "echo here; read line")


def command(scene: Served, *arguments: str, module: str = "fs_tunnel.cli.main") -> list[str]:
    """Not by ``ip netns exec``, which hides cgroups, and whose mounts are its own."""
    where = scene.client.namespace
    return ["nsenter", f"--net={where.path}", *scene.command(*arguments, module=module)]


def start(scene: Served, *arguments: str) -> subprocess.Popen[str]:
    """Until the program has said something."""
    process = subprocess.Popen(
        command(scene, "run", *arguments),
        env={**os.environ, **scene.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate("\n", timeout=patience.seconds(30))
    return process.returncode


def fs_run(scene: Served, *arguments: str, module: str = "fs_tunnel.cli.main") -> Finished:
    place = scene.client.namespace.path
    done = commands.fs_tunnel(*arguments, module=module, env=scene.env, network=str(place))
    return Finished(done.returncode, done.stdout, done.stderr)


def inside(scene: Served, *program: str) -> Finished:
    return fs_run(scene, "run", "--inside", scene.client.name, "--", *program)


def outside(scene: Served, *program: str) -> Finished:
    return fs_run(scene, "run", "--outside", scene.client.name, "--", *program)
