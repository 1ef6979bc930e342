# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Write fs_market/artefacts from what forge compiled, so that users need no compiler and no Node.

``--check`` compares instead. CI compiles the sources again, and the shipped files must be the same.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eth_utils.abi import abi_to_signature, filter_abi_by_type, function_signature_to_4byte_selector
from eth_utils.crypto import keccak

REPOSITORY = Path(__file__).resolve().parent.parent
COMPILED = REPOSITORY / "build" / "contracts" / "package" / "out"
SOURCES = REPOSITORY / "contracts" / "src"
ARTEFACTS = REPOSITORY / "fs_market" / "artefacts"
CONTRACTS = ("Channels", "Registry", "StakeBook", "TestToken")


def main(argv: Sequence[str] | None = None) -> int:
    """Write or compare; return 1 if something differs."""
    parser = argparse.ArgumentParser(prog="gen_artefacts", description="Package the contracts.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args(argv).check
    stale = []
    for path, text in artefacts():
        if check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text)
    if stale:
        print(
            f"{', '.join(stale)} in {ARTEFACTS.relative_to(REPOSITORY)} differs from the compiled "
            "contracts; run make artefacts and commit the files",
            file=sys.stderr,
        )
    return 1 if stale else 0


def artefacts() -> Iterator[tuple[Path, str]]:
    """Yield each file of the package with its text."""
    errors: dict[str, str] = {}
    for name in CONTRACTS:
        compiled = json.loads((COMPILED / f"{name}.sol" / f"{name}.json").read_text())
        abi = compiled["abi"]
        for error in filter_abi_by_type("error", abi):
            signature = abi_to_signature(error)
            errors["0x" + function_signature_to_4byte_selector(signature).hex()] = signature
        bytecode = compiled["bytecode"]["object"]
        yield ARTEFACTS / f"{name}.json", _json({"abi": abi, "bytecode": bytecode})
    yield ARTEFACTS / "errors.json", _json(dict(sorted(errors.items())))
    yield ARTEFACTS / "eip712.json", _json(dict(_signed_structs()))


def _signed_structs() -> Iterator[tuple[str, Any]]:
    """Yield the domain and the types that each contract expects in signatures, from its source."""
    for name in CONTRACTS:
        source = (SOURCES / f"{name}.sol").read_text()
        domain = re.search(r'EIP712\("([^"]+)", "([^"]+)"\)', source)
        if domain is None:
            continue
        types = re.findall(r'_TYPEHASH\s*=\s*keccak256\(\s*"((\w+)\([^"]+)"', source)
        yield (
            name,
            {
                "name": domain[1],
                "version": domain[2],
                "types": {
                    struct: {"type": text, "hash": "0x" + keccak(text=text).hex()}
                    for text, struct in types
                },
            },
        )


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
