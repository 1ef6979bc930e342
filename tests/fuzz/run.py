# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Fuzz one target under atheris: ``python -m tests.fuzz.run NAME [-max_total_time=60 ...]``.

``--list`` names the targets. Options are libFuzzer's. What is found is added to build/fuzz/NAME,
and belongs into tests/fuzz/corpus/NAME once it is mended.
"""

import sys
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / "build" / "fuzz"

with atheris.instrument_imports(include=["fs_market", "fs_net", "fs_tunnel", "fs_wire"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Never returns when fuzzing: libFuzzer ends the process."""
    name, *options = sys.argv[1:] or ["--list"]
    if name == "--list":
        print("\n".join(TARGETS))
        return
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    prefix = f"-artifact_prefix={found}/"
    atheris.Setup([sys.argv[0], prefix, *options, str(found), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
