# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make mutate``: check that a test fails for every small change to the contracts.

Each mutant is one change to one line of ``contracts/src``. It is compiled and tested in a folder of
its own. A mutant that no test notices is a survivor. ``contracts/MUTANTS.md`` lists and explains
known survivors. Any other survivor shows that a test is missing, and fails the run.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CONTRACTS = REPOSITORY / "contracts"
EXPLAINED = CONTRACTS / "MUTANTS.md"
# The tests of each source, with the files that they import.
TESTS = {
    "Channels": ("Channels*",),
    "Ledger": ("Channels*", "Ledger*"),
    "Registry": ("Registry*", "StakeBookBase*"),
    "StakeBook": ("StakeBook*",),
}
SHARED = ("Base.sol", "Tokens.sol", "Vm.sol")
SWAPS = {
    " < ": (" <= ",),
    " <= ": (" < ",),
    " > ": (" >= ",),
    " >= ": (" > ",),
    " == ": (" != ",),
    " != ": (" == ",),
    " && ": (" || ",),
    " || ": (" && ",),
    " + ": (" - ",),
    " - ": (" + ",),
    " * ": (" / ",),
    " / ": (" * ",),
    " += ": (" -= ", " = "),
    " -= ": (" += ", " = "),
    " onlyCourt": ("",),
    " nonReentrant": ("",),
}
# A statement that can be removed. It is no declaration, so the rest still compiles.
STATEMENT = re.compile(r"\s{8,}(if |delete |emit |_\w+\(|[\w.\[\]]+ [-+]?= |\w+\.).*;\s*")
# Settings that compile and test quickly, and allow code that a change leaves unused.
FORGE = {
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_DENY": "never",
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_INVARIANT_RUNS": "12",
}


@dataclass(frozen=True)
class Mutant:
    """One changed line of a source."""

    source: str
    number: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.source}: `{self.before.strip()}` → `{self.after.strip() or '(nothing)'}`"


def main(argv: Sequence[str] | None = None) -> int:
    """Run all mutants; return 1 if one survives that is not explained."""
    parser = argparse.ArgumentParser(prog="mutate", description="Test the tests of the contracts.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("sources", nargs="*", choices=[*TESTS, []], help="Channels, Ledger, ...")
    arguments = parser.parse_args(argv)
    mutants = [each for name in arguments.sources or TESTS for each in mutants_of(name)]
    verdicts: dict[str, int] = {}
    unexplained = []
    explained = EXPLAINED.read_text()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, verdict in zip(mutants, pool.map(try_mutant, mutants), strict=True):
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            if verdict == "survived":
                known = str(mutant) in explained
                print(f"survived{' as explained' if known else ''}: {mutant}", flush=True)
                if not known:
                    unexplained.append(mutant)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    if unexplained:
        remedy = f"add tests, or explain the mutants in {EXPLAINED.relative_to(REPOSITORY)}"
        print(f"mutate: {len(unexplained)} survived without explanation; {remedy}", file=sys.stderr)
    return 1 if unexplained else 0


def mutants_of(name: str) -> Iterator[Mutant]:
    """Yield every change to a source, in the order of its lines."""
    for number, line in enumerate(_lines(name)):
        code = line.split("//")[0]
        if re.match(r"\s*(import|pragma|event|error|using|contract|abstract|mapping|\"|$)", code):
            continue
        for after in sorted(set(_changes(code)) - {code}):
            yield Mutant(name, number, line, after)


def _changes(code: str) -> Iterator[str]:
    for before, others in SWAPS.items():
        for match in re.finditer(re.escape(before), code):
            for other in others:
                yield code[: match.start()] + other + code[match.end() :]
    for match in re.finditer(r"(?<![\w.])\d+(?!\w)", code):
        yield f"{code[: match.start()]}{int(match[0]) + 1}{code[match.end() :]}"
    yield re.sub(r" \? (.+) : ([^;,]+)", r" ? \2 : \1", code)
    if " revert " not in code:
        yield re.sub(r"\bif \(.*\) (?=\w)", "if (true) ", code)
    if STATEMENT.fullmatch(code):
        yield ""


def try_mutant(mutant: Mutant) -> str:
    """Return what happened to a mutant: killed by a test, survived, or not compiled."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder) / "contracts"
        shutil.copytree(CONTRACTS / "src", root / "src")
        for each in ("foundry.toml", "solc"):
            shutil.copy(CONTRACTS / each, root / each)
        (root / "node_modules").symlink_to(CONTRACTS / "node_modules")
        (root / "test").mkdir()
        for pattern in (*TESTS[mutant.source], *SHARED):
            for path in (CONTRACTS / "test").glob(pattern):
                shutil.copy(path, root / "test" / path.name)
        lines = _lines(mutant.source)
        lines[mutant.number] = mutant.after
        (root / "src" / f"{mutant.source}.sol").write_text("\n".join(lines))
        done = subprocess.run(
            [_forge(), "test", "--fail-fast"],
            cwd=root,
            env=os.environ | FORGE,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return "survived"
    return "killed" if "Failing tests:" in done.stdout else "not compiled"


def _lines(name: str) -> list[str]:
    return (CONTRACTS / "src" / f"{name}.sol").read_text().split("\n")


def _forge() -> Path:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    return CONTRACTS / "node_modules" / "@foundry-rs" / f"forge-linux-{machine}" / "bin" / "forge"


if __name__ == "__main__":
    sys.exit(main())
