# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keep contracts/snapshots/gas.json: the gas of each transaction, as forge measured it.

``--check`` fails if a transaction costs 5 % more than the committed figure, or more than its
target.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MEASURED = REPOSITORY / "build" / "contracts" / "snapshots"
COMMITTED = REPOSITORY / "contracts" / "snapshots" / "gas.json"
MARGIN = 1.05
TARGETS = {
    "Channels: open": 60_000,
    "Channels: openFor": 70_000,
    "Channels: redeem first": 62_000,
    "Channels: redeem later": 45_000,
    "Channels: closeByPayee": 53_000,
    "Channels: closeWithConsent": 53_000,
    "Channels: finalize": 39_000,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write or compare; return 1 if something costs too much or was not measured."""
    parser = argparse.ArgumentParser(prog="gas", description="Gas of the contracts.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args(argv).check
    measured = read_measured(MEASURED)
    committed = json.loads(COMMITTED.read_text()) if check else measured
    complaints = judge(measured, committed)
    for complaint in complaints:
        print(f"gas: {complaint}", file=sys.stderr)
    if not check:
        COMMITTED.write_text(json.dumps(measured, indent=1) + "\n")
    return 1 if complaints else 0


def read_measured(folder: Path) -> dict[str, int]:
    """Read forge's figures, one file for each contract, by "contract: transaction"."""
    return {
        f"{path.stem}: {name}": int(gas)
        for path in sorted(folder.glob("*.json"))
        for name, gas in sorted(json.loads(path.read_text()).items())
    }


def judge(measured: dict[str, int], committed: dict[str, int]) -> list[str]:
    """Return the complaints about the figures, one line each."""
    complaints = [
        f"{name} is in one list only; run make artefacts and commit"
        for name in sorted(measured.keys() ^ committed.keys())
    ]
    complaints += [
        f"{name} has a target, but no test measures it"
        for name in sorted(TARGETS.keys() - measured.keys())
    ]
    for name, gas in measured.items():
        before, target = committed.get(name, gas), TARGETS.get(name, gas)
        if gas > before * MARGIN:
            remedy = "save gas, or run make artefacts"
            complaints.append(f"{name} costs {gas:,}, 5 % over {before:,}; {remedy}")
        if gas > target:
            complaints.append(f"{name} costs {gas:,}, over its target of {target:,}; save gas")
    return complaints


if __name__ == "__main__":
    sys.exit(main())
