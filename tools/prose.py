# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Find habits in the prose of this repository that make a reader stop.

python -m tools.prose              exit 1 if a place in CLEAN has such a habit
python -m tools.prose PLACE ...    show them in these files, folders, or "help"
python -m tools.prose --count      how many each folder has

A folder joins CLEAN once ``python -m tools.prose FOLDER`` shows nothing.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.texts import HELP, Text, all_texts, sentences

CLEAN = [
    "ARCHITECTURE.md",
    "contracts",
    "docs/benchmarks.md",
    "docs/decisions",
    "docs/dependencies.md",
    "docs/glossary.md",
    "docs/network.md",
    "docs/sessions.md",
    "docs/threat-model.md",
    "docs/timers.md",
    "docs/where.md",
    "fs_tunnel/__init__.py",
    "fs_tunnel/config.py",
    "fs_tunnel/console",
    "fs_tunnel/engine",
    "fs_tunnel/engine_process.py",
    "fs_tunnel/helper",
    "fs_tunnel/ini.py",
    "fs_tunnel/known_endpoints.py",
    "fs_tunnel/leftovers.py",
    "fs_tunnel/lifecycle.py",
    "fs_tunnel/linux/command.py",
    "fs_tunnel/linux/confinement",
    "fs_tunnel/linux/daemon.py",
    "fs_tunnel/linux/dns",
    "fs_tunnel/linux/firewall/nft.py",
    "fs_tunnel/linux/firewall/permitted_endpoint.py",
    "fs_tunnel/linux/firewall/permitted_negotiation.py",
    "fs_tunnel/linux/journal",
    "fs_tunnel/linux/process.py",
    "fs_tunnel/linux/routing",
    "fs_tunnel/linux/splits",
    "fs_tunnel/linux/systemd.py",
    "fs_tunnel/observe",
    "fs_tunnel/privileges.py",
    "fs_tunnel/roles",
    "fs_tunnel/settings.py",
    "tests",
    "tools/bench",
    "tools/browser.py",
    "tools/demo.py",
    "tools/gas.py",
    "tools/import_diagram.py",
    "tools/prose.py",
    "tools/state_diagram.py",
    "tools/texts.py",
    "tools/wire.py",
]
LONGEST = 35  # words of a sentence; aim at twenty


@dataclass(frozen=True)
class Habit:
    """A pattern that is looked for in each sentence, and what to do instead."""

    name: str
    pattern: str
    reason: str


_NO_QUESTION = r"(?!.*\?[\"')]*$)"
_ASKING = r"who|whom|what|how|why|when|where|which|within|for|by"
_GOES_ON = rf"(?:{_ASKING}|and|or|as|if|in|on|at|to|with|both)\b"
_MONEY = r"money|deposits?|amounts?|coins?|tokens?|funds|balance|stake|rest|budget"
_THINGS = r"it|what|which|records?|files?|keys?|keystore|journals?|programs?|modules?"

HABITS = [
    Habit(
        "where-if",
        # "Where it is, and how large." has no main clause: it says what something tells.
        rf"^(?:And |But |So )?Where\b[^;:]*, (?!{_GOES_ON}){_NO_QUESTION}"
        rf"|[;:] where\b[^,;:]*, (?!{_GOES_ON})|, where\b(?![^,;:]*, and\b)"
        r"|\b(?:also|only|even|except) where\b"
        r"|\bwhere (?:there (?:is|are|was|were)|nothing|nobody|none|not)\b"
        r"|\b(?:\w+Error|None|True|False|nothing|empty) where\b",
        "a condition begins with 'if'; a place gets a sentence of its own",
    ),
    Habit(
        "who-without-antecedent",
        rf"^(?:And |But |So )?Who\b(?![^,]*, and (?:{_ASKING})\b){_NO_QUESTION}|; who\b"
        r"|\b(?:to|for|from|by|with|than|against|[Ss]o|that|because|since) who\b",
        "say who it is: 'you', 'a client', 'anyone who'",
    ),
    Habit(
        "buy-of",
        r"(?i)\b(?:buys?|buying|bought|sells?|selling|sold) of\b",
        "you buy from a provider and sell to a client",
    ),
    Habit(
        "ask-for-names",
        r"(?i)\b(?:ask(?:s|ed|ing)?|questions?) (?:\w+ )?for (?:a name|names)\b(?! of)",
        "a program resolves names",
    ),
    Habit(
        "lies-in",
        rf"(?i)\b(?:{_MONEY}|{_THINGS}) (?:lies?|lay)"
        r" (?:in|there|ready|on|under|below|beside|behind|at|with|within|unencrypted)\b",
        "money and files are somewhere; they do not lie there",
    ),
    Habit(
        "stands-in",
        r"\b(?:stands?|stood) (?:in(?! for| \w+ place)|at|there|where|beside|under|below|above)\b",
        "what is written somewhere 'is' there",
    ),
    Habit(
        "headless",
        r"(?i)\bthe (?:last|first|other|former|latter) (?:two|three)"
        r"(?=[,.;:)]| (?:is|are|was|were|has|have|do|does|must|may|can|will|of|in|for)\b)"
        r"|\bthose (?:that|who) are (?:here|there)\b|\bwhat (?:stays|remains) of\b",
        "name the things",
    ),
    Habit(
        "is-to-be",
        r"(?i)\bwhat (?:is|are|was|were) to be\b"
        r"|\b(?:an?|the) (?!one )\w+ (?:is|are|was|were) to be\b",
        "say who does it, with 'must' or 'will'",
    ),
    Habit(
        "it-is-said",
        r"(?i)\bit is (?:said|told|shown|asked) (?:why|what|how|that|whether|when|who|where)\b"
        r"|\bnothing (?:is|was) (?:heard|known|said) of\b",
        "name the one that says it",
    ),
    Habit(
        "of-in-front",
        r"^Of (?:a|an|each|one|this|it|its|our|such|all)\b",
        "begin with the subject",
    ),
    Habit(
        "else-behind",
        r"(?<!thing )(?<!body )(?<!one )(?<!wh[oy] )(?<!what )(?<!where )(?<!how )(?<!all )(?<!or )"
        r"\belse(?=[.,;:])",
        "write 'otherwise', or 'Default:'",
    ),
    Habit(
        "one-a",
        r"(?i)\bone (?:small )?(?:process|engine|file|module|helper|agent|unit|journal) an? \w+",
        "one for each",
    ),
    Habit(
        "node-of-a-chain",
        r"(?i)\bnodes? of (?:the|an?|its|their|that|this|each|any|another) chain\b"
        r"|\bchain's nodes?\b",
        "the glossary calls it a chain node",
    ),
    Habit(
        "node-alone",
        r"(?<!full[ -])(?<!Full[ -])(?<!chain[ -])(?<![./])\bnodes?\b(?! keys?\b|\.\w)",
        "the glossary has full nodes and chain nodes",
    ),
]
_COMPILED = [(habit, re.compile(habit.pattern)) for habit in HABITS]


@dataclass(frozen=True)
class Hit:
    """A sentence with a habit in it."""

    text: Text
    sentence: str
    habit: str
    reason: str

    def __str__(self) -> str:
        line = f":{self.text.line}" if self.text.line else ""
        return f"{self.text.place}{line}: {self.habit}: {self.reason}\n    {self.sentence}"


def judge(texts: Iterable[Text]) -> Iterator[Hit]:
    """Every habit in every sentence."""
    for text in texts:
        for sentence in sentences(text.words):
            for habit, pattern in _COMPILED:
                if pattern.search(sentence):
                    yield Hit(text, sentence, habit.name, habit.reason)
            length = len(re.findall(r"\w[\w'/.:-]*", sentence))
            if length > LONGEST:
                yield Hit(text, sentence, "long", f"{length} words; one fact a sentence")


def within(place: str, places: Iterable[str]) -> bool:
    """Whether a file, or the help, is one of these places or below one."""
    return any(place == each or place.startswith(f"{each}/") for each in places)


def counts(texts: Iterable[Text]) -> Counter[str]:
    """Hits by folder; a document in the main folder is one of its own."""
    return Counter(folder_of(hit.text.place) for hit in judge(texts))


def folder_of(place: str) -> str:
    """The folder of a file; the whole help is one."""
    if place.startswith(HELP):
        return HELP
    folder, _, name = place.rpartition("/")
    return folder or name


def main(arguments: list[str]) -> int:
    """Show hits, or count them."""
    if arguments == ["--count"]:
        found = counts(all_texts(lambda _: True))
        for folder, number in sorted(found.items()):
            print(f"{number:6}  {folder}")
        print(f"{found.total():6}  in all")
        return 0
    places = [each.rstrip("/") for each in arguments] or CLEAN
    hits = list(judge(all_texts(lambda place: within(place, places))))
    for hit in hits:
        print(hit)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
