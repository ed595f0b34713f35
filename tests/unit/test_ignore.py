"""`# ctc: ignore[CODE] reason`: what it silences, what it never does, and what is said about a useless one."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ctc.diagnostics import Diagnostic, Severity, Span
from ctc.language.comments import comments
from ctc.language.ignore import apply, silenced
from ctc.language.source import Document, parse

TEXT = """\
mode: act
training:
  image: a:latest  # ctc: ignore[CT502] the demo's image moves on purpose
promotion:
  # ctc: ignore[CT248, CT246] there is no champion to compare with
  # before March
  gates: {}
"""


def document(text: str) -> Document:
    found = parse(text, "ctc.yaml")
    assert found.diagnostics == ()
    return found


def finding(code: str, line: int, severity: Severity = Severity.WARNING) -> Diagnostic:
    return Diagnostic(code, severity, f"{code} on line {line}", "", Span("ctc.yaml", line, 3, 8))


def codes(found: tuple[Diagnostic, ...]) -> list[str]:
    return [item.code for item in found]


def test_it_counts_at_the_end_of_the_line_and_alone_above_it() -> None:
    found = (finding("CT502", 3), finding("CT248", 7), finding("CT246", 7))

    assert apply(found, document(TEXT)) == ()


def test_it_counts_for_its_code_and_its_line_only() -> None:
    found = (finding("CT502", 7), finding("CT248", 3), finding("CT248", 7), finding("CT246", 7))
    left = apply(found, document(TEXT))

    assert left[:2] == found[:2]
    assert codes(left) == ["CT502", "CT248", "CT023"], "that of line 3 silences nothing"


def test_an_error_stays_and_is_said_to_stay() -> None:
    error = finding("CT248", 7, Severity.ERROR)
    kept, note = apply((error, finding("CT502", 3), finding("CT246", 7)), document(TEXT))

    assert kept == error
    assert (note.code, note.severity) == ("CT024", Severity.WARNING)
    assert note.span == Span("ctc.yaml", 5, 17, 22), "the code in the comment"
    assert note.label is not None
    assert note.label.span == error.span


@pytest.mark.parametrize("code", ["CT011", "CT103"])
def test_the_file_and_its_shape_cannot_be_ignored(code: str) -> None:
    there = document(f"a: 1 # ctc: ignore[{code}] because\n")

    assert codes(apply((finding(code, 1),), there)) == [code, "CT024"]
    assert codes(apply((), there)) == ["CT024"]


def test_a_warning_of_security_can_and_an_error_cannot() -> None:
    there = document("a: 1 # ctc: ignore[CT501, CT502] a test account\n")

    assert codes(apply((finding("CT501", 1, Severity.ERROR), finding("CT502", 1)), there)) == ["CT501", "CT024"]


@pytest.mark.parametrize(
    "comment",
    ["# ctc: ignore[CT502]", "# ctc: ignore", "# ctc: ignore because", "# ctc: ignore[] x", "#ctc:ignore[CT502] - "],
)
def test_without_a_reason_or_a_code_it_does_not_count(comment: str) -> None:
    left = apply((finding("CT502", 1),), document(f"a: 1 {comment}\n"))

    assert codes(left) == ["CT502", "CT021"]
    assert left[1].span == Span("ctc.yaml", 1, 6, 6 + len(comment.rstrip()) + (len(comment) - len(comment.rstrip())))


def test_an_unknown_code_is_found_and_the_others_still_count() -> None:
    left = apply((finding("CT502", 1),), document("a: 1 # ctc: ignore[CT502, CT999, ct248] x\n"))

    assert codes(left) == ["CT022", "CT022"]
    assert left[0].span == Span("ctc.yaml", 1, 27, 32)
    assert left[1].help == "did you mean `CT248`?"
    assert left[1].fix is not None
    assert left[1].fix.text == "CT248"


def test_a_useless_one_is_a_warning_with_its_removal() -> None:
    [left] = apply((), document("a: 1   # ctc: ignore[CT502] x\nb: 2\n"))

    assert (left.code, left.severity) == ("CT023", Severity.WARNING)
    assert left.fix is not None
    assert left.fix.span == Span("ctc.yaml", 1, 5, 30)


def test_nothing_is_useless_before_all_was_looked_at() -> None:
    of_target = document("a: 1 # ctc: ignore[CT341] the quota was raised\n")
    other = "environments: {dev: {}}\na: 1 # ctc: ignore[CT502] x\n"

    assert apply((), of_target) == ()
    assert codes(apply((), of_target, elsewhere=())) == ["CT023"]
    assert silenced((finding("CT341", 1), finding("CT341", 2)), of_target) == (finding("CT341", 2),)
    assert codes(apply((finding("CT241", 1, Severity.ERROR),), document("a: 1 # ctc: ignore[CT502] x\n"))) == ["CT241"]
    assert apply((), document(other)) == ()
    assert codes(apply((), document(other), everywhere=True)) == ["CT023"]


def test_no_text_is_a_comment() -> None:
    text = """\
a: 'x # ctc: ignore[CT502] y'
b: "x # ctc: ignore[CT502] y"
c: |  # ctc: ignore[CT248] the block itself is quoted below
  # ctc: ignore[CT502] y
d: >-
  folded # ctc: ignore[CT502] y

e: plain#ctc
f: [1, # in a list
    2] # after it
"""
    found = comments(text, "f")

    assert [(item.span.line, item.text) for item in found] == [
        (3, "# ctc: ignore[CT248] the block itself is quoted below"),
        (9, "# in a list"),
        (10, "# after it"),
    ]
    assert not any(item.alone for item in found)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["plain", "'qu # no'", '"do # no"', "[a, 'b # no']", "{k: v}", "|\n  # no\n  x", ">-\n  # no"]
            ),
            st.sampled_from(["", " # yes", "   #yes # and no other"]),
            st.sampled_from(["", "# yes alone\n", "\n# yes after a blank line\n"]),
        ),
        max_size=6,
    )
)
def test_comments_are_those_that_were_written(parts: list[tuple[str, str, str]]) -> None:
    text, wanted = "", []
    for index, (value, end, above) in enumerate(parts):
        # In a block scalar a comment goes behind its header.
        head, newline, rest = value.partition("\n")
        text += f"{above}k{index}: {head}{end}{newline}{rest}\n"
        wanted += [part.strip() for part in (above, end) if part.strip()]

    assert isinstance(yaml.safe_load(text), dict | None)
    assert [item.text.strip() for item in comments(text, "f")] == wanted
