# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make demo``: a download through a tunnel that is paid for, on one machine.

``fs-tunnel serve`` and ``fs-tunnel up`` run as a user would type them, on the stage of
tools/stage.py. The internet has a chain of our own and a full node. The provider has a stake and
announces itself. The client has a wallet, finds the provider through the network, opens a channel
and pays while bytes flow.

The client fetches a page and a file, and we listen on both links meanwhile. On the provider's way
out we can read the page, which shows that we would see it. On the wire between client and provider
everything is WireGuard. At the end both books and the chain must agree to the base unit. Nothing is
left behind.
"""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fs_market.core.money.units import Token
from tests.netns.capture import Capture
from tests.netns.waiting import wait_until
from tools import market, network, wire
from tools import stage as place
from tools.stage import Interrupts, Stage, StepFailed, stage
from tools.terminal import Progress, table

TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "ping": "iputils-ping",
    "curl": "curl",
}
MIB = 1 << 20
FILE_MIB = 100
PORT = 51820
DOWNLOAD_SECONDS = 90.0
CLIENT, PROVIDER = "demo-client", "demo-provider"
PROVIDER_INSIDE = "10.66.0.1"
PER_GIB, BUDGET, READY = "0.5", "1", "20"  # whole tokens
WALLET_FILE = "--wallet wallet.json"
WALLET = f"{WALLET_FILE} --password-file password"
OWNER = "--wallet owner.json --password-file password"
COUNTRY = "DE"
SETTINGS = "--settings client.toml"
PICTURE = place.REPOSITORY / "build" / "demo-page.png"
# It is in the page, and 4,096 times in each MiB of the file.
MARKER = b"Whoever can see this, sees through it."
CLEAR_TEXT = (MARKER, b"HTTP/1.", b"GET /")

PROVIDER_CONF = f"""\
[Interface]
PrivateKey = {{private}}
Address = {PROVIDER_INSIDE}/24
ListenPort = {PORT}
"""

# CommandFailed is an AssertionError, as is a wait that was too long.
FAILURES = (StepFailed, AssertionError, OSError, subprocess.SubprocessError)

Rows = list[tuple[str, str]]


def main() -> int:
    """Run the demo: 0 when all went as it should, 1 otherwise, 4 without root, 130 after Ctrl-C."""
    if os.geteuid() != 0:
        print("demo: error: network namespaces need root; run: sudo make demo", file=sys.stderr)
        return 4
    missing = sorted(package for tool, package in TOOLS.items() if shutil.which(tool) is None)
    if missing or not Path("/dev/net/tun").exists():
        remedy = f"apt-get install {' '.join(missing)}" if missing else "modprobe tun"
        print(f"demo: error: something is missing here; run: {remedy}", file=sys.stderr)
        return 1
    started = time.monotonic()
    rows: Rows = []
    try:
        with Interrupts() as interrupts, stage(interrupts, (CLIENT, PROVIDER)) as built:
            _play(built, rows)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it made is removed", file=sys.stderr)
        return 130
    except FAILURES as error:
        print(f"\ndemo: error: {error}", file=sys.stderr)
        return 1
    rows.append(("left behind", "nothing: no namespace, process, socket or file"))
    rows.append(("the whole demo", f"{time.monotonic() - started:.1f} s"))
    print()
    print(table(("what", "result"), rows))
    return 0


def _play(built: Stage, rows: Rows) -> None:
    _title("A web server on the internet")
    digest = _make_site(built)
    _title("A chain on the internet, with the contracts and some accounts")
    settings = _start_chain(built)
    token = market.token_of(built.internet, settings)
    price = f"{PER_GIB} {token.symbol}/GiB"
    _title("A full node on the internet, with an API and a page")
    full_node = _start_full_node(built, settings)
    _title("The provider: a key, a stake, and a price")
    _prepare_provider(built, settings, price, full_node)
    allow = f"--wan {place.WAN} --allow-dest {place.INTERNET_NETWORK} --no-dns"
    seconds = _timed(
        built, "provider", f"fs-tunnel serve {allow} --market sale.toml {PROVIDER}.conf"
    )
    rows.append(("fs-tunnel serve", f"ready after {seconds:.2f} s"))
    seconds = network.wait_until_seen(built.internet, COUNTRY)
    rows.append(("seen by the full node", f"{seconds:.1f} s later, by its API"))
    _title("The client: a wallet, and a tunnel for all of its traffic")
    network.with_bootstrap(settings, full_node, built.folder / "client.toml")
    _make_wallet(built, token.symbol)
    rows += [_find(built), ("price", price)]
    said, seconds = _buy(built, token.symbol)
    rows.append(("fs-tunnel up", f"channel open and tunnel up after {seconds:.2f} s"))
    with Capture(built.client, place.WIRE) as on_the_wire:
        built.type(built.client, f"ping -q -c 5 -i 0.2 {PROVIDER_INSIDE}")
        rows.append(_take_picture(built))
        _title("A page and a file")
        rows.append(_fetch_page(built))
        rows += _download(built, digest, on_the_wire)
        built.type(built.client, f"fs-tunnel status {CLIENT}")
        _title("The end")
        counted = json.loads(built.ask(built.client, f"fs-tunnel status --json {CLIENT}"))
        built.type(built.client, f"fs-tunnel down {CLIENT}")
        rows += _judge(on_the_wire)
    rows += _settle(built, settings, token, said, counted["tunnels"][0]["market"])
    built.type(built.provider, f"fs-tunnel down {PROVIDER}")


def _title(text: str) -> None:
    print(f"\n{text}", flush=True)


def _timed(built: Stage, role: str, command: str) -> float:
    started = time.monotonic()
    built.type(built.client if role == "client" else built.provider, command)
    return time.monotonic() - started


def _make_site(built: Stage) -> str:
    """Write the page and the file, serve them; return the file's SHA-256."""
    site = built.folder / "site"
    site.mkdir()
    (site / "page.txt").write_bytes(MARKER + b"\n")
    digest = hashlib.sha256()
    with open(site / "file.bin", "wb") as file:
        for _ in range(FILE_MIB):
            random = os.urandom(MIB)
            chunk = b"".join(
                MARKER + random[at + len(MARKER) : at + 256] for at in range(0, MIB, 256)
            )
            digest.update(chunk)
            file.write(chunk)
    print(f"  {FILE_MIB} MiB of random bytes, http://{place.WEB_ADDRESS}/file.bin")
    server = built.internet.start(
        *(sys.executable, "-m", "http.server", "--bind", place.WEB_ADDRESS, "80"),
        cwd=str(site),
        stderr=subprocess.DEVNULL,
    )
    wait_until(
        lambda: f"{place.WEB_ADDRESS}:80" in built.internet.run("ss", "-ltnH") or server.poll(),
        what="the web server listens",
    )
    if server.poll() is not None:
        raise StepFailed(f"the web server ended with {server.returncode}")
    return digest.hexdigest()


def _start_chain(built: Stage) -> Path:
    address = place.WEB_ADDRESS
    command = f"fs-tunnel chain dev --address {address} --port {market.RPC_PORT} --directory chain"
    print(f"  internet# {command}", flush=True)
    return market.start_chain(built.internet, address, built.folder, built.environment())


def _start_full_node(built: Stage, settings: Path) -> str:
    """Its address in the network."""
    command = network.command(place.WEB_ADDRESS, str(settings.relative_to(built.folder)))
    print(f"  internet# {command}", flush=True)
    started = network.start(built.internet, command, built.folder, built.environment())
    print("".join(f"    {line}\n" for line in started.said), end="", flush=True)
    return started.address


def _prepare_provider(built: Stage, settings: Path, price: str, full_node: str) -> None:
    built.type(built.provider, "fs-tunnel genkey > provider.key")
    path = built.folder / f"{PROVIDER}.conf"
    path.touch(mode=0o600)
    # The private key reaches the file, and neither an argument list nor the terminal.
    path.write_text(
        PROVIDER_CONF.format(private=(built.folder / "provider.key").read_text().strip())
    )
    sale = built.folder / "sale.toml"
    endpoint = f"{place.PROVIDER_ADDRESS}:{PORT}"
    market.write_sale(settings, place.PROVIDER_ADDRESS, endpoint, price, COUNTRY, sale)
    network.with_bootstrap(sale, full_node)
    (built.folder / "password").touch(mode=0o600)
    (built.folder / "password").write_text(secrets.token_hex(16) + "\n")
    built.type(built.provider, f"fs-tunnel wallet import --key-file chain/owner.key {OWNER}")
    stake = f"{market.STAKE} {price.split()[1].partition('/')[0]}"
    for verb in (f"stake {stake}", "announce"):
        built.type(built.provider, f"fs-tunnel market {verb} --yes {OWNER} --settings sale.toml")


def _make_wallet(built: Stage, symbol: str) -> None:
    key = "--key-file chain/client.key"
    built.type(built.client, f"fs-tunnel wallet import {key} {WALLET}")
    built.type(built.client, f"fs-tunnel wallet deposit {READY} {symbol} --yes {WALLET} {SETTINGS}")


def _find(built: Stage) -> tuple[str, str]:
    started = time.monotonic()
    command = f"fs-tunnel market list --country {COUNTRY} {SETTINGS} {WALLET_FILE}"
    said = built.type(built.client, command)
    seconds = time.monotonic() - started
    found = sum(line.startswith("0x") for line in said.splitlines())
    if found != 1:
        raise StepFailed(f"the client found {found} providers, and there is 1")
    return ("found by the client", f"{found} provider of 1 full node in {seconds:.1f} s")


def _buy(built: Stage, symbol: str) -> tuple[str, float]:
    started = time.monotonic()
    limits = f"--max-price '{PER_GIB} {symbol}/GiB' --budget '{BUDGET} {symbol}' --yes"
    said = built.type(
        built.client,
        f"fs-tunnel up --country {COUNTRY} {limits} {WALLET} {SETTINGS} {CLIENT}",
    )
    return said, time.monotonic() - started


def _settle(built: Stage, settings: Path, token: Token, said: str, ours: dict[str, Any]) -> Rows:
    """What both books and the chain have of it; StepFailed where they disagree."""
    end = wait_until(
        lambda: market.closed(built.internet, settings), what="the provider closes the channel"
    )
    assert end is not None
    theirs = json.loads(built.ask(built.provider, f"fs-tunnel status --json {PROVIDER}"))
    books = theirs["tunnels"][0]["market"]
    balance = json.loads(
        built.ask(built.client, f"fs-tunnel wallet balance --json {WALLET_FILE} {SETTINGS}")
    )
    deposit, ready = (
        token.parse(f"{BUDGET} {token.symbol}").units,
        token.parse(f"{READY} {token.symbol}").units,
    )
    kept = int(balance["channels"]["units"])
    paid = int(books["paid"]["units"])
    if not (paid == end.claimed == ready - kept and end.refunded == deposit - paid > 0):
        raise StepFailed(
            f"the books disagree: {paid} by the provider's, {end.claimed} paid and "
            f"{end.refunded} returned by the chain, {kept} left of the client's"
        )
    opening = next(line for line in said.splitlines() if line.startswith("gas: "))
    gas = int(opening.removeprefix("gas: ").split(",")[0])
    return [
        ("bytes, counted by the client", f"{ours['bytes']:,} before it ended the session"),
        ("bytes, counted by the provider", f"{books['bytes']:,}"),
        ("paid", f"{token.format(paid)}, by both books and the chain"),
        ("refunded", f"{token.format(end.refunded)} of {token.format(deposit)}, by the chain"),
        ("gas", f"{gas:,} to open the channel, {end.gas:,} to close it"),
    ]


def _take_picture(built: Stage) -> tuple[str, str]:
    what = "picture of the full node's page"
    if shutil.which("chromium") is None:  # Ubuntu has no package of it
        return (what, "none, since Chromium is not installed")
    network.take_picture(built.internet, built.folder, built.environment(), PICTURE)
    return (what, str(PICTURE.relative_to(place.REPOSITORY)))


def _fetch_page(built: Stage) -> tuple[str, str]:
    with Capture(built.provider, place.WAN) as on_the_way_out:
        built.type(built.client, f"curl -sS --max-time 20 http://{place.WEB_ADDRESS}/page.txt")
        seen = [frame for frame in on_the_way_out.frames() if MARKER in frame.data]
    if not seen:
        raise StepFailed("the page was not on the provider's way out; did it go another way?")
    return ("the page, beyond the provider", "seen in the clear, as HTTP is")


def _download(built: Stage, digest: str, on_the_wire: Capture) -> Rows:
    target = built.folder / "downloaded.bin"
    command = f"curl -sS -o {target.name} http://{place.WEB_ADDRESS}/file.bin"
    print(f"  client# {command}", flush=True)
    started = time.monotonic()
    curl = built.client.start(*command.split(), cwd=str(built.folder), stderr=subprocess.PIPE)
    with Progress("downloaded") as progress:
        while curl.poll() is None:
            seconds = time.monotonic() - started
            done = target.stat().st_size if target.exists() else 0
            progress.show(f"{done / MIB:.0f} of {FILE_MIB} MiB, {_rate(done, seconds)}")
            if seconds > DOWNLOAD_SECONDS:
                raise StepFailed(f"{done / MIB:.0f} MiB in {seconds:.0f} s: too slow for a demo")
            on_the_wire.frames()  # Empties the kernel's buffer before it is full.
            time.sleep(0.1)
        seconds = time.monotonic() - started
        progress.show(f"{FILE_MIB} MiB in {seconds:.1f} s")
    if curl.returncode != 0:
        said = curl.stderr.read().decode().strip() if curl.stderr else ""
        raise StepFailed(f"curl ended with {curl.returncode}: {said}")
    with open(target, "rb") as file:
        arrived = hashlib.file_digest(file, "sha256").hexdigest()
    if arrived != digest:
        raise StepFailed("the file that arrived is not the file that was sent")
    return [
        ("downloaded through the tunnel", f"{FILE_MIB} MiB in {seconds:.1f} s"),
        ("its SHA-256", f"{digest[:16]}… as at the server"),
        ("throughput", _rate(FILE_MIB * MIB, seconds)),
    ]


def _rate(octets: float, seconds: float) -> str:
    return f"{octets * 8 / 1e6 / max(seconds, 1e-3):.0f} Mbit/s"


def _judge(on_the_wire: Capture) -> Rows:
    frames = [frame.data for frame in on_the_wire.frames()]
    counted = wire.report(frames, PORT)
    if other := counted.frames[wire.OTHER]:
        raise StepFailed(f"{other} frames on the wire are not WireGuard")
    clear = sum(any(text in frame for text in CLEAR_TEXT) for frame in frames)
    if clear:
        raise StepFailed(f"{clear} frames on the wire hold bytes of the file or of HTTP")
    if counted.wireguard_octets < FILE_MIB * MIB:
        raise StepFailed("the wire carried less than the file; did it go another way?")
    kinds = ", ".join(f"{counted.frames[kind]:,} {kind}" for kind in wire.WIREGUARD_KINDS)
    octets = counted.wireguard_octets / MIB
    return [
        ("on the wire, WireGuard", f"{counted.wireguard:,} frames, {octets:.0f} MiB ({kinds})"),
        ("on the wire, ARP and ND", f"{counted.frames[wire.NEIGHBOURS]:,} frames"),
        ("on the wire, anything else", "0 frames; no byte of the file, of the page or of HTTP"),
    ]


if __name__ == "__main__":
    sys.exit(main())
