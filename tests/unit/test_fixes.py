"""Fixes: what they write, that they change nothing else, and that they are refused where they would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ctc.cli.common import guarded
from ctc.cli.rewrite import rewrite
from ctc.cli.validate import validate
from ctc.diagnostics import CtcError, Diagnostic, Lines, Severity, Span
from ctc.language.fixes import attach, remove, rename
from ctc.language.load import load_spec
from ctc.language.mend import edited, mend, only_change
from ctc.language.source import Document, parse

ROOT = Path(__file__).resolve().parent.parent.parent
MINIMAL = (ROOT / "specs" / "minimal.yaml").read_text(encoding="utf-8")


def of_reader(document: Document) -> tuple[Diagnostic, ...]:
    return document.diagnostics


def of_spec(document: Document) -> tuple[Diagnostic, ...]:
    return load_spec(document).diagnostics


def mended(text: str) -> str:
    return mend(parse(text), of_reader).document.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 12:30 # noon\n", 'a: "12:30" # noon\n'),
        ("a: [0644, 1]\n", 'a: ["0644", 1]\n'),
        ("a: 2_000\nb: 1_0\n", "a: 2000\nb: 10\n"),
        ("a: 1234567890123456789\n", 'a: "1234567890123456789"\n'),
        ("a: 1\r\nb: 12:30\r\n", 'a: 1\r\nb: "12:30"\r\n'),
        ("é: 12:30", 'é: "12:30"'),
        ("a: 1\nb: 2\na: 1\n", "a: 1\nb: 2\n"),
        (
            "m:\n  a: {x: 1}\n  b: 2\n  # of a\n  a:\n    x: 1\n\n  c: 3\n",
            "m:\n  a: {x: 1}\n  b: 2\n  # of a\n\n  c: 3\n",
        ),
        ("a: [1]\na:\n- 1\nb: 2\n", "a: [1]\nb: 2\n"),
        ("a: 1\na: 1", "a: 1\n"),
    ],
)
def test_what_needs_no_judgement_is_mended(before: str, after: str) -> None:
    assert mended(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "{a: 1, a: 1}\n",
        "- a: 1\n  b: 2\n-  a: 1\n",
        "a: .inf\n",
        "a: &x 12:30\nb: *x\n",
    ],
)
def test_what_needs_judgement_is_left(text: str) -> None:
    assert mended(text) == text


def test_a_quoted_number_where_a_number_belongs_is_refused() -> None:
    text = MINIMAL.replace("min_rows: 2000", "min_rows: 0644")
    assert text != MINIMAL
    result = mend(parse(text), of_spec)

    assert result.document.text == text
    assert [item.code for item in result.refused] == ["CT011"]


def test_a_misspelt_key_and_word_are_mended_in_the_spec_itself() -> None:
    text = MINIMAL.replace("min_rows: 2000", "min_row: 2000").replace("mode: act", "mode: actt")
    result = mend(parse(text), of_spec)

    assert result.document.text == MINIMAL
    assert [item.code for item in result.done] == ["CT104", "CT101"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("apiVersion: ctc/v1", "apiVersion: ctc/v9"), ("task: binary", "task: guessing"), ("mode: act", "mode: react")],
)
def test_another_word_or_number_is_left_to_a_person(right: str, wrong: str) -> None:
    text = MINIMAL.replace(right, wrong)

    assert {item.code for item in of_spec(parse(text))} == {"CT104"}
    assert mend(parse(text), of_spec).done == ()


def test_a_reference_is_not_overwritten_by_what_its_variable_should_hold() -> None:
    text = MINIMAL.replace("mode: act", "variables: {how: actt}\nmode: ${var.how}")
    result = mend(parse(text), of_spec)

    assert [item.code for item in of_spec(parse(text))] == ["CT104"]
    assert result.document.text == text


def test_a_finding_in_a_patch_shows_what_is_patched() -> None:
    patched = "environments:\n  dev:\n    mode: actt\n  prod: {}\n"
    [item] = load_spec(parse(MINIMAL + patched), "dev").diagnostics

    assert item.span is not None
    assert item.label is not None
    lines = Lines(MINIMAL + patched)
    assert (lines[item.span.line], lines[item.label.span.line]) == ("    mode: actt", "mode: act")
    assert item.label.text == "patches this"


def renaming(document: Document) -> tuple[Diagnostic, ...]:
    """A finding that wants `b` to be `c`, wherever it stands."""
    places = ((path, place.key) for path, place in document.spans.items() if path and path[-1] == "b")
    return document.diagnostics + tuple(
        Diagnostic("CT101", Severity.ERROR, "no b", ".".join(map(str, path)), key, fix=rename(key, "c"))
        for path, key in places
        if key is not None
    )


def test_a_key_is_renamed_where_its_new_name_is_free() -> None:
    assert mend(parse("a: {b: 1}\nb: [x]\n"), renaming).document.text == "a: {c: 1}\nc: [x]\n"
    taken = mend(parse("b: 1\nc: 2\n"), renaming)
    assert taken.document.text == "b: 1\nc: 2\n"
    assert len(taken.refused) == 1


def test_a_note_is_never_mended() -> None:
    def note(document: Document) -> tuple[Diagnostic, ...]:
        return tuple(
            Diagnostic("CT299", Severity.NOTE, "x", span=item.span, fix=item.fix) for item in renaming(document)
        )

    assert mend(parse("b: 1\n"), note).done == ()


def test_a_name_is_quoted_only_where_yaml_needs_it() -> None:
    span = Span("f", 1, 1, 2)

    assert [rename(span, name).text for name in ("min_rows", "no", "a b", 'x"', "12")] == [
        "min_rows",
        '"no"',
        '"a b"',
        '"x\\""',
        '"12"',
    ]


def test_unused_variables_go_and_the_last_takes_its_section_along() -> None:
    def unused(document: Document) -> tuple[Diagnostic, ...]:
        names = (document.data or {}).get("variables", {})
        found = [
            Diagnostic("CT224", Severity.WARNING, f"nothing uses {name}", f"variables.{name}", place.key)
            for name in names
            if (place := document.spans[("variables", name)])
        ]
        return attach(found, document)

    text = "a: 1\nvariables:\n  x: 1  # why\n  y:\n    - 2\nb: 2\n"
    result = mend(parse(text), unused)

    assert [item.path for item in result.done] == ["variables.x", "variables.y"]
    assert result.document.text == "a: 1\nb: 2\n"


def test_an_entry_that_shares_its_line_is_not_taken_out() -> None:
    assert remove(Lines("- a: 1\n  b: 2\n"), Span("f", 1, 3, 4)) is None
    assert remove(Lines("{a: 1}\n"), Span("f", 1, 2, 3)) is None
    edit = remove(Lines("a: 1\nb: 2\n"), Span("f", 1, 1, 2))
    assert edit is not None
    assert edited("a: 1\nb: 2\n", edit) == "b: 2\n"


@pytest.mark.parametrize(
    ("old", "new", "path", "only"),
    [
        ({"a": 1, "b": 2}, {"a": 9, "b": 2}, ("a",), True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 9}, ("a",), False),
        ({"a": 1, "b": 2}, {"c": 1, "b": 2}, ("a",), True),
        ({"a": 1, "b": 2}, {"c": 3, "b": 2}, ("a",), False),
        ({"a": {"x": 1}, "b": 2}, {"b": 2}, ("a", "x"), True),
        ({"a": {"x": 1, "y": 2}, "b": 2}, {"b": 2}, ("a", "x"), False),
        ({"a": [1, 2]}, {"a": [1, 3]}, ("a", 1), True),
        ({"a": [1, 2]}, {"a": [1]}, ("a", 1), False),
        ({"a": 1}, {"a": True}, None, False),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, ("a",), False),
    ],
)
def test_only_the_place_itself_may_change(
    old: object, new: object, path: tuple[str | int, ...] | None, only: bool
) -> None:
    assert only_change(old, new, path) is only


def test_fix_writes_the_file_and_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    spec = tmp_path / "ctc.yaml"
    spec.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("min_rows: 2000", "min_rows: 2_000").encode())
    spec.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to("ctc.yaml")

    assert guarded(validate, ["link.yaml", "--fix"]) == 0
    out, err = capsys.readouterr()

    line = MINIMAL[: MINIMAL.index("min_rows: 2000")].count("\n") + 1
    assert err == f"fix link.yaml:{line} [CT011]: write 2000\n"
    assert out.startswith("link.yaml: ok\n")
    assert spec.read_bytes() == b"\xef\xbb\xbf" + MINIMAL.encode()
    assert spec.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["ctc.yaml", "link.yaml"]
    assert (tmp_path / "link.yaml").is_symlink()


def test_a_file_without_fixes_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "ctc.yaml"
    spec.write_text(MINIMAL)
    os.utime(spec, (1, 1))

    assert guarded(validate, [str(spec), "--fix"]) == 0
    assert spec.stat().st_mtime == 1
    assert capsys.readouterr().err == ""


def test_a_file_that_changed_meanwhile_is_not_touched(tmp_path: Path) -> None:
    spec = tmp_path / "ctc.yaml"
    spec.write_text("a: 2\n")

    with pytest.raises(CtcError, match="has changed"):
        rewrite(spec, "a: 1\n", "a: 3\n")
    assert spec.read_text() == "a: 2\n"
    assert os.listdir(tmp_path) == ["ctc.yaml"]


def test_standard_input_cannot_be_fixed(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(validate, ["-", "--fix"]) == 2
