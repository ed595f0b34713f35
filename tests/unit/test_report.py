"""How findings look: frames, colours, long lines, secrets; and the JSON that programs read."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from ctc.diagnostics import Diagnostic, Label, Severity, Span
from ctc.report import WIDTH, as_json, colored, mask, masked, most_important, render, summary
from ctc.report.secrets import masked_lines

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


def test_two_places_on_a_long_line_share_its_window() -> None:
    line = "a" * 300 + "HERE" + "b" * 20 + "THERE" + "c" * 300 + "FAR"
    near = Diagnostic(
        "CT101", Severity.ERROR, "x", span=Span("f", 1, 301, 305), label=Label(Span("f", 1, 325, 330), "y")
    )
    far = replace(near, label=Label(Span("f", 1, len(line) - 2, len(line) + 1), "z"))
    _, _, _, shown, marks, others, _ = render([near], {"f": line}, color=False).split("\n", 6)
    only = render([far], {"f": line}, color=False).splitlines()

    assert shown[marks.index("^") : marks.rindex("^") + 1] == "HERE"
    assert shown[others.index("-") : others.rindex("-") + 1] == "THERE"
    assert len([text for text in only if "^" in text or "--" in text[4:]]) == 1, "a place out of sight has no mark"


def test_carets_stand_below_wide_characters_and_tabs() -> None:
    for line, start, end, carets in [
        ("名: 値段", 4, 6, "    ^^^^"),
        ("e\u0301: xy", 5, 7, "   ^^"),
        ("\ta: xy", 5, 7, "    ^^"),
        ("🙂: x", 4, 5, "    ^"),
    ]:
        item = Diagnostic("CT103", Severity.ERROR, "x", span=Span("f", 1, start, end))

        assert render([item], {"f": line}, color=False).splitlines()[4] == f"  | {carets}"


def test_a_place_of_several_lines_is_marked_at_both_ends() -> None:
    item = Diagnostic("CT107", Severity.ERROR, "x", span=Span("f", 1, 4, 9, 4))

    assert render([item], {"f": "a: {b: 1,\n  c: 2,\n  d: 3,\n    e: 4}\n"}, color=False).splitlines()[2:] == [
        "  |",
        "1 | a: {b: 1,",
        "  |    ^^^^^^",
        "...",
        "4 |     e: 4}",
        "  |     ^^^^",
        "",
    ]


def test_each_code_points_to_its_explanation_once() -> None:
    explained: set[str] = set()
    first = render([FINDING, FINDING], {}, color=False, explained=explained)
    later = render([FINDING, replace(FINDING, code="CT248")], {}, color=False, explained=explained)

    assert first.count("= docs: ctc explain CT241") == 1
    assert later.count("= docs:") == 1
    assert "= docs: ctc explain CT248" in later


def test_errors_are_shown_before_warnings_in_the_order_of_the_file() -> None:
    warning = replace(FINDING, severity=Severity.WARNING)
    found = [warning, FINDING, warning, FINDING]

    assert most_important(found, 3) == (warning, FINDING, FINDING)
    assert most_important(found, 1) == (FINDING,)
    assert most_important(found, 9) == tuple(found)


def test_the_environment_decides_about_colour() -> None:
    for terminal, environment, answer in [
        (True, {}, True),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"FORCE_COLOR": "0"}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ]:
        assert colored(terminal, environment) is answer, (terminal, environment)


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


def test_a_line_is_shown_without_its_secrets() -> None:
    for line, secret in [
        ("password: correct horse battery", "correct horse battery"),
        ("  password: a,b  # of the test account", "a,b"),
        ("- db_password: 'it''s me'", "it''s me"),
        ('{api_key: "a b", min: 3}', "a b"),
        ("{token: abc, min: 3}", "abc"),
        ("dbPassword: !x hunter2", "hunter2"),
        ("secret: db-login", "db-login"),
        ("url: https://ct:pa55@db.example/x", "ct:pa55"),
        ("url: redis://:pa55@db.example", ":pa55"),
        ("hook: https://hooks.slack.com/services/T0/B0/xyz", "hooks.slack.com/services/T0/B0/xyz"),
        ("id: AKIA1234567890ABCDEF", "AKIA1234567890ABCDEF"),
        ("maps: AIzaSyA1234567890_abcdefghijklmnopqrs", "AIzaSyA1234567890_abcdefghijklmnopqrs"),
        ("argv: [run, --token=abcd, x]", "abcd"),
    ]:
        assert mask(line) == line.replace(secret, "*" * len(secret))
    for line in (
        "metric: auc, min: 0.6",
        "tokenizer: bert",
        "max_tokens: 512",
        "password: ${var.password}",
        "keys: [a, b]",
        "secretary: Ann",
    ):
        assert mask(line) == line


def test_what_stands_below_a_secret_is_starred_too() -> None:
    text = """\
env:
  secret:
    - first one
    name: second
  other: kept
key: |
  -----BEGIN RSA PRIVATE KEY-----
  MIIabc+def/=
  -----END RSA PRIVATE KEY-----
token: >-
  folded away

after: kept
"""
    masked_file = masked_lines(text.splitlines())

    assert [line for line in masked_file.lines if "*" not in line] == [
        "env:",
        "  secret:",
        "  other: kept",
        "key: |",
        "token: >-",
        "",
        "after: kept",
    ]
    assert "    name: ******" in masked_file.lines
    assert not {"MIIabc", "folded", "second", "first"} & set("\n".join(masked_file.lines).split())
    assert [len(line) for line in masked_file.lines] == [len(line) for line in text.splitlines()]
    assert masked_file.text("`second` is no name, secondary is") == "`******` is no name, secondary is"


def test_no_line_takes_long_to_mask() -> None:
    for part in ("a_", "password: ", "password:" + " " * 9, "x ", "://", "eyJaaaaaaaaaa.", '"', "secret: 'a"):
        line = "k: password: " + part * (200_000 // len(part))
        started = time.process_time()
        mask(line)
        masked(line)

        assert time.process_time() - started < 2, part


def test_json_has_every_part() -> None:
    said = json.loads(as_json([FINDING], {"ctc.yaml": TEXT}))

    assert said["version"] == 1
    assert said["summary"] == {"files": 1, "errors": 1, "warnings": 0, "notes": 0}
    assert said["findings"] == [
        {
            "code": "CT241",
            "severity": "error",
            "message": "there is no metric `auk`",
            "path": "promotion.gates.floor",
            "file": "ctc.yaml",
            "start": {"line": 2, "column": 19, "byte": 25},
            "end": {"line": 2, "column": 22, "byte": 28},
            "related": [
                {
                    "file": "ctc.yaml",
                    "start": {"line": 4, "column": 1, "byte": 42},
                    "end": {"line": 4, "column": 8, "byte": 49},
                    "message": "defined here",
                }
            ],
            "help": "did you mean `auc`?",
        }
    ]


def test_the_summary_counts() -> None:
    warning = Diagnostic("CT248", Severity.WARNING, "x")

    assert summary([]) == ""
    assert summary([FINDING]) == "1 error"
    assert summary([FINDING, warning, FINDING]) == "2 errors, 1 warning"
