"""Reading YAML: the 1.2 data model, the place of everything, and bounds on what a file may do to us."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ctc.diagnostics import Span
from ctc.language import source
from ctc.language.spans import at


def data(text: str) -> Any:
    document = source.parse(text)
    assert document.diagnostics == ()
    return document.data


def codes(text: str) -> list[str]:
    return [item.code for item in source.parse(text).diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("2026-01-02", "2026-01-02"),
        ("1.2.3", "1.2.3"),
        ("6h", "6h"),
        ("5%", "5%"),
        ("'12:30'", "12:30"),
        ('"0644"', "0644"),
        ("+", "+"),
        (".", "."),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = data(f"[{text}]" if text else "[~]")[0] if text else data("a:")["a"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["12:30", "0644", "5_000_000", "-0755", "1_000.5", "190:20:30"])
def test_numbers_that_readers_of_yaml_disagree_on_are_refused(text: str) -> None:
    assert codes(f"a: {text}") == ["CT011"]


def test_every_key_and_value_has_its_place() -> None:
    document = source.parse("a:\n  b: [1, 'two']\nlong: word\n", "f")

    def places(path: source.Path) -> tuple[Span | None, Span | None]:
        return at(document.spans, path, key=True), at(document.spans, path)

    assert places(("a", "b", 1))[1] == Span("f", 2, 10, 15)
    assert places(("long",)) == (Span("f", 3, 1, 5), Span("f", 3, 7, 11))
    assert places(("a", "b"))[1] == Span("f", 2, 3, 4), "a list is pointed at by its key"
    assert places(("a", "nothing", "here"))[1] == Span("f", 1, 1, 2), "what is not there, by what is above"


def test_columns_count_code_points() -> None:
    document = source.parse("ключ: 'ж🙂', b: 1\n".join(["{", "}"]), "f")

    assert at(document.spans, ("b",), key=True) == Span("f", 1, 14, 15)


def test_merged_keys_keep_their_own_place_and_the_explicit_key_wins() -> None:
    document = source.parse("base: &base {a: 1, b: {c: 2}}\nother: {<<: *base, a: 3}\n", "f")

    assert document.data["other"] == {"a": 3, "b": {"c": 2}}
    assert at(document.spans, ("other", "b", "c")) == Span("f", 1, 27, 28)
    assert at(document.spans, ("other", "a")) == Span("f", 2, 23, 24)


def test_an_alias_is_a_copy() -> None:
    found = data("a: &x {n: 1}\nb: *x\n")

    assert found["a"] == found["b"]
    assert found["a"] is not found["b"]


def test_a_merge_of_a_list_takes_the_first() -> None:
    assert data("a: &a {n: 1}\nb: &b {n: 2, m: 3}\nc: {<<: [*a, *b]}\n")["c"] == {"n": 1, "m": 3}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: " + "[" * 100_000, "CT005"),
        ("a: " + "{b: " * 100_000, "CT005"),
        ("- " * 100_000, "CT005"),
        ("? " * 100_000, "CT014"),
        ("[" + "1, " * 150_000 + "1]", "CT005"),
        ("a: &a [*a]", "CT015"),
        ("a: " + "9" * 5_000, "CT010"),
        ("a: 1e999", "CT010"),
        ("".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]\n" for i in range(30)), "CT016"),
        ("".join(f"a{i}: &a{i} {{{f'<<: *a{i - 1}, ' if i else ''}k{i}: {{n: 1}}}}\n" for i in range(2_000)), "CT016"),
    ],
    ids=["lists", "maps", "sequences", "keys", "wide", "itself", "digits", "exponent", "laughs", "merges"],
)
def test_hostile_input_is_refused_quickly(text: str, code: str) -> None:
    start = time.process_time()

    assert code in codes(text)
    assert time.process_time() - start < 5


def test_the_size_is_bounded_before_parsing(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_bytes(b"a: 1\n" * 1_000_000)

    assert [item.code for item in source.read(file).diagnostics] == ["CT005"]


@pytest.mark.parametrize("name", ["absent.yaml", ".", "with\0nul"])
def test_what_cannot_be_read_is_said(name: str, tmp_path: Path) -> None:
    document = source.read(f"{tmp_path}/{name}")

    assert [item.code for item in document.diagnostics] == ["CT001"]


def test_a_place_of_every_byte_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: 1\nb: smörgås".encode("latin-1"))
    [found] = source.read(file).diagnostics

    assert found.span == Span(str(file), 2, 6, 7)


@given(st.text(max_size=200))
def test_no_text_makes_an_exception(text: str) -> None:
    document = source.parse(text)

    assert document.data is not None or document.diagnostics


@given(st.text(alphabet="ab:- \n\t{}[],&*!|>'\"#%@?<~0_.1", max_size=60))
def test_no_yaml_like_text_makes_an_exception(text: str) -> None:
    document = source.parse(text)

    assert document.data is not None or document.diagnostics


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc é", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), PLAIN, min_size=1, max_size=4))
def test_what_another_writer_wrote_is_read_back(tree: dict[str, Any]) -> None:
    assert data(yaml.safe_dump(tree, allow_unicode=True)) == tree


def test_the_slower_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML has no libyaml."""
    text = (Path(__file__).parent.parent / "ok" / "anchors-and-merges.yaml").read_text()
    fast = source.parse(text)
    monkeypatch.delattr(yaml, "CSafeLoader")
    slow = source.parse(text)

    assert slow.data == fast.data
    assert set(slow.spans) == set(fast.spans)
