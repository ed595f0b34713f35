"""A tree that is written as YAML reads back as that tree, by a reader of YAML 1.1 and by ours of 1.2."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ctc.diagnostics import CtcError
from ctc.language.emit import WIDTH, Line, Noted, Tree, emit, fits, plain, scalar
from ctc.language.source import parse

TRAPS = (
    "", " ", "~", "null", "Null", "NULL", "y", "Y", "n", "N", "yes", "No", "ON", "off", "true", "False", "TRUE", "=",
    "<<", "0", "-0", "+1", "01", "010", "0o7", "0x1F", "0b1", "1_000", "1e3", "1.0e3", "1.5", ".5", "5.", "-.5",
    "1:30", "190:20:30", "1:30.5", ".inf", "-.Inf", ".nan", ".NaN", "inf", "nan", ".", "..", "...", "---", "--- a",
    "--", "-", "- a", "-a", "--a", "_1", "1_", "_", "._", "2024-01-01", "2024-01-01T06:00:00Z", "2024-01-01 06:00:00",
    "12h", "5%", "12h30m", "1e5%", "a: b", "a:", ":a", ":", "a #b", "#a", "a#b", "{a}", "[a]", "a, b", "a,b", "{",
    "}", "[", "]", ",", "{{ x }}", "${var.x}", "'", '"', "it's", 'say "x"', "\\", "\\n", "a\\", "&a", "*a", "!a",
    "!!str a", "|", ">", "|-", "%", "%YAML 1.1", "@a", "`a", "?", "? a", "a?", "a\nb", "\n", "\n\n", "a\n", "\na",
    "a\r\nb", "\r", "\t", "\ta", "a\t", " a", "a ", "a  b", "\0", "\x07", "\x1b[31m", "\x7f", "\x80", "\x85", "\x9f",
    "\xa0", "\xad", "\u200b", "\u202e", "\u2028", "\u2029", "\ufeff", "\ufeffa", "\ufffd", "\ufffe", "\uffff",
    "\ue000", "é", "e\u0301", "日本", "🙂", "\U0001ffff", "\U0010ffff", "a" * 300,
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(TRAPS),
    st.tuples(st.sampled_from(TRAPS), st.sampled_from(TRAPS)).map("".join),
    st.text("0123456789+-._:eExob", max_size=8),
    st.text(max_size=20),
)
NUMBERS = st.one_of(
    st.integers(-(10**18) + 1, 10**18 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
# libyaml has no key of more than 1024 characters on a line.
KEYS = TEXTS.filter(lambda key: len(scalar(key)) < 1000)


def layouts(value: Any) -> st.SearchStrategy[Any]:
    """The value by itself, on one line, or with a comment."""
    lines = st.builds(Line, st.just(value), wrap=st.just(isinstance(value, list)))
    return st.one_of(st.just(value), lines, st.builds(Noted, lines, TEXTS), st.builds(Noted, st.just(value), TEXTS))


VALUES = st.recursive(
    TEXTS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TREES = st.dictionaries(KEYS, VALUES.flatmap(layouts), min_size=1, max_size=4)


def typed(value: Any) -> Any:
    """Equal only for values of the same type: 1 is not 1.0, nor True."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value, math.copysign(1, value) if isinstance(value, float) else 0


def reads_back(tree: Tree, head: tuple[str, ...] = ()) -> None:
    text = emit(tree, head)
    document = parse(text)

    assert document.diagnostics == ()
    assert typed(document.data) == typed(plain(tree)), text
    assert typed(yaml.load(text, yaml.CSafeLoader)) == typed(plain(tree)), text
    assert list(document.data) == list(tree)


@given(TREES, st.lists(TEXTS, max_size=2).map(tuple))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"a": 1e308, "b": 5e-324, "c": 1e16, "d": 1e17, "e": -0.0, "f": 123456789012345680.0}, ())
@example({"a" * 110: Line([], wrap=True)}, ())
@example({"a": Noted(Line(["x" * 90, "y" * 90, ","], wrap=True), "said")}, ("first",))
def test_a_tree_reads_back(tree: dict[str, Any], head: tuple[str, ...]) -> None:
    reads_back(tree, head)


@pytest.mark.parametrize("text", TRAPS)
def test_a_trap_reads_back_wherever_it_stands(text: str) -> None:
    beside = {text: {text: Line({text: text})}}
    reads_back({"a": text, "b": Line([text, text]), "c": Line({"d": text}), "e": Noted(text, text), **beside}, (text,))


@given(st.lists(st.lists(TEXTS, max_size=30), max_size=4))
@settings(max_examples=60, deadline=None)
def test_wrapped_lists_read_back_and_keep_the_width(lists: list[list[str]]) -> None:
    tree = {f"k{number}": Line(items, wrap=True) for number, items in enumerate(lists)}
    if tree:
        reads_back(tree)
    widest = max((len(scalar(item)) for items in lists for item in items), default=0)
    assert all(len(line) <= max(WIDTH, widest + 6) for line in (emit(tree) if tree else "").splitlines())


@given(TEXTS, VALUES, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_what_fits_is_within_the_width(key: str, value: Any, depth: int) -> None:
    """`fits` speaks of the line that `emit` then writes."""
    if not fits(key, value, depth):
        return
    tree: dict[str, Any] = {key: Line(value)}
    for _ in range(depth - 1):
        tree = {"a": tree}
    assert len(emit(tree).splitlines()[-1]) <= WIDTH


def test_what_would_turn_the_text_around_is_escaped() -> None:
    """U+202E and its like make an editor show another order than what is read."""
    assert emit({"a": "x\u202ey\u2066z"}).isascii()


@pytest.mark.parametrize(
    "word", ["train.py", "--out", "-m", "./src", "../src", ".", "6h", "1h30m", "5%", "a/b-c", "_x"]
)
def test_words_that_everybody_reads_alike_stand_unquoted(word: str) -> None:
    assert scalar(word) == word


@pytest.mark.parametrize(
    "value", [10**18, -(10**18), math.inf, -math.inf, math.nan, "\ud800", "a\udcff"], ids=ascii
)  # fmt: skip
def test_what_cannot_stand_in_a_spec_is_refused(value: Any) -> None:
    """The last two are what Python makes of a file's name that is not UTF-8."""
    for tree in ({"a": value}, {"a": {"b": Line([value])}}):
        with pytest.raises(CtcError, match="cannot be written in YAML"):
            emit(tree)


def test_a_key_that_cannot_stand_in_a_spec_is_refused() -> None:
    with pytest.raises(CtcError, match="cannot be written in YAML"):
        emit({"x" * 2000: {"a": 1}})


def test_a_key_that_would_merge_is_quoted() -> None:
    assert emit({"a": {"<<": {"b": 1}}}) == 'a:\n  "<<":\n    b: 1\n'
