# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The prose check: each habit has sentences that it finds, and sentences that it lets pass."""

import pytest

from tools import prose, texts
from tools.texts import Text

# By habit: sentences that have it, and sentences close to them that are good English.
EXAMPLES = {
    "where-if": (
        [
            "Where a provider does not close it, settle.",
            "Nothing depends on it: where it was killed, the next one goes on.",
            "Names are resolved by resolvconf, where it runs.",
            "It is empty where nobody asked.",
            "ControlError where it refuses.",
            "The forwarder serves where there is no dnsmasq.",
        ],
        [
            "Where is a voucher checked?",
            "Where to change what",
            "Where a provider negotiates.",
            "Where it listens, and how many may come.",
            "One provider: its name, where it takes orders, and its key.",
            "The client's side: where the provider answered.",
            "It says where the file is.",
            "If a provider does not close it, settle.",
        ],
    ),
    "who-without-antecedent": (
        [
            "Who pays gets an address.",
            "It is told; who asks learns nothing.",
            "This is bad for who forwards it.",
            "So who has heard it is told why.",
        ],
        [
            "Who may do that?",
            "Who pays, and within which limits.",
            "It needs: who pays, and when.",
            "Anyone who pays gets an address.",
            "It knows who asked.",
        ],
    ),
    "buy-of": (
        ["The next place is bought of another.", "Ask which of the best to buy of."],
        ["The next place is bought from another.", "Three of the places are sold."],
    ),
    "ask-for-names": (
        ["Nobody can ask for names.", "It answers questions for names."],
        ["Nobody can resolve names.", "It asks for the name of the file."],
    ),
    "lies-in": (
        [
            "What lies in the contract comes back.",
            "The rest lies ready.",
            "The key lies beside it.",
        ],
        ["A chain node may lie in its answers.", "The key is beside it."],
    ),
    "stands-in": (
        ["It stands in the Registry.", "The reason stands at its line."],
        [
            "FST stands for the token.",
            "A provider stands by.",
            "This stands in for the chain.",
            "It stands in its place.",
        ],
    ),
    "headless": (
        ["The last two are optional.", "Those that are here may stay.", "What stays of a command"],
        ["The last two bytes are a counter.", "The first three words count."],
    ),
    "is-to-be": (
        ["A port is to be forwarded.", "What is to be done?"],
        ["You must forward a port.", "It has to be short.", "One that is to be opened."],
    ),
    "it-is-said": (
        ["Then it is said why.", "It ends if nothing is heard of a provider."],
        ["Then `up` says why.", "It is known."],
    ),
    "of-in-front": (
        ["Of a provider it supervises the resolver.", "Of one peer there are four."],
        ["Of course it does.", "Of the two paths, one is in C."],
    ),
    "else-behind": (
        ["The settings; /etc has them else.", "It is empty else: nobody came."],
        ["It asks somebody else.", "Nothing else.", "Who else?", "Do it, or else."],
    ),
    "one-a": (
        ["The engine is one process a tunnel.", "One verb: one file a verb."],
        ["There is one process for each tunnel.", "Give one file and a name."],
    ),
    "node-of-a-chain": (
        ["Ask a node of the chain.", "A chain's node answers."],
        ["Ask a chain node.", "The chain knows full nodes."],
    ),
    "node-alone": (
        ["A node answers.", "Ask several nodes."],
        [
            "A full node answers.",
            "Ask chain nodes.",
            "The node key signs.",
            "See https://node.example now.",
            "It needs Node.",
        ],
    ),
}


def found(words: str) -> set[str]:
    return {hit.habit for hit in prose.judge([Text("example", 1, words)])}


def test_every_habit_has_examples_and_a_reason() -> None:
    assert set(EXAMPLES) == {habit.name for habit in prose.HABITS}
    assert all(habit.reason for habit in prose.HABITS)


@pytest.mark.parametrize(
    ("habit", "sentence"), [(name, each) for name, (bad, _) in EXAMPLES.items() for each in bad]
)
def test_a_habit_is_found(habit: str, sentence: str) -> None:
    assert habit in found(sentence)


@pytest.mark.parametrize(
    ("habit", "sentence"), [(name, each) for name, (_, good) in EXAMPLES.items() for each in good]
)
def test_good_english_passes(habit: str, sentence: str) -> None:
    assert habit not in found(sentence)


def test_a_long_sentence_is_found() -> None:
    assert found("Word " * prose.LONGEST + "end.") == {"long"}
    assert found("Word " * (prose.LONGEST - 1) + "end. " + "Word " * 30) == set()


def words_of(place: str, source: str) -> list[tuple[int, str]]:
    return [(each.line, each.words) for each in texts.texts_of(place, source)]


def test_markdown_has_paragraphs_items_and_cells_without_code() -> None:
    source = """# A heading

One line
and another with `code`.

- an item
  of two lines
- [a link](to.md)

```sh
Where is this
```

A paragraph.

    Where is that

| head | of |
|---|---|
| a **cell** | b |
"""
    assert words_of("a.md", source) == [
        (1, "A heading"),
        (3, "One line and another with CODE."),
        (6, "an item of two lines"),
        (8, "a link"),
        (14, "A paragraph."),
        (18, "head"),
        (18, "of"),
        (19, "---"),
        (19, "---"),
        (20, "a cell"),
        (20, "b"),
    ]


def test_python_has_docstrings_and_comments_that_belong_together() -> None:
    source = '''"""Of this module.

    ┌───┐
    drawn

And more.
"""

# One comment
# of two lines.
X = 1  # noqa: E501
Y = 1  # another


def f() -> str:
    """Of ``f``."""
    return "# no comment"
'''
    assert words_of("a.py", source) == [
        (1, "Of this module."),
        (6, "And more."),
        (16, "Of CODE."),
        (9, "One comment of two lines."),
        (12, "another"),
    ]


def test_c_and_solidity_have_comments() -> None:
    source = """// One comment
// of two lines.
/* A block
 * of two. */
char *s = "// no comment";
/// @notice Pays.
/// @param to the payee
"""
    assert words_of("a.sol", source) == [
        (3, "A block of two."),
        (1, "One comment of two lines."),
        (6, "Pays."),
        (7, "the payee"),
    ]


def test_a_manual_has_text_without_macros() -> None:
    source = """.Sh DESCRIPTION
.Nm
runs
.Ar file ,
and ends.
.Bd -literal
Where is this
.Ed
"""
    assert words_of("docs/man/a.8", source) == [
        (1, "DESCRIPTION"),
        (2, "CODE runs CODE, and ends."),
    ]


def test_help_names_its_verb_and_option() -> None:
    said = list(texts.help_texts())
    assert any(each.place == "help/fs-tunnel market list" for each in said)
    assert any(each.words.startswith("--json: ") for each in said)


def test_tests_are_read_and_packages_of_npm_are_not() -> None:
    places = {each.place for each in texts.all_texts(lambda place: place.startswith("tests/net/"))}
    assert "tests/net/world.py" in places
    assert not any("node_modules" in each for each in places)


def test_what_is_clean_stays_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert prose.main([]) == 0, capsys.readouterr().out


def test_every_clean_place_exists() -> None:
    assert [
        each
        for each in prose.CLEAN
        if each != texts.HELP and not (texts.REPOSITORY / each).exists()
    ] == []


def test_a_hit_says_where_it_is_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Text("docs/bad.md", 7, "Who pays gets it.")
    monkeypatch.setattr(prose, "all_texts", lambda is_wanted: filter_of(is_wanted, bad))
    assert prose.main(["docs/"]) == 1
    assert capsys.readouterr().out.startswith("docs/bad.md:7: who-without-antecedent: say who")
    assert prose.main(["tools"]) == 0
    assert prose.main(["--count"]) == 0
    assert "     1  docs\n     1  in all" in capsys.readouterr().out


def filter_of(is_wanted: object, *found: Text) -> list[Text]:
    assert callable(is_wanted)
    return [each for each in found if is_wanted(each.place)]
