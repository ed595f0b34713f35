"""`ctc explain`: every code has its page, its severity is the one that is found, and a wrong code gets a suggestion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ctc.cli.common import guarded
from ctc.cli.explain import explain
from ctc.language.checks import CHECKS
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

    assert page.startswith(f"CT248: {title}\nwarning\n")
    assert "`# ctc: ignore[CT248] reason`" in page
    assert "It cannot be ignored." in said(capsys, "CT101")


def test_a_page_has_the_reason_and_both_examples() -> None:
    item = Explanation("CT299", "a thing", None, "It matters.", "a: 1\nb:\n  c: 2\n", "a: 2\n")

    assert item.text() == (
        "Finds a thing.\n\nIt matters.\n\nWrong:\n\n    a: 1\n    b:\n      c: 2\n\nRight:\n\n    a: 2\n\n"
        "Where it is a warning it can be ignored with a comment and a reason; an error cannot."
    )
    assert "```yaml\na: 1\nb:\n  c: 2\n```" in item.markdown()
    assert "Wrong" not in Explanation("CT299", "a thing", None).text()


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
