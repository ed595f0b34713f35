"""How findings look: frames, colours, long lines, secrets; and the JSON that programs read."""

from __future__ import annotations

import json

from ctc.diagnostics import Diagnostic, Label, Severity, Span
from ctc.report import WIDTH, as_json, masked, render, summary

TEXT = "gates:\n  floor: {metric: auk}\n  # between\nmetrics: {auc: {}}\n"
FINDING = Diagnostic(
    "CT241",
    Severity.ERROR,
    "there is no metric `auk`",
    "promotion.gates.floor",
    Span("ctc.yaml", 2, 19, 22),
    Label(Span("ctc.yaml", 4, 1, 8), "defined here"),
    "did you mean `auc`?",
)


def test_a_finding_shows_its_line_and_what_explains_it() -> None:
    assert render([FINDING], {"ctc.yaml": TEXT}, color=False) == (
        "error[CT241]: there is no metric `auk`\n"
        " --> ctc.yaml:2:19\n"
        "  |\n"
        "2 |   floor: {metric: auk}\n"
        "  |                   ^^^\n"
        "...\n"
        "4 | metrics: {auc: {}}\n"
        "  | ------- defined here\n"
        "  = help: did you mean `auc`?\n\n"
    )


def test_colour_comes_only_when_asked() -> None:
    plain, coloured = (render([FINDING], {"ctc.yaml": TEXT}, color=color) for color in (False, True))

    assert "\x1b" not in plain
    assert "\x1b[1;31merror[CT241]\x1b[0m" in coloured


def test_without_a_place_or_its_file_the_words_remain() -> None:
    bare = Diagnostic("CT001", Severity.ERROR, "cannot read x")

    assert render([bare], {}, color=False) == "error[CT001]: cannot read x\n\n"
    assert render([FINDING], {}, color=False).splitlines()[1:] == [
        " --> ctc.yaml:2:19",
        "  = help: did you mean `auc`?",
        "",
    ]


def test_a_long_line_is_cut_around_its_place() -> None:
    line = "a" * 500 + "HERE" + "b" * 500
    item = Diagnostic("CT101", Severity.WARNING, "x", span=Span("f", 1, 501, 505))
    shown, marks = render([item], {"f": line}, color=False).splitlines()[3:5]

    assert len(shown) <= WIDTH + 4
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "HERE"


def test_nothing_moves_the_cursor_of_a_terminal() -> None:
    item = Diagnostic("CT101", Severity.ERROR, "key \x1b[2J", span=Span("f", 1, 1, 2))

    assert "\x1b" not in render([item], {"f": "a: \x1b[31m\tb"}, color=False)


def test_what_looks_secret_is_starred_at_its_full_length() -> None:
    for text, secret in [
        ("password: hunter2,", "hunter2"),
        ("{api_key: 'abc', x: 1}", "abc"),
        ("--token=abcd", "abcd"),
        ("postgres://ct:pa55@db.example", "ct:pa55"),
        ("key AKIA1234567890ABCDEF", "AKIA1234567890ABCDEF"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "hooks.slack.com/services/T0/B0/xyz"),
        ("Authorization: Bearer abc.def", "abc.def"),
    ]:
        assert masked(text) == text.replace(secret, "*" * len(secret))
    assert masked("metric: auc, min: 0.6") == "metric: auc, min: 0.6"


def test_json_has_every_part() -> None:
    [item] = json.loads(as_json([FINDING]))["diagnostics"]

    assert item == {
        "code": "CT241",
        "severity": "error",
        "message": "there is no metric `auk`",
        "path": "promotion.gates.floor",
        "file": "ctc.yaml",
        "line": 2,
        "column": 19,
        "end_column": 22,
        "related": [{"file": "ctc.yaml", "line": 4, "column": 1, "end_column": 8, "text": "defined here"}],
        "help": "did you mean `auc`?",
    }


def test_the_summary_counts() -> None:
    warning = Diagnostic("CT248", Severity.WARNING, "x")

    assert summary([]) == ""
    assert summary([FINDING]) == "1 error"
    assert summary([FINDING, warning, FINDING]) == "2 errors, 1 warning"
