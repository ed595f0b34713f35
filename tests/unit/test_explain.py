"""`ctc explain`: every code has its page, its severity is the one that is found, and a wrong code gets a suggestion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from ctc.cli.common import guarded
from ctc.cli.explain import explain
from ctc.language.checks import CHECKS, Rule
from ctc.report.explanations import Explanation, explanation, explanations

OUTPUTS = sorted((Path(__file__).resolve().parent.parent / "err").glob("*.out"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert guarded(explain, arguments) == 0
    return capsys.readouterr().out


def test_the_list_has_every_code_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys).splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  CT")]

    assert listed == sorted(rule.code for rule in CHECKS)
    assert lines[0] == "CT0xx  the file and its YAML"
    assert next(line for line in lines if "CT248" in line).split()[1] == "warning"


def test_a_code_is_explained_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, "ct248")
    title = next(rule.title for rule in CHECKS if rule.code == "CT248")

    assert page.startswith(f"warning[CT248]: {title}\n")
    assert "`# ctc: ignore[CT248] reason`" in page
    assert "It cannot be ignored." in said(capsys, "CT101")


THING = Explanation("CT299", "a thing", None, "It matters\nto many.\n\nTo all.", "a: 1\nb:\n  c: 2\n", "a: 2\n")


def test_a_page_has_the_reason_and_both_examples() -> None:
    assert THING.text() == (
        "Finds a thing.\n\nIt matters\nto many.\n\nTo all.\n\nWrong:\n\n    a: 1\n    b:\n      c: 2\n\n"
        "Right:\n\n    a: 2\n\n"
        "Where it is a warning it can be ignored with a comment and a reason; an error cannot."
    )
    assert "```yaml\na: 1\nb:\n  c: 2\n```" in THING.markdown()
    assert "Wrong" not in Explanation("CT299", "a thing", None).text()


def test_prose_fills_the_terminal_and_examples_stay() -> None:
    page = THING.page(14, lambda text: f"<{text}>")

    assert page.startswith("<CT299: a thing>\n\nIt matters to\nmany.\n\nTo all.\n\n<Wrong:>\n\n    a: 1\n    b:\n")
    assert THING.page(79).splitlines()[2] == "It matters to many."


def test_a_code_without_its_page_is_listed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ctc.language.checks.CHECKS", (Rule("CT199", "what is new"),), raising=False)

    assert "  CT199  error    what is new" in said(capsys)
    assert json.loads(said(capsys, "-o", "json"))["codes"][0]["why"] == ""
    assert said(capsys, "CT199") == "error[CT199]: what is new\n\nIt cannot be ignored.\n"


def test_the_shell_completes_codes() -> None:
    [argument] = [parameter for parameter in explain.params if parameter.name == "code"]
    offered = argument.shell_complete(click.Context(explain), "ct10")

    assert [item.value for item in offered] == [f"CT10{digit}" for digit in range(9)]
    assert offered[0].help == "a file that is not a map"


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    one = json.loads(said(capsys, "CT248", "-o", "json"))
    every = json.loads(said(capsys, "-o", "json"))

    assert (one["code"], one["severity"], one["can_be_ignored"]) == ("CT248", "warning", True)
    assert one in every["codes"]
    assert len(every["codes"]) == len(CHECKS)


@pytest.mark.parametrize(
    ("code", "advice"),
    [("CT2488", "CT248"), ("C248", "CT248"), ("ct-248", "CT248"), ("nonsense", "`ctc explain` lists them")],
)
def test_an_unknown_code_gets_a_suggestion(code: str, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(explain, [code]) == 2
    out, err = capsys.readouterr()

    assert out == ""
    assert err.startswith(f"error: there is no code `{code}`\n  = help: ")
    assert advice in err


def test_codes_of_targets_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "CT311").startswith("CT311: ")
    assert said(capsys, "CT301").startswith("CT301: ")


def test_the_severity_is_the_one_that_is_found() -> None:
    found = {
        (match[2], match[1])
        for file in OUTPUTS
        for match in re.finditer(r"^(error|warning|note)\[(CT\d+)\]", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(found) > 50
    for code, severity in found:
        if code in {item.code for item in explanations()}:
            assert explanation(code).severity == severity, code
